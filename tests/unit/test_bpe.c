/* Merging against a plain restatement: look at all neighbours, merge the best, again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/bpe.h"

enum { LETTERS = 4, TOKENS = 60, LONGEST = 200 };

typedef struct model {
    dither_bpe bpe;
    char texts[TOKENS][16];
    uint32_t left[TOKENS], right[TOKENS]; /* of a merged one */
    unsigned draw;
} model;

static unsigned draw(model *m, unsigned below)
{
    m->draw = m->draw * 1103515245 + 12345;
    return (m->draw >> 16) % below;
}

/* Letters, and tokens that two earlier ones make; with scores, many of them the same, where asked. */
static void make(model *m, unsigned seed, bool scores)
{
    *m = (model){.draw = seed};
    assert_int_equal(dither_vocabulary_open(&m->bpe.vocabulary, TOKENS, NULL), DITHER_OK);
    assert_int_equal(dither_vocabulary_reserve(&m->bpe.vocabulary, TOKENS, NULL), DITHER_OK);
    m->bpe.unknown = DITHER_NO_TOKEN;
    m->bpe.byte_level = !scores;
    for (size_t i = 0; i < 256; i++)
        m->bpe.bytes[i] = DITHER_NO_TOKEN;
    if (scores) {
        m->bpe.score_ranks = calloc(TOKENS + 1, sizeof *m->bpe.score_ranks);
        assert_non_null(m->bpe.score_ranks);
    }
    for (uint32_t id = 0; id < TOKENS; id++) {
        char *text = m->texts[id];
        do {
            m->left[id] = id < LETTERS ? id : draw(m, id);
            m->right[id] = id < LETTERS ? id : draw(m, id);
            if (id < LETTERS)
                snprintf(text, 16, "%c", 'a' + (int)id);
            else
                snprintf(text, 16, "%.7s%.7s", m->texts[m->left[id]], m->texts[m->right[id]]);
        } while (strlen(m->texts[m->left[id]]) > 7 || strlen(m->texts[m->right[id]]) > 7 ||
                 dither_vocabulary_find(&m->bpe.vocabulary, text, strlen(text)) != DITHER_NO_TOKEN);
        assert_int_equal(dither_vocabulary_set(&m->bpe.vocabulary, id, text, strlen(text), DITHER_TOKEN_MODEL, NULL),
                         DITHER_OK);
        if (id < LETTERS)
            m->bpe.bytes['a' + id] = id;
        else
            dither_vocabulary_merge(&m->bpe.vocabulary, m->left[id], m->right[id], (dither_merge){id, id});
        if (scores)
            m->bpe.score_ranks[id] = draw(m, 10);
    }
}

/* The token that two neighbours make, and its rank; TOKENS: none. */
static uint32_t merged(const model *m, uint32_t left, uint32_t right, uint32_t *rank)
{
    char both[32];
    snprintf(both, sizeof both, "%s%s", m->texts[left], m->texts[right]);
    for (uint32_t id = LETTERS; id < TOKENS; id++) {
        const bool pair = m->left[id] == left && m->right[id] == right;
        if (m->bpe.score_ranks != NULL ? strcmp(both, m->texts[id]) == 0 : pair) {
            *rank = m->bpe.score_ranks != NULL ? m->bpe.score_ranks[id] : id;
            return id;
        }
    }
    return TOKENS;
}

static size_t plainly(const model *m, const char *text, size_t length, uint32_t *ids)
{
    size_t count = length;
    for (size_t i = 0; i < length; i++)
        ids[i] = (uint32_t)(text[i] - 'a');
    for (;;) {
        size_t best = SIZE_MAX;
        uint32_t best_rank = UINT32_MAX, best_id = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            uint32_t rank = 0;
            const uint32_t id = merged(m, ids[i], ids[i + 1], &rank);
            if (id < TOKENS && rank < best_rank) {
                best = i;
                best_rank = rank;
                best_id = id;
            }
        }
        if (best == SIZE_MAX)
            return count;
        ids[best] = best_id;
        memmove(ids + best + 1, ids + best + 2, (count - best - 2) * sizeof *ids);
        count--;
    }
}

static void compare(bool scores)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        model m;
        make(&m, seed, scores);
        dither_bpe_scratch *scratch = dither_bpe_scratch_open(seed % 2 == 0 ? 1 << 20 : 0);
        assert_non_null(scratch);
        for (size_t round = 0; round < 300; round++) {
            char text[LONGEST];
            uint32_t want[LONGEST], got[LONGEST];
            const size_t length = round % 3 == 0 ? draw(&m, LONGEST) : draw(&m, 12);
            for (size_t i = 0; i < length; i++)
                text[i] = (char)('a' + draw(&m, LETTERS));
            const size_t count = length > 0 ? plainly(&m, text, length, want) : 0;
            for (size_t again = 0; again < 2; again++) { /* the second time it may be a word that was kept */
                dither_id_sink sink = {.ids = got, .capacity = LONGEST};
                assert_true(length == 0 || dither_bpe_encode(&m.bpe, scratch, text, length, &sink));
                assert_int_equal(sink.count, count);
                assert_memory_equal(got, want, count * sizeof *got);
            }
        }
        dither_bpe_scratch_close(scratch);
        dither_bpe_close(&m.bpe);
    }
}

static void pairs_merge_by_rank(void **state)
{
    (void)state;
    compare(false);
}

static void texts_merge_by_score(void **state)
{
    (void)state;
    compare(true);
}

static void long_pieces_take_no_square_of_time(void **state)
{
    (void)state;
    enum { SIZE = 1 << 21 };
    for (int scores = 0; scores < 2; scores++) {
        model m;
        make(&m, 3, scores);
        char *text = malloc(SIZE);
        dither_bpe_scratch *scratch = dither_bpe_scratch_open(SIZE);
        assert_true(text != NULL && scratch != NULL);
        for (size_t i = 0; i < SIZE; i++)
            text[i] = (char)('a' + draw(&m, LETTERS));
        dither_id_sink sink = {.ids = NULL};
        assert_true(dither_bpe_encode(&m.bpe, scratch, text, SIZE, &sink));
        assert_true(sink.count > SIZE / 16 && sink.count < SIZE);
        dither_bpe_scratch_close(scratch);
        free(text);
        dither_bpe_close(&m.bpe);
    }
}

/* What has no token: left out, one unknown token for each, or one for a run; or its bytes. */
static void unknown_symbols(void **state)
{
    (void)state;
    model m;
    make(&m, 1, false);
    m.bpe.byte_level = false;
    dither_vocabulary_close(&m.bpe.vocabulary); /* letters alone, without merges */
    assert_int_equal(dither_vocabulary_open(&m.bpe.vocabulary, TOKENS, NULL), DITHER_OK);
    for (uint32_t id = 0; id < LETTERS; id++)
        assert_int_equal(dither_vocabulary_set(&m.bpe.vocabulary, id, m.texts[id], 1, DITHER_TOKEN_MODEL, NULL),
                         DITHER_OK);
    static const struct {
        uint32_t unknown;
        bool fuse, fallback;
        size_t count;
        uint32_t ids[8];
    } rows[] = {
        {DITHER_NO_TOKEN, false, false, 2, {0, 1}},
        {50, false, false, 4, {0, 50, 50, 1}},
        {50, true, false, 3, {0, 50, 1}},
        {50, true, true, 5, {0, 51, 52, 50, 1}},
    };
    m.bpe.bytes[0xc3] = 51;
    m.bpe.bytes[0xa9] = 52;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t ids[8];
        dither_id_sink sink = {.ids = ids, .capacity = 8};
        dither_bpe_scratch *scratch = dither_bpe_scratch_open(0);
        m.bpe.unknown = rows[i].unknown;
        m.bpe.fuse_unknown = rows[i].fuse;
        m.bpe.byte_fallback = rows[i].fallback;
        assert_true(dither_bpe_encode(&m.bpe, scratch, "a\xc3\xa9\xe4\xb8\x80" "b", 7, &sink));
        assert_int_equal(sink.count, rows[i].count);
        assert_memory_equal(ids, rows[i].ids, rows[i].count * sizeof *ids);
        dither_bpe_scratch_close(scratch);
    }
    dither_bpe_close(&m.bpe);
}

static uint32_t collected[LONGEST];
static size_t collected_count;

static bool collect(dither_id_sink *sink)
{
    memcpy(collected + collected_count, sink->ids, sink->count * sizeof *sink->ids);
    collected_count += sink->count;
    return collected_count < 150;
}

static void sinks_are_drained(void **state)
{
    (void)state;
    model m;
    make(&m, 1, false);
    dither_bpe_scratch *scratch = dither_bpe_scratch_open(0);
    uint32_t ids[2], want[LONGEST];
    static const char text[] = "abcdabdcabacddbcabcdabdc";
    const size_t count = plainly(&m, text, 24, want);
    dither_id_sink sink = {.ids = ids, .capacity = 2, .drain = collect};
    collected_count = 0;
    for (size_t i = 0; i < 2; i++) { /* a word that was cut by draining is not kept cut */
        assert_true(dither_bpe_encode(&m.bpe, scratch, text, 24, &sink));
        (void)collect(&sink);
        sink.count = 0;
        assert_int_equal(collected_count, (i + 1) * count);
        assert_memory_equal(collected + i * count, want, count * sizeof *want);
    }
    bool good = true;
    for (size_t i = 0; i < 40 && good; i++)
        good = dither_bpe_encode(&m.bpe, scratch, text, 24, &sink);
    assert_false(good);
    dither_bpe_scratch_close(scratch);
    dither_bpe_close(&m.bpe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_merge_by_rank),
        cmocka_unit_test(texts_merge_by_score),
        cmocka_unit_test(long_pieces_take_no_square_of_time),
        cmocka_unit_test(unknown_symbols),
        cmocka_unit_test(sinks_are_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
