#include "data/bpe_train.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "data/pair_table.h"

/* What stands between words: the token of no pair. */
#define BETWEEN UINT32_MAX

/*
 * A byte of a word. A token's first and last position hold its id, so that from any token both neighbours are found;
 * positions in its middle hold what was there before and are not read.
 */
typedef struct position {
    uint32_t token;
    uint32_t pair, next, before; /* of the pair whose left token begins here: its index, and the chain of its places */
    uint32_t word;
} position;

/* All words one after another, with a position before, between and after them. */
typedef struct trainer {
    dither_trained_bpe *bpe;
    const dither_words *words;
    position *at;
    dither_pair_table pairs;
    bool failed; /* no memory */
} trainer;

static uint32_t length_of(const trainer *t, uint32_t token)
{
    return t->bpe->tokens.words[token].length;
}

/* ---- places -------------------------------------------------------------------------------------------------- */

/* The token at `place` and the one behind it become neighbours. */
static void join(trainer *t, uint32_t place)
{
    const uint32_t left = t->at[place].token, right = t->at[place + length_of(t, left)].token;
    if (right == BETWEEN)
        return;
    const uint32_t index = dither_pair_index(&t->pairs, left, right);
    if (index == UINT32_MAX || !dither_pair_note(&t->pairs, index)) {
        t->failed = true;
        return;
    }
    dither_pair *pair = &t->pairs.pairs[index];
    position *p = &t->at[place];
    p->pair = index;
    p->next = DITHER_PLACE_NONE;
    p->before = pair->tail;
    if (pair->tail != DITHER_PLACE_NONE)
        t->at[pair->tail].next = place;
    else
        pair->head = place;
    pair->tail = place;
    pair->count += t->words->words[p->word].count;
}

/* They are not any more; the token at `place` has a neighbour behind it. */
static void part(trainer *t, uint32_t place)
{
    const position *p = &t->at[place];
    dither_pair *pair = &t->pairs.pairs[p->pair];
    if (p->before != DITHER_PLACE_NONE)
        t->at[p->before].next = p->next;
    else
        pair->head = p->next;
    if (p->next != DITHER_PLACE_NONE)
        t->at[p->next].before = p->before;
    else
        pair->tail = p->before;
    pair->count -= t->words->words[p->word].count;
}

/* Lays the words out, byte by byte; those of one byte have no pair. */
static bool lay_out(trainer *t)
{
    size_t positions = 1, longer = 0;
    for (size_t i = 0; i < t->words->count; i++) {
        t->bpe->text_tokens += t->words->words[i].count * t->words->words[i].length;
        if (t->words->words[i].length < 2)
            continue;
        positions += (size_t)t->words->words[i].length + 1;
        longer++;
    }
    if (positions >= UINT32_MAX)
        return false;
    t->at = malloc(dither_multiply(positions, sizeof *t->at));
    if (t->at == NULL)
        return false;
    uint32_t place = 0;
    t->at[place++].token = BETWEEN;
    for (size_t i = 0; i < t->words->count; i++) {
        const dither_word *word = &t->words->words[i];
        const unsigned char *bytes = dither_words_bytes(t->words, i);
        if (word->length < 2)
            continue;
        for (uint32_t k = 0; k < word->length; k++)
            t->at[place++] = (position){.token = bytes[k], .word = (uint32_t)i};
        t->at[place++].token = BETWEEN;
    }
    assert(place == positions);
    for (uint32_t p = 1; longer > 0 && p < place - 1 && !t->failed; p++)
        if (t->at[p].token != BETWEEN)
            join(t, p);
    return !t->failed;
}

/* ---- merging ------------------------------------------------------------------------------------------------- */

/* The two tokens at `place` become `token`. */
static void merge_at(trainer *t, uint32_t place, dither_trained_merge merge, uint32_t token)
{
    const uint32_t middle = place + length_of(t, merge.left), end = middle + length_of(t, merge.right);
    const uint32_t before = t->at[place - 1].token;
    const uint32_t before_place = before != BETWEEN ? place - length_of(t, before) : 0;
    if (before != BETWEEN)
        part(t, before_place);
    part(t, place);
    if (t->at[end].token != BETWEEN)
        part(t, middle);
    t->at[place].token = token;
    t->at[end - 1].token = token;
    t->bpe->text_tokens -= t->words->words[t->at[place].word].count;
    if (before != BETWEEN)
        join(t, before_place);
    join(t, place);
}

/*
 * The chain leads through a word from left to right, since all places of a pair appear at once, with the token it was
 * waiting for. So overlapping pairs, those of a token that repeats, are merged from the left.
 */
static void merge_everywhere(trainer *t, uint32_t pair, dither_trained_merge merge, uint32_t token)
{
    while (t->pairs.pairs[pair].head != DITHER_PLACE_NONE && !t->failed)
        merge_at(t, t->pairs.pairs[pair].head, merge, token);
}

/* The token of both parts. @return false: no memory */
static bool add_token(dither_words *tokens, dither_trained_merge merge)
{
    const size_t m = tokens->words[merge.left].length, n = tokens->words[merge.right].length, before = tokens->count;
    unsigned char *bytes = malloc(m + n);
    if (bytes == NULL)
        return false;
    memcpy(bytes, dither_words_bytes(tokens, merge.left), m);
    memcpy(bytes + m, dither_words_bytes(tokens, merge.right), n);
    const dither_status status = dither_words_add(tokens, bytes, m + n, 0);
    assert(status != DITHER_OK || tokens->count == before + 1);
    (void)before;
    free(bytes);
    return status == DITHER_OK;
}

static bool add_merge(dither_trained_bpe *bpe, dither_trained_merge merge)
{
    if (bpe->merge_count == bpe->merge_capacity) {
        const size_t capacity = bpe->merge_capacity == 0 ? 1024 : 2 * bpe->merge_capacity;
        dither_trained_merge *merges = realloc(bpe->merges, dither_multiply(capacity, sizeof *merges));
        if (merges == NULL)
            return false;
        bpe->merges = merges;
        bpe->merge_capacity = capacity;
    }
    bpe->merges[bpe->merge_count++] = merge;
    return add_token(&bpe->tokens, merge);
}

/* One merge. @return false: there is none, or no memory */
static bool step(trainer *t, uint64_t min_frequency)
{
    uint32_t index;
    t->failed = !dither_pair_rank_noted(&t->pairs, &t->bpe->tokens, min_frequency);
    if (t->failed)
        return false;
    dither_pair_take(&t->pairs, &t->bpe->tokens, min_frequency, &index);
    if (index == UINT32_MAX)
        return false;
    const dither_trained_merge merge = {t->pairs.pairs[index].left, t->pairs.pairs[index].right};
    t->failed = !add_merge(t->bpe, merge);
    if (!t->failed)
        merge_everywhere(t, index, merge, (uint32_t)(t->bpe->tokens.count - 1));
    return !t->failed;
}

dither_status dither_bpe_train(dither_trained_bpe *bpe, const dither_words *words, size_t wanted,
                               uint64_t min_frequency, dither_bpe_progress progress, void *context,
                               dither_error *error)
{
    assert(wanted >= DITHER_BPE_BYTES && wanted < UINT32_MAX && min_frequency > 0);
    trainer t = {.bpe = bpe, .words = words};
    bool stopped = false;
    for (unsigned i = 0; i < DITHER_BPE_BYTES && !t.failed; i++)
        t.failed = dither_words_add(&bpe->tokens, &(unsigned char){(unsigned char)i}, 1, 0) != DITHER_OK;
    t.failed = t.failed || !lay_out(&t);
    while (!t.failed && bpe->tokens.count < wanted) {
        stopped = progress != NULL && !progress(context, bpe->tokens.count, wanted);
        if (stopped || !step(&t, min_frequency))
            break;
    }
    free(t.at);
    dither_pair_table_close(&t.pairs);
    if (stopped)
        return DITHER_E_STOPPED;
    return t.failed ? dither_fail(error, DITHER_E_MEMORY, "tokenizer",
                                  "no memory for the pairs of %zu distinct words; train on less text", words->count)
                    : DITHER_OK;
}

void dither_trained_bpe_close(dither_trained_bpe *bpe)
{
    dither_words_close(&bpe->tokens);
    free(bpe->merges);
    *bpe = (dither_trained_bpe){0};
}
