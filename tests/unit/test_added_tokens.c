#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "data/added_tokens.h"

static const dither_added_token tokens[] = {
    {.text = "<a>", .length = 3, .id = 1, .special = true},
    {.text = "<ab>", .length = 4, .id = 2},
    {.text = "<a", .length = 2, .id = 3},
    {.text = "<r>", .length = 3, .id = 4, .rstrip = true},
    {.text = "<l>", .length = 3, .id = 5, .lstrip = true},
    {.text = "word", .length = 4, .id = 6, .single_word = true},
    {.text = "twice", .length = 5, .id = 7},
    {.text = "twice", .length = 5, .id = 8},
    {.text = "\xff\xfe", .length = 2, .id = 9},
};

/* What is found, as [id:first-end] one after another. */
static void expect(bool special, const char *text, const char *want)
{
    dither_added_tokens *added;
    char got[256] = "";
    size_t first, end, from = 0;
    const dither_added_token *t;
    assert_int_equal(dither_added_tokens_open(&added, tokens, sizeof tokens / sizeof *tokens, NULL), DITHER_OK);
    while ((t = dither_added_tokens_find(added, special, text, strlen(text), from, &first, &end)) != NULL) {
        snprintf(got + strlen(got), sizeof got - strlen(got), "[%u:%zu-%zu]", t->id, first, end);
        from = end;
    }
    assert_string_equal(got, want);
    dither_added_tokens_close(added);
}

static void the_leftmost_longest_is_found(void **state)
{
    (void)state;
    expect(true, "", "");
    expect(true, "nothing < here", "");
    expect(true, "x<a><ab><a", "[1:1-4][2:4-8][3:8-10]");
    expect(true, "<<a>", "[1:1-4]");
    expect(true, "twice", "[8:0-5]");
    expect(true, "a\xff\xfe\xff", "[9:1-3]");
    /* a mark that does not count hides the shorter token inside of it */
    expect(false, "x<a><ab>", "[2:4-8]");
}

static void words_and_spaces(void **state)
{
    (void)state;
    expect(true, "a <r> \n\u3000" "b", "[4:2-10]");
    expect(true, "a \u3000<l> b", "[5:1-8]");
    expect(true, "<r> <l>", "[4:0-4][5:4-7]");
    expect(true, "word words sword (word) \u00e9word _word word", "[6:0-4][6:18-22][6:37-41]");
    expect(true, "\xffword\xff", "[6:1-5]");
}

static void none_at_all(void **state)
{
    (void)state;
    dither_added_tokens *added;
    size_t first, end;
    assert_int_equal(dither_added_tokens_open(&added, NULL, 0, NULL), DITHER_OK);
    assert_null(dither_added_tokens_find(added, true, "abc", 3, 0, &first, &end));
    assert_null(dither_added_tokens_exact(added, "abc", 3));
    dither_added_tokens_close(added);
    assert_int_equal(dither_added_tokens_open(&added, tokens, sizeof tokens / sizeof *tokens, NULL), DITHER_OK);
    assert_int_equal(dither_added_tokens_exact(added, "<ab>", 4)->id, 2);
    assert_null(dither_added_tokens_exact(added, "<abc", 4));
    dither_added_tokens_close(added);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_leftmost_longest_is_found),
        cmocka_unit_test(words_and_spaces),
        cmocka_unit_test(none_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
