#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/pretokenizer.h"

static void pieces_of(const dither_pretokenizer *pretokenizer, const char *text, size_t size, char *out)
{
    dither_pretokenizer_walk *walk = dither_pretokenizer_walk_open(pretokenizer);
    assert_non_null(walk);
    assert_true(dither_pretokenizer_start(walk, text, size));
    size_t first, length, end = 0;
    while (dither_pretokenizer_next(walk, &first, &length)) {
        assert_true(length > 0 && first >= end && length <= size - first);
        memcpy(out, text + first, length);
        out += length;
        *out++ = '|';
        end = first + length;
    }
    *out = '\0';
    dither_pretokenizer_walk_close(walk);
}

static void expect(const dither_pretokenizer *pretokenizer, const char *text, const char *want)
{
    char got[1024];
    pieces_of(pretokenizer, text, strlen(text), got);
    assert_string_equal(got, want);
}

static dither_pretokenizer *named(const char *name)
{
    dither_pretokenizer *pretokenizer;
    dither_error error;
    if (dither_pretokenizer_open(&pretokenizer, name, &error) != DITHER_OK)
        fail_msg("%s: %s", name, error.text);
    return pretokenizer;
}

/* What each pattern makes of a text; the pieces are those of Hugging Face tokenizers 0.23 on the same patterns. */
static void names_split_as_they_should(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *pieces;
    } rows[] = {
        {"gpt2", "It's 1234  o'clock,\n\n  y'ALL!", "It|'s| 1234| | o|'|clock|,|\n\n | y|'|ALL|!|"},
        {"gpt2", "a   ", "a|   |"},
        {"gpt2", "", ""},
        {"mpt", " 12 caf\xc3\xa9", " 12| caf\xc3\xa9|"},
        {"smollm", "x12 34", "x|1|2| |3|4|"},
        {"starcoder", "x12 34", "x|1|2| |3|4|"},
        {"refact", "x12 34", "x|1|2| |3|4|"},
        {"llama3", "It'S 12345!\n\n ok", "It|'S| |123|45|!\n\n| ok|"},
        {"llama-bpe", "#tag  x", "#tag| | x|"},
        {"qwen2", "12 a.\r\n b", "1|2| a|.\r\n| b|"},
        {"falcon", "a,b 12345", "a|,|b| |123|45|"},
        {"deepseek-coder", "a b1\n  c.", "a| b|1|\n| | c|.|"},
        {"deepseek-llm", "a b12\n  c.", "a| b|1|2|\n| | c|.|"},
        {"deepseek-v3", "1234 a.b", "123|4| a|.b|"},
        {"gpt-4o", "HelloWorld's 1234", "Hello|World's| |123|4|"},
        {"tekken", "HelloWorld 12", "Hello|World| |1|2|"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dither_pretokenizer *pretokenizer = named(rows[i].name);
        expect(pretokenizer, rows[i].text, rows[i].pieces);
        dither_pretokenizer_close(pretokenizer);
    }
    dither_pretokenizer *none;
    dither_error error;
    assert_int_equal(dither_pretokenizer_open(&none, "gpt3", &error), DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "gpt2, smollm"));
    assert_null(none);
}

/* @param flags  l: the pattern is literal; i: inverted */
static void expect_split(dither_split_kind kind, const char *flags, const char *pattern, const char *text,
                         const char *pieces)
{
    const dither_split split = {pattern, kind, strchr(flags, 'l') != NULL, strchr(flags, 'i') != NULL};
    dither_pretokenizer *pretokenizer;
    assert_int_equal(dither_pretokenizer_splits(&pretokenizer, &split, 1, NULL), DITHER_OK);
    expect(pretokenizer, text, pieces);
    dither_pretokenizer_close(pretokenizer);
}

/* The text and four of the rows are those by which Hugging Face explains the behaviors. */
static void kinds_of_splits(void **state)
{
    (void)state;
    static const char text[] = "the-final--countdown";
    expect_split(DITHER_SPLIT_REMOVED, "l", "-", text, "the|final|countdown|");
    expect_split(DITHER_SPLIT_ISOLATED, "l", "-", text, "the|-|final|-|-|countdown|");
    expect_split(DITHER_SPLIT_WITH_PREVIOUS, "l", "-", text, "the-|final-|-|countdown|");
    expect_split(DITHER_SPLIT_WITH_NEXT, "l", "-", text, "the|-final|-|-countdown|");
    expect_split(DITHER_SPLIT_CONTIGUOUS, "l", "-", text, "the|-|final|--|countdown|");
    expect_split(DITHER_SPLIT_REMOVED, "i", "[a-z]+", text, "the|final|countdown|");
    expect_split(DITHER_SPLIT_REMOVED, "", "[a-z]+", text, "-|--|");
    expect_split(DITHER_SPLIT_ISOLATED, "", "(?=(\\d{3})+(?!\\d))", "1234567", "1|234|567|");
    expect_split(DITHER_SPLIT_ISOLATED, "l", ".", "a.b", "a|.|b|");
    expect_split(DITHER_SPLIT_ISOLATED, "", "x*", "axxb", "a|xx|b|");
    expect_split(DITHER_SPLIT_ISOLATED, "", "^a$", "a\nba\na", "a|\nba\n|a|");
}

static void bytes_that_are_no_text(void **state)
{
    (void)state;
    dither_pretokenizer *pretokenizer = named("smollm");
    expect(pretokenizer, "a\xff\xfe 1b\xc3", "a|\xff|\xfe| |1|b|\xc3|");
    expect(pretokenizer, "\xe2\x82", "\xe2|\x82|");
    expect(pretokenizer, "\xed\xa0\x80", "\xed|\xa0|\x80|");
    char zeros[9];
    pieces_of(pretokenizer, "a\0b", 3, zeros);
    assert_memory_equal(zeros, "a|\0|b|", 7);
    dither_pretokenizer_close(pretokenizer);
}

/* Letters, a digit and an ideograph of Unicode 15 and 16; U+180E, which is no space. */
static void newer_characters(void **state)
{
    (void)state;
    dither_pretokenizer *pretokenizer = named("gpt2");
    expect(pretokenizer, "a\xf0\x9e\x80\xb0\xf0\xb1\x8d\x90z", "a\xf0\x9e\x80\xb0\xf0\xb1\x8d\x90z|");
    expect(pretokenizer, "a\xf0\x91\xbd\x90\x31", "a|\xf0\x91\xbd\x90\x31|");
    expect(pretokenizer, ".\xe1\xa0\x8e.", ".\xe1\xa0\x8e.|");
    expect(pretokenizer, "\xff" "a\xea\x9f\x8b" "a", "\xff|a\xea\x9f\x8b" "a|");
    dither_pretokenizer_close(pretokenizer);
}

static void patterns_are_read_as_oniguruma_reads_them(void **state)
{
    (void)state;
    static const char *const refused[] = {"\\h+", "\\b", "[a[b]]", "[a&&b]", "[]a]", "a{1,2}+", "a{,2}", "(?m:a)",
                                          "[\\W]", "(a", "[a", "a\\", "\\p{Nonsense}", "\\pL", "\\1", "\\x4", "\\Qa"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        dither_pretokenizer *pretokenizer;
        dither_error error;
        if (dither_pretokenizer_regex(&pretokenizer, &refused[i], 1, &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", refused[i]);
        assert_null(pretokenizer);
        assert_non_null(strstr(error.text, refused[i]));
    }
    expect_split(DITHER_SPLIT_REMOVED, "", "\\v", "a\nb\vc", "a\nb|c|");
    expect_split(DITHER_SPLIT_ISOLATED, "", "\\u0041+", "xAAx", "x|AA|x|");
    expect_split(DITHER_SPLIT_REMOVED, "", "\\x41\\x{1F600}", "xA\xf0\x9f\x98\x80y", "x|y|");
    expect_split(DITHER_SPLIT_ISOLATED, "", "\\w+", "a\xcc\x81_\xc2\xb2", "a\xcc\x81_|\xc2\xb2|");
    expect_split(DITHER_SPLIT_ISOLATED, "", "\\p{Han}", "\xe3\x80\x81\xe4\xb8\x80", "\xe3\x80\x81|\xe4\xb8\x80|");
}

static void long_texts_are_walked_in_linear_time(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    dither_pretokenizer *pretokenizer = named("smollm");
    dither_pretokenizer_walk *walk = dither_pretokenizer_walk_open(pretokenizer);
    for (size_t kind = 0; kind < 4; kind++) {
        memset(text, " ax1"[kind], SIZE);
        for (size_t i = 0; kind == 2 && i < SIZE; i += 2)
            text[i] = ' ';
        assert_true(dither_pretokenizer_start(walk, text, SIZE));
        size_t first, length, count = 0;
        while (dither_pretokenizer_next(walk, &first, &length))
            count++;
        assert_int_equal(count, kind == 2 ? SIZE / 2 : kind == 3 ? SIZE : 1);
    }
    dither_pretokenizer_walk_close(walk);
    dither_pretokenizer_close(pretokenizer);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_split_as_they_should),
        cmocka_unit_test(kinds_of_splits),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(newer_characters),
        cmocka_unit_test(patterns_are_read_as_oniguruma_reads_them),
        cmocka_unit_test(long_texts_are_walked_in_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
