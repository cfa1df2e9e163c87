#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "data/normalizer.h"

static void expect(dither_normal_step step, const char *text, const char *want)
{
    dither_normalizer *normalizer;
    dither_error error;
    dither_normalizer_scratch scratch = {.capacity = 0};
    if (dither_normalizer_open(&normalizer, &step, 1, &error) != DITHER_OK)
        fail_msg("%s", error.text);
    size_t length = strlen(text);
    assert_true(dither_normalizer_apply(normalizer, &scratch, true, &text, &length));
    if (length != strlen(want) || memcmp(text, want, length) != 0)
        fail_msg("'%.*s', expected '%s'", (int)length, text, want);
    dither_normalizer_scratch_close(&scratch);
    dither_normalizer_close(normalizer);
}

static void expect_form(dither_normal_kind kind, const char *text, const char *want)
{
    expect((dither_normal_step){.kind = kind}, text, want);
}

/* From the Unicode standard, annex 15, and Hugging Face tokenizers 0.23. */
static void normal_forms(void **state)
{
    (void)state;
    expect_form(DITHER_NORMAL_NFC, "", "");
    expect_form(DITHER_NORMAL_NFC, "plain, \u00fc \u4e00", "plain, \u00fc \u4e00");
    expect_form(DITHER_NORMAL_NFC, "u\u0308", "\u00fc");
    expect_form(DITHER_NORMAL_NFC, "\u1e9b\u0323", "\u1e9b\u0323");
    expect_form(DITHER_NORMAL_NFD, "\u1e9b\u0323", "\u017f\u0323\u0307");
    expect_form(DITHER_NORMAL_NFKC, "\u1e9b\u0323", "\u1e69");
    expect_form(DITHER_NORMAL_NFKD, "\u1e9b\u0323", "s\u0323\u0307");
    expect_form(DITHER_NORMAL_NFC, "\u1100\u1161\u11a8 \uac00\u11a8", "\uac01 \uac01");
    expect_form(DITHER_NORMAL_NFD, "\uac01", "\u1100\u1161\u11a8");
    expect_form(DITHER_NORMAL_NFC, "\u212b\u2126\u0344", "\u00c5\u03a9\u0308\u0301");
    expect_form(DITHER_NORMAL_NFKC, "\ufb01 \u2460 \uff21 \u00bd", "fi 1 A 1\u20442");
    expect_form(DITHER_NORMAL_NFC, "a\u0315\u0300\u05ae\u0301", "\u00e0\u05ae\u0301\u0315");
    expect_form(DITHER_NORMAL_NFC, "\u4e00\u0301b", "\u4e00\u0301b");
    /* younger than Unicode 9: left as they are, and no mark passes them */
    expect_form(DITHER_NORMAL_NFC, "a\u0898\u0323", "a\u0898\u0323");
    expect_form(DITHER_NORMAL_NFKC, "\u32ff \U0001fbf5", "\u32ff \U0001fbf5");
}

static void bytes_that_are_no_text_stay(void **state)
{
    (void)state;
    expect_form(DITHER_NORMAL_NFC, "\xff" "u\u0308\xcc", "\xff\u00fc\xcc");
    expect_form(DITHER_NORMAL_NFC, "u\xff\u0308", "u\xff\u0308");
    expect_form(DITHER_NORMAL_LOWERCASE, "A\xe4\xb8" "B", "a\xe4\xb8" "b");
    expect((dither_normal_step){.kind = DITHER_NORMAL_STRIP, .left = true, .right = true}, " a\xff ", "a\xff ");
}

static void other_steps(void **state)
{
    (void)state;
    expect_form(DITHER_NORMAL_LOWERCASE, "\u0130\u00c4\u03a3 Z\u1e9e", "i\u0307\u00e4\u03c3 z\u00df");
    expect((dither_normal_step){.kind = DITHER_NORMAL_STRIP, .left = true}, " \u3000\na ", "a ");
    expect((dither_normal_step){.kind = DITHER_NORMAL_STRIP, .right = true}, " a \u3000\n", " a");
    expect((dither_normal_step){.kind = DITHER_NORMAL_STRIP, .left = true, .right = true}, " \t ", "");
    expect((dither_normal_step){.kind = DITHER_NORMAL_PREPEND, .content = "x"}, "xa", "xxa");
    expect((dither_normal_step){.kind = DITHER_NORMAL_PREPEND, .content = "x"}, "", "");
    expect((dither_normal_step){.kind = DITHER_NORMAL_PREFIX, .content = "x"}, "xa", "xa");
    expect((dither_normal_step){.kind = DITHER_NORMAL_PREFIX, .content = "x"}, "a", "xa");
    expect((dither_normal_step){.kind = DITHER_NORMAL_REPLACE, .content = "-", .pattern = "ab", .literal = true},
           "ababxa", "--xa");
    expect((dither_normal_step){.kind = DITHER_NORMAL_REPLACE, .content = "<$0>", .pattern = "\\p{L}+"},
           "ab1\U00031350c ", "<$0>1<$0> ");
    expect((dither_normal_step){.kind = DITHER_NORMAL_REPLACE, .content = "", .pattern = "\\s+"}, " a \u180e ",
           "a\u180e");
}

static void the_first_text_alone(void **state)
{
    (void)state;
    const dither_normal_step step = {.kind = DITHER_NORMAL_PREFIX, .content = "x", .first = true};
    dither_normalizer *normalizer;
    dither_normalizer_scratch scratch = {.capacity = 0};
    assert_int_equal(dither_normalizer_open(&normalizer, &step, 1, NULL), DITHER_OK);
    for (int first = 0; first < 2; first++) {
        const char *text = "a";
        size_t length = 1;
        assert_true(dither_normalizer_apply(normalizer, &scratch, first, &text, &length));
        assert_int_equal(length, 1 + first);
    }
    dither_normalizer_scratch_close(&scratch);
    dither_normalizer_close(normalizer);
}

/* Marks without end are sorted, and in time. */
static void many_marks(void **state)
{
    (void)state;
    enum { MARKS = 3 << 17 };
    static const char *const marks[] = {"\u0301", "\u0323", "\u0334"}; /* of classes 230, 220, 1 */
    const dither_normal_step step = {.kind = DITHER_NORMAL_NFD};
    char *made = malloc(2 * MARKS + 1);
    dither_normalizer *normalizer;
    dither_normalizer_scratch scratch = {.capacity = 0};
    assert_non_null(made);
    made[0] = 'a';
    for (size_t i = 0; i < MARKS; i++)
        memcpy(made + 1 + 2 * i, marks[i % 3], 2);
    assert_int_equal(dither_normalizer_open(&normalizer, &step, 1, NULL), DITHER_OK);
    const char *text = made;
    size_t length = 2 * MARKS + 1;
    assert_true(dither_normalizer_apply(normalizer, &scratch, true, &text, &length));
    assert_int_equal(length, 2 * MARKS + 1);
    for (size_t i = 0; i < MARKS; i++)
        assert_memory_equal(text + 1 + 2 * i, marks[2 - 3 * i / MARKS], 2);
    dither_normalizer_scratch_close(&scratch);
    dither_normalizer_close(normalizer);
    free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_forms),
        cmocka_unit_test(bytes_that_are_no_text_stay),
        cmocka_unit_test(other_steps),
        cmocka_unit_test(the_first_text_alone),
        cmocka_unit_test(many_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
