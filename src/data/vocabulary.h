/*
 * Tokens and merges in flat tables: one pool of text, arrays by id, two hash tables. Nothing is allocated for a token.
 */
#ifndef DITHER_DATA_VOCABULARY_H
#define DITHER_DATA_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

#define DITHER_NO_TOKEN UINT32_MAX

/* What a token is. */
enum {
    DITHER_TOKEN_THERE = 1,   /* the id is in use */
    DITHER_TOKEN_SPECIAL = 2, /* a mark, not text */
    DITHER_TOKEN_ADDED = 4,   /* found in text before anything merges */
    DITHER_TOKEN_BYTE = 8,    /* a byte that has no other token */
    DITHER_TOKEN_MODEL = 16   /* merges make it: it can be found by its text */
};

typedef struct dither_merge {
    uint32_t rank, id; /* the smallest rank merges first */
} dither_merge;

typedef struct dither_vocabulary {
    size_t bound; /* 1 + the largest id */
    size_t count; /* ids in use */
    uint32_t *start, *length; /* [bound] of each token's bytes in the pool */
    unsigned char *flags;     /* [bound] */
    char *pool;
    size_t pool_size, pool_capacity;
    uint32_t *slots; /* [slot_mask + 1]: id + 1, 0 where empty; by text */
    size_t slot_mask;
    struct dither_pair *pairs; /* [pair_mask + 1], by (left, right) */
    size_t pair_mask, pair_count;
} dither_vocabulary;

/** @param bound  no id reaches it; below 2^31 */
DITHER_MUST_USE dither_status dither_vocabulary_open(dither_vocabulary *vocabulary, size_t bound, dither_error *error);
void dither_vocabulary_close(dither_vocabulary *vocabulary);

/**
 * Give id, below the bound, its bytes and flags, over those that it has. Of two tokens with DITHER_TOKEN_MODEL and the
 * same bytes the later is found.
 * @return DITHER_OK | DITHER_E_MEMORY (also more than 4 GiB of text)
 */
DITHER_MUST_USE dither_status dither_vocabulary_set(dither_vocabulary *vocabulary, uint32_t id, const char *bytes,
                                                    size_t length, unsigned flags, dither_error *error);

/** The id of a token of DITHER_TOKEN_MODEL; DITHER_NO_TOKEN: none. */
uint32_t dither_vocabulary_find(const dither_vocabulary *vocabulary, const char *bytes, size_t length);

/** Make room for `count` merges; once. */
DITHER_MUST_USE dither_status dither_vocabulary_reserve(dither_vocabulary *vocabulary, size_t count,
                                                        dither_error *error);
/** Two tokens that merge; over what the pair has. */
void dither_vocabulary_merge(dither_vocabulary *vocabulary, uint32_t left, uint32_t right, dither_merge merge);

/** @return false: the two do not merge */
bool dither_vocabulary_pair(const dither_vocabulary *vocabulary, uint32_t left, uint32_t right, dither_merge *merge);

/** Of up to any number of bytes, for hash tables. */
uint64_t dither_vocabulary_hash(const char *bytes, size_t length);

#endif
