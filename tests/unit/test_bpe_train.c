/*
 * The oracle is the definition carried out literally: count all pairs of byte strings anew before each merge, take the
 * most frequent, the greatest among equals, and rewrite every word from the left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data/bpe_train.h"

enum { WORDS_MAX = 400, WORD_MAX = 64, MERGES_MAX = 600, PAIRS_MAX = WORDS_MAX * WORD_MAX };

typedef struct string {
    unsigned char bytes[WORD_MAX];
    size_t length;
} string;

typedef struct naive_word {
    string parts[WORD_MAX];
    size_t count;
    uint64_t times;
} naive_word;

typedef struct naive_pair {
    const string *left, *right;
    uint64_t times;
} naive_pair;

typedef struct naive {
    naive_word words[WORDS_MAX];
    size_t word_count;
    naive_pair pairs[PAIRS_MAX];
    string left[MERGES_MAX], right[MERGES_MAX];
    size_t merge_count;
    string tokens[MERGES_MAX + 256];
    size_t token_count;
} naive;

static int compare(const string *a, const string *b)
{
    const int order = memcmp(a->bytes, b->bytes, a->length < b->length ? a->length : b->length);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

static int by_strings(const void *a, const void *b)
{
    const naive_pair *p = a, *q = b;
    const int order = compare(p->left, q->left);
    return order != 0 ? order : compare(p->right, q->right);
}

/* The pair to merge; NULL: none that often. */
static const naive_pair *best(naive *n, uint64_t least)
{
    size_t count = 0, distinct = 0;
    const naive_pair *found = NULL;
    for (size_t w = 0; w < n->word_count; w++)
        for (size_t i = 0; i + 1 < n->words[w].count; i++)
            n->pairs[count++] = (naive_pair){&n->words[w].parts[i], &n->words[w].parts[i + 1], n->words[w].times};
    qsort(n->pairs, count, sizeof *n->pairs, by_strings);
    for (size_t i = 0; i < count; i++) {
        if (distinct > 0 && by_strings(&n->pairs[distinct - 1], &n->pairs[i]) == 0)
            n->pairs[distinct - 1].times += n->pairs[i].times;
        else
            n->pairs[distinct++] = n->pairs[i];
    }
    for (size_t i = 0; i < distinct; i++) /* ascending, so that the last of equals stays */
        if (n->pairs[i].times >= least && (found == NULL || n->pairs[i].times >= found->times))
            found = &n->pairs[i];
    return found;
}

static string joined(const string *left, const string *right)
{
    string both = *left;
    memcpy(both.bytes + both.length, right->bytes, right->length);
    both.length += right->length;
    return both;
}

static void rewrite(naive_word *word, const string *left, const string *right)
{
    size_t to = 0;
    for (size_t i = 0; i < word->count; to++) {
        const bool here = i + 1 < word->count && compare(&word->parts[i], left) == 0 &&
                          compare(&word->parts[i + 1], right) == 0;
        word->parts[to] = here ? joined(&word->parts[i], &word->parts[i + 1]) : word->parts[i];
        i += here ? 2 : 1;
    }
    word->count = to;
}

static void train_naively(naive *n, const dither_words *words, size_t wanted, uint64_t least)
{
    n->word_count = words->count;
    n->merge_count = 0;
    n->token_count = 256;
    for (size_t i = 0; i < 256; i++)
        n->tokens[i] = (string){{(unsigned char)i}, 1};
    for (size_t w = 0; w < words->count; w++) {
        n->words[w].count = words->words[w].length;
        n->words[w].times = words->words[w].count;
        for (size_t i = 0; i < words->words[w].length; i++)
            n->words[w].parts[i] = (string){{dither_words_bytes(words, w)[i]}, 1};
    }
    while (n->token_count < wanted) {
        const naive_pair *pair = best(n, least);
        if (pair == NULL)
            return;
        const string left = *pair->left, right = *pair->right, both = joined(&left, &right);
        n->left[n->merge_count] = left;
        n->right[n->merge_count++] = right;
        for (size_t w = 0; w < n->word_count; w++)
            rewrite(&n->words[w], &left, &right);
        for (size_t i = 0; i < n->token_count; i++)
            assert_int_not_equal(compare(&n->tokens[i], &both), 0);
        n->tokens[n->token_count++] = both;
    }
}

static void expect_token(const dither_trained_bpe *bpe, uint32_t token, const string *bytes)
{
    assert_true(token < bpe->tokens.count);
    assert_int_equal(bpe->tokens.words[token].length, bytes->length);
    assert_memory_equal(dither_words_bytes(&bpe->tokens, token), bytes->bytes, bytes->length);
}

static void expect_same(naive *n, const dither_words *words, size_t wanted, uint64_t least)
{
    dither_trained_bpe bpe = {0};
    dither_error error = {.status = DITHER_OK};
    train_naively(n, words, wanted, least);
    assert_int_equal(dither_bpe_train(&bpe, words, wanted, least, NULL, NULL, &error), DITHER_OK);
    for (size_t i = 0; i < bpe.merge_count && i < n->merge_count; i++) {
        expect_token(&bpe, bpe.merges[i].left, &n->left[i]);
        expect_token(&bpe, bpe.merges[i].right, &n->right[i]);
    }
    assert_int_equal(bpe.merge_count, n->merge_count);
    assert_int_equal(bpe.tokens.count, n->token_count);
    for (uint32_t i = 0; i < n->token_count; i++)
        expect_token(&bpe, i, &n->tokens[i]);
    uint64_t text_tokens = 0;
    for (size_t w = 0; w < n->word_count; w++)
        text_tokens += n->words[w].times * n->words[w].count;
    assert_int_equal(bpe.text_tokens, text_tokens);
    dither_trained_bpe_close(&bpe);
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/*
 * Random words of few letters and few counts: full of ties and of runs of one letter. Vocabularies from none to all
 * that the words give.
 */
static void merges_are_the_naive_ones(void **state)
{
    (void)state;
    naive *n = malloc(sizeof *n);
    assert_non_null(n);
    for (uint32_t seed = 1; seed <= 60; seed++) {
        dither_words words = {0};
        uint32_t random = seed;
        const uint32_t letters = 1 + seed % 4, longest = 2 + 7 * (seed % 5), times = 1 + seed % 7;
        const uint32_t count = 20 + 2 * seed;
        for (uint32_t w = 0; w < count; w++) {
            unsigned char word[WORD_MAX];
            const uint32_t length = 1 + next(&random) % longest;
            for (uint32_t i = 0; i < length; i++)
                word[i] = (unsigned char)(0xfe + next(&random) % letters); /* 254, 255, 0, 1 */
            assert_int_equal(dither_words_add(&words, word, length, 1 + next(&random) % times), DITHER_OK);
        }
        expect_same(n, &words, 256 + (seed * 37) % 300, 1 + seed % 3);
        dither_words_close(&words);
    }
    free(n);
}

static void words_of(dither_words *words, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(dither_words_add(words, texts[i], strlen(texts[i]), 1), DITHER_OK);
}

static void small_cases(void **state)
{
    (void)state;
    naive *n = malloc(sizeof *n);
    assert_non_null(n);
    static const char *const cases[][4] = {
        {"", "", "", ""}, {"a", "b", "", ""}, {"aaaa", "", "", ""}, {"aaaaa", "aaaaaa", "aaaaaaa", "aa"},
        {"ab", "bc", "abc", "cab"}, {"abab", "baba", "ababa", "babab"}, {"low", "lower", "newest", "widest"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dither_words words = {0};
        words_of(&words, cases[i], 4);
        for (size_t wanted = 256; wanted < 276; wanted++)
            expect_same(n, &words, wanted, 1);
        dither_words_close(&words);
    }
    free(n);
}

/* Of pairs equally frequent the greater left part wins, and of one left part the greater right. */
static void ties_go_to_the_greater_pair(void **state)
{
    (void)state;
    static const char *const texts[] = {"ab", "zb", "za", ("\x80" "a")};
    static const unsigned char order[][2] = {{0x80, 'a'}, {'z', 'b'}, {'z', 'a'}, {'a', 'b'}};
    dither_words words = {0};
    dither_trained_bpe bpe = {0};
    words_of(&words, texts, 4);
    assert_int_equal(dither_bpe_train(&bpe, &words, 300, 1, NULL, NULL, NULL), DITHER_OK);
    assert_int_equal(bpe.merge_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(bpe.merges[i].left, order[i][0]);
        assert_int_equal(bpe.merges[i].right, order[i][1]);
    }
    dither_trained_bpe_close(&bpe);
    dither_words_close(&words);
}

static void rare_pairs_are_left(void **state)
{
    (void)state;
    dither_words words = {0};
    dither_trained_bpe bpe = {0};
    assert_int_equal(dither_words_add(&words, "ab", 2, 5), DITHER_OK);
    assert_int_equal(dither_words_add(&words, "cd", 2, 4), DITHER_OK);
    assert_int_equal(dither_bpe_train(&bpe, &words, 300, 5, NULL, NULL, NULL), DITHER_OK);
    assert_int_equal(bpe.merge_count, 1);
    assert_int_equal(bpe.merges[0].left, 'a');
    assert_int_equal(bpe.text_tokens, 5 + 2 * 4);
    dither_trained_bpe_close(&bpe);
    dither_words_close(&words);
}

/* A million letters in one word: the work is that of its merges, not of its length times their number. */
static void a_long_word_is_no_trouble(void **state)
{
    (void)state;
    enum { LENGTH = 1000003 };
    dither_words words = {0};
    dither_trained_bpe bpe = {0};
    char *text = malloc(LENGTH);
    assert_non_null(text);
    memset(text, 'a', LENGTH);
    assert_int_equal(dither_words_add(&words, text, LENGTH, 1), DITHER_OK);
    assert_int_equal(dither_bpe_train(&bpe, &words, 256 + 19, 1, NULL, NULL, NULL), DITHER_OK);
    assert_int_equal(bpe.tokens.words[256 + 18].length, 1 << 19);
    uint32_t random = 1;
    for (size_t i = 0; i < LENGTH; i++)
        text[i] = (char)('a' + next(&random) % 26);
    dither_words_clear(&words);
    dither_trained_bpe_close(&bpe);
    assert_int_equal(dither_words_add(&words, text, LENGTH, 1), DITHER_OK);
    assert_int_equal(dither_bpe_train(&bpe, &words, 5000, 1, NULL, NULL, NULL), DITHER_OK);
    assert_int_equal(bpe.tokens.count, 5000);
    dither_trained_bpe_close(&bpe);
    dither_words_close(&words);
    free(text);
}

static bool until_three(void *context, size_t done, size_t wanted)
{
    assert_int_equal(wanted, 300);
    assert_int_equal(done, 256 + (*(size_t *)context)++);
    return done < 259;
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    dither_words words = {0};
    dither_trained_bpe bpe = {0};
    size_t calls = 0;
    assert_int_equal(dither_words_add(&words, "abcdefgh", 8, 5), DITHER_OK);
    assert_int_equal(dither_bpe_train(&bpe, &words, 300, 1, until_three, &calls, NULL), DITHER_E_STOPPED);
    assert_int_equal(calls, 4);
    assert_int_equal(bpe.merge_count, 3);
    dither_trained_bpe_close(&bpe);
    dither_words_close(&words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_are_the_naive_ones),
        cmocka_unit_test(small_cases),
        cmocka_unit_test(ties_go_to_the_greater_pair),
        cmocka_unit_test(rare_pairs_are_left),
        cmocka_unit_test(a_long_word_is_no_trouble),
        cmocka_unit_test(it_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
