#include "data/vocabulary.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"

struct dither_pair {
    uint32_t left, right; /* left DITHER_NO_TOKEN: empty */
    dither_merge merge;
};

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio, odd */
    return hash ^ hash >> 32;
}

uint64_t dither_vocabulary_hash(const char *bytes, size_t length)
{
    uint64_t hash = length, word;
    for (; length >= sizeof word; length -= sizeof word, bytes += sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, bytes, length);
    return mix(hash, word);
}

/* The smallest power of two that leaves a table of `count` entries at most half full. */
static size_t table_size(size_t count)
{
    size_t size = 16;
    while (size < 2 * count)
        size *= 2;
    return size;
}

dither_status dither_vocabulary_open(dither_vocabulary *vocabulary, size_t bound, dither_error *error)
{
    assert(bound < (size_t)1 << 31);
    *vocabulary = (dither_vocabulary){.bound = bound};
    const size_t slots = table_size(bound);
    vocabulary->start = calloc(bound + 1, sizeof *vocabulary->start);
    vocabulary->length = calloc(bound + 1, sizeof *vocabulary->length);
    vocabulary->flags = calloc(bound + 1, sizeof *vocabulary->flags);
    vocabulary->slots = calloc(slots, sizeof *vocabulary->slots);
    vocabulary->slot_mask = slots - 1;
    if (vocabulary->start != NULL && vocabulary->length != NULL && vocabulary->flags != NULL &&
        vocabulary->slots != NULL)
        return DITHER_OK;
    dither_vocabulary_close(vocabulary);
    return dither_fail(error, DITHER_E_MEMORY, "tokenizer", "no memory for %zu tokens", bound);
}

void dither_vocabulary_close(dither_vocabulary *vocabulary)
{
    free(vocabulary->start);
    free(vocabulary->length);
    free(vocabulary->flags);
    free(vocabulary->slots);
    free(vocabulary->pool);
    free(vocabulary->pairs);
    *vocabulary = (dither_vocabulary){0};
}

/* ---- tokens -------------------------------------------------------------------------------------------------- */

static bool is_text(const dither_vocabulary *vocabulary, uint32_t id, const char *bytes, size_t length)
{
    return vocabulary->length[id] == length &&
           memcmp(vocabulary->pool + vocabulary->start[id], bytes, length) == 0;
}

/* Where the text stands in the table, or where it would. */
static size_t slot_of(const dither_vocabulary *vocabulary, const char *bytes, size_t length)
{
    size_t slot = dither_vocabulary_hash(bytes, length) & vocabulary->slot_mask;
    while (vocabulary->slots[slot] != 0 && !is_text(vocabulary, vocabulary->slots[slot] - 1, bytes, length))
        slot = (slot + 1) & vocabulary->slot_mask;
    return slot;
}

static bool pool_reserve(dither_vocabulary *vocabulary, size_t more)
{
    if (more > UINT32_MAX - vocabulary->pool_size)
        return false;
    if (vocabulary->pool != NULL && vocabulary->pool_size + more <= vocabulary->pool_capacity)
        return true;
    const size_t capacity = 2 * (vocabulary->pool_size + more) + 4096;
    char *pool = realloc(vocabulary->pool, capacity);
    if (pool == NULL)
        return false;
    vocabulary->pool = pool;
    vocabulary->pool_capacity = capacity;
    return true;
}

dither_status dither_vocabulary_set(dither_vocabulary *vocabulary, uint32_t id, const char *bytes, size_t length,
                                    unsigned flags, dither_error *error)
{
    assert(id < vocabulary->bound);
    if (!pool_reserve(vocabulary, length))
        return dither_fail(error, DITHER_E_MEMORY, "tokenizer", "no memory for the tokens' text");
    /* a token that is given other bytes would stay in the table under the old ones */
    assert((vocabulary->flags[id] & DITHER_TOKEN_MODEL) == 0 || is_text(vocabulary, id, bytes, length));
    if (length > 0)
        memcpy(vocabulary->pool + vocabulary->pool_size, bytes, length);
    vocabulary->start[id] = (uint32_t)vocabulary->pool_size;
    vocabulary->length[id] = (uint32_t)length;
    vocabulary->pool_size += length;
    vocabulary->count += (vocabulary->flags[id] & DITHER_TOKEN_THERE) == 0;
    vocabulary->flags[id] = (unsigned char)(vocabulary->flags[id] | flags | DITHER_TOKEN_THERE);
    if (flags & DITHER_TOKEN_MODEL)
        vocabulary->slots[slot_of(vocabulary, bytes, length)] = id + 1;
    return DITHER_OK;
}

uint32_t dither_vocabulary_find(const dither_vocabulary *vocabulary, const char *bytes, size_t length)
{
    const uint32_t found = vocabulary->slots[slot_of(vocabulary, bytes, length)];
    return found == 0 ? DITHER_NO_TOKEN : found - 1;
}

/* ---- merges -------------------------------------------------------------------------------------------------- */

dither_status dither_vocabulary_reserve(dither_vocabulary *vocabulary, size_t count, dither_error *error)
{
    assert(vocabulary->pairs == NULL);
    const size_t size = count < SIZE_MAX / 4 ? table_size(count) : SIZE_MAX;
    const size_t bytes = dither_multiply(size, sizeof *vocabulary->pairs);
    vocabulary->pairs = bytes < SIZE_MAX ? malloc(bytes) : NULL;
    if (vocabulary->pairs == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "tokenizer", "no memory for %zu merges", count);
    for (size_t i = 0; i < size; i++)
        vocabulary->pairs[i].left = DITHER_NO_TOKEN;
    vocabulary->pair_mask = size - 1;
    return DITHER_OK;
}

static size_t pair_slot(const dither_vocabulary *vocabulary, uint32_t left, uint32_t right)
{
    size_t slot = mix(left, right) & vocabulary->pair_mask;
    const struct dither_pair *pair = &vocabulary->pairs[slot];
    while (pair->left != DITHER_NO_TOKEN && (pair->left != left || pair->right != right)) {
        slot = (slot + 1) & vocabulary->pair_mask;
        pair = &vocabulary->pairs[slot];
    }
    return slot;
}

void dither_vocabulary_merge(dither_vocabulary *vocabulary, uint32_t left, uint32_t right, dither_merge merge)
{
    struct dither_pair *pair = &vocabulary->pairs[pair_slot(vocabulary, left, right)];
    vocabulary->pair_count += pair->left == DITHER_NO_TOKEN;
    assert(2 * vocabulary->pair_count <= vocabulary->pair_mask + 1);
    *pair = (struct dither_pair){left, right, merge};
}

bool dither_vocabulary_pair(const dither_vocabulary *vocabulary, uint32_t left, uint32_t right, dither_merge *merge)
{
    if (vocabulary->pair_count == 0)
        return false;
    const struct dither_pair *pair = &vocabulary->pairs[pair_slot(vocabulary, left, right)];
    *merge = pair->merge;
    return pair->left != DITHER_NO_TOKEN;
}
