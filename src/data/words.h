/* Distinct byte strings, each with a count: a flat hash table over one block of bytes. */
#ifndef DITHER_DATA_WORDS_H
#define DITHER_DATA_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

typedef struct dither_word {
    uint64_t start; /* of its bytes in the table's */
    uint32_t length, hash;
    uint64_t count;
} dither_word;

/* All zero is an empty table. */
typedef struct dither_words {
    dither_word *words; /* [count], in the order in which they came */
    size_t count, capacity;
    uint32_t *slots;    /* [slot_count], a power of two: 1 + the word's index; 0: free */
    size_t slot_count;
    unsigned char *bytes;
    size_t used, size;  /* of bytes */
} dither_words;

/**
 * Add to the count of a word, which is new where it was not there.
 * @param length  at most UINT32_MAX
 * @return DITHER_OK | DITHER_E_MEMORY (the table is as it was)
 */
DITHER_MUST_USE dither_status dither_words_add(dither_words *words, const void *bytes, size_t length, uint64_t count);

/** The index of a word; SIZE_MAX: not there. */
size_t dither_words_find(const dither_words *words, const void *bytes, size_t length);

/** The bytes of a word, until the next is added. */
const unsigned char *dither_words_bytes(const dither_words *words, size_t index);

/** Add all words of another table. @return DITHER_OK | DITHER_E_MEMORY (some were added) */
DITHER_MUST_USE dither_status dither_words_merge(dither_words *words, const dither_words *more);

/** Forget all words, but keep the memory. */
void dither_words_clear(dither_words *words);
void dither_words_close(dither_words *words);

#endif
