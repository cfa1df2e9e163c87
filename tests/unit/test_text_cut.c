/* Cutting a text where it is safe changes no piece, for every pattern there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/pretokenizer_names.h"
#include "data/text_cut.h"

enum { TEXT_MAX = 512 };

typedef struct pieces {
    size_t count, end[TEXT_MAX];
} pieces;

static void cut_into(dither_pretokenizer_walk *walk, const char *text, size_t from, size_t to, pieces *all)
{
    size_t first, length;
    assert_true(dither_pretokenizer_start(walk, text + from, to - from));
    while (dither_pretokenizer_next(walk, &first, &length))
        all->end[all->count++] = from + first + length;
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* What the patterns tell apart: letters of all kinds, marks, digits, punctuation, white space of one to three bytes. */
static size_t random_text(uint32_t *random, char text[static TEXT_MAX])
{
    static const char *const characters[] = {
        "a", "b", "s", "ll", "T", "Re", "Z", "as", "you", "like", "it", " ", " ", " ", " ", " ", " ", "  ",
        "\n", "\n", "\n", "\n\n", "\r\n", "\r", "\t", ".",
        ",", "!?", "/", "//", "'", "'s", "'LL", "-", "$", "1", "23", "4567", "\xc3\xa9", "\xc3\x89", "\xc2\xa0",
        "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xaf", "\xe2\x80\x9c", "\xe2\x81\x9f",
        "\xe3\x80\x80", "\xe3\x80\x82", "\xe4\xb8\xad", "\xe6\x96\x87", "\xe3\x81\x8b",
        "\xed\x95\x9c", "\xcc\x81", "\xef\xbc\x81", "\xe2\x80\x99", "\xf0\x9f\x98\x80", "\xd9\xa1", "\xe1\x9a\x80",
        "\x01", "\x7f", "<", "|", "_",
    };
    char *end = text;
    const uint32_t count = 2 + next(random) % 40;
    for (uint32_t i = 0; i < count; i++)
        end = stpcpy(end, characters[next(random) % (sizeof characters / sizeof *characters)]);
    return (size_t)(end - text);
}

static void pieces_stay_the_same(void **state)
{
    (void)state;
    static pieces whole, parts;
    const char *name;
    for (size_t kind = 0; (name = dither_pretokenizer_kind(kind)) != NULL; kind++) {
        dither_pretokenizer *pretokenizer;
        assert_int_equal(dither_pretokenizer_open(&pretokenizer, name, NULL), DITHER_OK);
        dither_pretokenizer_walk *walk = dither_pretokenizer_walk_open(pretokenizer);
        assert_non_null(walk);
        size_t spaces = 0, lines = 0;
        uint32_t random = 1;
        for (int round = 0; round < 20000; round++) {
            char text[TEXT_MAX];
            const size_t length = random_text(&random, text);
            whole.count = 0;
            for (size_t at = 0; at <= length; at++) {
                if (!dither_text_cut_safe((const unsigned char *)text, length, at))
                    continue;
                if (whole.count == 0)
                    cut_into(walk, text, 0, length, &whole);
                parts.count = 0;
                cut_into(walk, text, 0, at, &parts);
                cut_into(walk, text, at, length, &parts);
                if (parts.count != whole.count || memcmp(parts.end, whole.end, whole.count * sizeof *whole.end) != 0)
                    fail_msg("%s: \"%.*s\" is cut at %zu", name, (int)length, text, at);
                spaces += text[at] == ' ';
                lines += text[at] != ' ';
            }
        }
        assert_true(spaces > 1000 && lines > 1000);
        dither_pretokenizer_walk_close(walk);
        dither_pretokenizer_close(pretokenizer);
    }
}

static bool safe(const char *text, size_t at)
{
    return dither_text_cut_safe((const unsigned char *)text, strlen(text), at);
}

static void safe_places(void **state)
{
    (void)state;
    assert_true(safe("a b", 1));
    assert_false(safe("a b", 0) || safe("a b", 2) || safe("a b", 3));
    assert_false(safe("a  b", 1) || safe("a. b", 2) || safe("a 1", 1) || safe(" b", 0) || safe("a ", 1));
    assert_true(safe(".\nx", 2) && safe("1\n!", 2) && safe("\xe4\xb8\xad\n\xe6\x96\x87", 4));
    assert_false(safe("a\n/", 2) || safe("a\n\nb", 2) || safe("a\n\nb", 3) || safe("a\r\nb", 3) || safe("a\n", 2));
    assert_true(safe("\xe2\x80\x9d\n\xe2\x80\x9c", 4) && safe("\xc2\xa1\nx", 3));
    assert_false(safe("\nb", 1) || safe("a\n\xe3\x80\x80", 2) || safe("\xc2\xa0\nb", 3) || safe("a\n\xc2\xa0", 2));
    assert_false(safe("", 0) || safe("a", 0) || safe("a", 1));
    assert_false(safe("\x80\x80\x80\x80\nb", 5)); /* not UTF-8 */
}

static bool visible(const char *text, size_t at)
{
    return dither_text_cut_visible((const unsigned char *)text, strlen(text), at);
}

static void visible_sides(void **state)
{
    (void)state;
    assert_true(visible("ab", 1) && visible("\xe3\x80\x82\xe4\xb8\xad", 3) && visible("\xf0\x9f\x98\x80" "b", 4));
    assert_false(visible("a ", 1) || visible(" a", 1) || visible("a", 0) || visible("a", 1));
    assert_false(visible("\xe3\x80\x80" "a", 3) || visible("a\xe2\x80\xa8", 1) || visible("\xe4\xb8\xad", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_stay_the_same),
        cmocka_unit_test(safe_places),
        cmocka_unit_test(visible_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
