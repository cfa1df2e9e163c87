#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "data/words.h"

/* Enough words that all three arrays grow, some of them prefixes of others, some with a NUL inside. */
static void counts_are_kept(void **state)
{
    (void)state;
    enum { WORDS = 5000 };
    dither_words words = {0};
    char text[32];
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < WORDS; i += round) {
            const int length = snprintf(text, sizeof text, "w%c%d", i % 3 == 0 ? 0 : 'x', i);
            assert_int_equal(dither_words_add(&words, text, (size_t)length, (uint64_t)i), DITHER_OK);
        }
    }
    assert_int_equal(words.count, WORDS);
    for (int i = 0; i < WORDS; i++) {
        const int length = snprintf(text, sizeof text, "w%c%d", i % 3 == 0 ? 0 : 'x', i);
        const size_t index = dither_words_find(&words, text, (size_t)length);
        assert_int_equal(index, i);
        const uint64_t times = 1u + (i % 2 == 0) + (i % 3 == 0);
        assert_int_equal(words.words[index].count, times * (uint64_t)i);
        assert_int_equal(words.words[index].length, length);
        assert_memory_equal(dither_words_bytes(&words, index), text, (size_t)length);
    }
    assert_int_equal(dither_words_find(&words, "w", 1), SIZE_MAX);
    assert_int_equal(dither_words_find(&words, "", 0), SIZE_MAX);
    dither_words_close(&words);
}

/* Lengths 0 to 40: words that differ in their last byte or in length alone are different. */
static void lengths_differ(void **state)
{
    (void)state;
    dither_words words = {0};
    const char zeros[41] = {0};
    char one[41] = {0};
    for (size_t n = 0; n <= 40; n++) {
        assert_int_equal(dither_words_add(&words, zeros, n, 1), DITHER_OK);
        if (n > 0) {
            one[n - 1] = 1;
            assert_int_equal(dither_words_add(&words, one, n, 2), DITHER_OK);
            one[n - 1] = 0;
        }
    }
    assert_int_equal(words.count, 81);
    for (size_t n = 0; n <= 40; n++)
        assert_int_equal(words.words[dither_words_find(&words, zeros, n)].count, 1);
    dither_words_close(&words);
}

static void tables_are_merged_and_cleared(void **state)
{
    (void)state;
    dither_words a = {0}, b = {0};
    assert_int_equal(dither_words_find(&a, "one", 3), SIZE_MAX);
    assert_int_equal(dither_words_add(&a, "one", 3, 1), DITHER_OK);
    assert_int_equal(dither_words_add(&b, "one", 3, 10), DITHER_OK);
    assert_int_equal(dither_words_add(&b, "two", 3, 20), DITHER_OK);
    assert_int_equal(dither_words_merge(&a, &b), DITHER_OK);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.words[dither_words_find(&a, "one", 3)].count, 11);
    assert_int_equal(a.words[dither_words_find(&a, "two", 3)].count, 20);
    dither_words_clear(&a);
    assert_int_equal(a.count, 0);
    assert_int_equal(dither_words_find(&a, "one", 3), SIZE_MAX);
    assert_int_equal(dither_words_merge(&a, &b), DITHER_OK);
    assert_int_equal(a.words[dither_words_find(&a, "one", 3)].count, 10);
    dither_words_close(&a);
    dither_words_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_kept),
        cmocka_unit_test(lengths_differ),
        cmocka_unit_test(tables_are_merged_and_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
