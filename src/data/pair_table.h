/*
 * Pairs of tokens with their counts and places, and the one that is merged next: a hash table and a heap.
 *
 * A place is the position of a pair's left token. The places of a pair are a chain through the positions themselves,
 * since a token begins one pair at most; so that to add and to take away a place touches nothing else.
 */
#ifndef DITHER_DATA_PAIR_TABLE_H
#define DITHER_DATA_PAIR_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/words.h"

enum { DITHER_PLACE_NONE = 0 }; /* position 0 is before the first word */

typedef struct dither_pair {
    uint32_t left, right; /* tokens */
    uint64_t count;       /* places, each as often as its word was counted */
    uint32_t head, tail;  /* the chain */
    bool noted;           /* it is among `changed` */
} dither_pair;

typedef struct dither_pair_rank {
    uint64_t count; /* when it was put there; what became rarer since is put back lower when it comes to the top */
    uint32_t pair;
} dither_pair_rank;

/* All zero is an empty table. */
typedef struct dither_pair_table {
    dither_pair *pairs; /* [count] */
    size_t count, capacity;
    uint32_t *slots;    /* [slot_count], a power of two: 1 + the pair's index; 0: free */
    size_t slot_count;
    uint32_t *changed;  /* [changed_count]: pairs that came since the last were ranked */
    size_t changed_count, changed_capacity;
    dither_pair_rank *heap; /* [heap_count] */
    size_t heap_count, heap_capacity;
} dither_pair_table;

/** The index of a pair, which is new where it was not there. UINT32_MAX: no memory. */
uint32_t dither_pair_index(dither_pair_table *table, uint32_t left, uint32_t right);

/** Say that a pair has a place more. @return false: no memory */
DITHER_MUST_USE bool dither_pair_note(dither_pair_table *table, uint32_t pair);

/**
 * Rank what was noted and occurs `least` times; from now on it may become rarer, but no more frequent.
 * @return false: no memory
 */
DITHER_MUST_USE bool dither_pair_rank_noted(dither_pair_table *table, const dither_words *tokens, uint64_t least);

/** Take the most frequent pair, the greatest among equals; *pair UINT32_MAX: none that occurs `least` times. */
void dither_pair_take(dither_pair_table *table, const dither_words *tokens, uint64_t least, uint32_t *pair);

void dither_pair_table_close(dither_pair_table *table);

#endif
