/*
 * Training a byte-level BPE: the merges of a table of words.
 *
 * Begin with a token for every byte. Again and again the pair of neighbouring tokens that is most frequent in all words
 * becomes a token; of equally frequent pairs the greatest as a pair of byte strings does: by its left part, then by its
 * right. The result is a function of the words and their counts alone.
 *
 * No two tokens have the same bytes: what became of the bytes between two places that no merge has crossed does not
 * depend on what lies around them, so that the same bytes are always put together by the same merges.
 */
#ifndef DITHER_DATA_BPE_TRAIN_H
#define DITHER_DATA_BPE_TRAIN_H

#include <stdbool.h>

#include "data/words.h"

enum { DITHER_BPE_BYTES = 256 }; /* tokens 0..255: the byte of that value */

typedef struct dither_trained_merge {
    uint32_t left, right; /* tokens */
} dither_trained_merge;

typedef struct dither_trained_bpe {
    dither_words tokens;      /* by id; a token's count says nothing */
    dither_trained_merge *merges; /* [merge_count]; merge i makes token DITHER_BPE_BYTES + i */
    size_t merge_count, merge_capacity;
    uint64_t text_tokens;     /* how many tokens the words come to, each as often as it was counted */
} dither_trained_bpe;

/** Whether to go on, asked before each merge: tokens so far, and wanted. */
typedef bool (*dither_bpe_progress)(void *context, size_t done, size_t wanted);

/**
 * Merge until there are `wanted` tokens, or no pair occurs `min_frequency` times.
 *
 * Cost: about 20 bytes of memory a byte of distinct words and 60 a distinct pair; time grows with the merges made in
 * distinct words, each of them once, whatever the length of a word.
 * @param bpe            zeroed; dither_trained_bpe_close() in any case
 * @param wanted         tokens, DITHER_BPE_BYTES or more
 * @param min_frequency  1 or more
 * @param progress       may be NULL
 * @return DITHER_OK | DITHER_E_MEMORY (or more than 4 GiB of distinct words) | DITHER_E_STOPPED (progress said so)
 */
DITHER_MUST_USE dither_status dither_bpe_train(dither_trained_bpe *bpe, const dither_words *words, size_t wanted,
                                               uint64_t min_frequency, dither_bpe_progress progress, void *context,
                                               dither_error *error);
void dither_trained_bpe_close(dither_trained_bpe *bpe);

#endif
