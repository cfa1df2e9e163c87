/* Texts that end the writing: found across any borders and not shown, as a search in the whole text finds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dither/generate.h"

typedef struct shown {
    char text[512];
    size_t length;
} shown;

static void show(void *context, const char *bytes, size_t length)
{
    shown *s = context;
    assert_true(length > 0 && s->length + length < sizeof s->text);
    memcpy(s->text + s->length, bytes, length);
    s->length += length;
    s->text[s->length] = 0;
}

/* Where the first stop text that is complete begins: of those that end at the same byte the longest. */
static size_t first_stop(const char *text, const char *const *stops, size_t count, bool *found)
{
    const size_t length = strlen(text);
    for (size_t end = 1; end <= length; end++) {
        size_t longest = 0;
        for (size_t k = 0; k < count; k++) {
            const size_t n = strlen(stops[k]);
            if (n <= end && !memcmp(text + end - n, stops[k], n) && n > longest)
                longest = n;
        }
        if (longest) {
            *found = true;
            return end - longest;
        }
    }
    *found = false;
    return length;
}

static void check(dither_stops *stops, const char *text, const char *const *texts, size_t count, size_t piece)
{
    shown s = {.length = 0};
    bool found, stopped = false;
    const size_t wanted = first_stop(text, texts, count, &found), length = strlen(text);
    for (size_t at = 0; at < length && !stopped; at += piece)
        stopped = dither_stops_add(stops, text + at, length - at < piece ? length - at : piece, show, &s);
    assert_int_equal(stopped, found);
    dither_stops_end(stops, show, &s);
    if (s.length != wanted || memcmp(s.text, text, wanted) != 0)
        fail_msg("of \"%s\" in pieces of %zu \"%s\" was shown", text, piece, s.text);
}

/* Every text of three letters up to a length, in pieces of every size; stop texts that overlap one another. */
static void all_texts_in_all_pieces(void **state)
{
    (void)state;
    static const char *const sets[][3] = {{"aab", "ba", NULL}, {"abab", NULL, NULL}, {"aaa", "aabaa", "bb"},
                                          {"abc", "bcab", "c"}, {"ccc", "a", NULL}};
    for (size_t k = 0; k < sizeof sets / sizeof sets[0]; k++) {
        size_t count = 0;
        while (count < 3 && sets[k][count])
            count++;
        dither_stops *stops;
        assert_int_equal(dither_stops_open(&stops, sets[k], count, NULL), DITHER_OK);
        for (size_t length = 0, all = 1; length <= 7; length++, all *= 3)
            for (size_t code = 0; code < all; code++) {
                char text[8] = "";
                for (size_t i = 0, rest = code; i < length; i++, rest /= 3)
                    text[i] = (char)('a' + rest % 3);
                for (size_t piece = 1; piece <= 3; piece++)
                    check(stops, text, sets[k], count, piece);
            }
        dither_stops_close(stops);
    }
}

/* What cannot become a stop text any more is shown at once, what can is not. */
static void shown_as_early_as_may_be(void **state)
{
    (void)state;
    const char *const texts[] = {"\nUser:"};
    dither_stops *stops;
    shown s = {.length = 0};
    assert_int_equal(dither_stops_open(&stops, texts, 1, NULL), DITHER_OK);
    assert_false(dither_stops_add(stops, "Hi\nUs", 5, show, &s));
    assert_string_equal(s.text, "Hi");
    assert_false(dither_stops_add(stops, "e", 1, show, &s));
    assert_string_equal(s.text, "Hi");
    assert_false(dither_stops_add(stops, "s\n", 2, show, &s));
    assert_string_equal(s.text, "Hi\nUses");
    assert_true(dither_stops_add(stops, "User: more", 10, show, &s));
    assert_string_equal(s.text, "Hi\nUses");
    dither_stops_end(stops, show, &s);
    assert_string_equal(s.text, "Hi\nUses");
    assert_false(dither_stops_add(stops, "next", 4, show, &s)); /* ready for another text */
    dither_stops_end(stops, show, &s);
    assert_string_equal(s.text, "Hi\nUsesnext");
    dither_stops_close(stops);
}

static void none_or_empty(void **state)
{
    (void)state;
    dither_stops *stops;
    dither_error error;
    shown s = {.length = 0};
    assert_int_equal(dither_stops_open(&stops, NULL, 0, &error), DITHER_OK);
    assert_false(dither_stops_add(stops, "abc", 3, show, &s));
    assert_string_equal(s.text, "abc");
    dither_stops_close(stops);
    const char *const empty[] = {"a", ""};
    assert_int_equal(dither_stops_open(&stops, empty, 2, &error), DITHER_E_USAGE);
    assert_null(stops);
    dither_stops_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_texts_in_all_pieces),
        cmocka_unit_test(shown_as_early_as_may_be),
        cmocka_unit_test(none_or_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
