/*
 * The pieces of a text inside of which a byte pair encoding merges: words with the space before them, numbers, runs of
 * punctuation. A pre-tokenizer is a list of splits; each cuts the pieces that the one before it left. Patterns are
 * regular expressions as Hugging Face tokenizers and llama.cpp write them.
 *
 * Bytes that are not UTF-8 never fail: each is a piece of its own, and the text on either side is cut as if it were a
 * text alone. (Hugging Face never sees such bytes, and llama.cpp turns them into U+FFFD and so loses them.)
 */
#ifndef DITHER_DATA_PRETOKENIZER_H
#define DITHER_DATA_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/status.h"

typedef struct dither_pretokenizer dither_pretokenizer;

/* What becomes of a match and of the text between two matches. */
typedef enum dither_split_kind {
    DITHER_SPLIT_ISOLATED,      /* each is a piece */
    DITHER_SPLIT_REMOVED,       /* matches are left out */
    DITHER_SPLIT_CONTIGUOUS,    /* matches that follow each other at once are one piece */
    DITHER_SPLIT_WITH_PREVIOUS, /* a match ends the piece before it */
    DITHER_SPLIT_WITH_NEXT      /* a match begins the piece behind it */
} dither_split_kind;

typedef struct dither_split {
    const char *pattern;
    dither_split_kind kind;
    bool literal; /* the pattern is the very text to find */
    bool invert;  /* what lies between the matches counts as the matches */
} dither_split;

/**
 * By name: gpt2, smollm, llama3, qwen2, starcoder, deepseek-llm, deepseek-coder, deepseek-v3, falcon, mpt, refact,
 * gpt-4o, tekken and what GGUF files call them (tokenizer.ggml.pre).
 * @return DITHER_OK | DITHER_E_FORMAT (unknown; the error lists the names) | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_pretokenizer_open(dither_pretokenizer **pretokenizer, const char *name,
                                                       dither_error *error);

/** From `count` regular expressions, isolated, applied one after another. */
DITHER_MUST_USE dither_status dither_pretokenizer_regex(dither_pretokenizer **pretokenizer,
                                                        const char *const *patterns, size_t count,
                                                        dither_error *error);

/**
 * From splits; 0 of them: a text is one piece.
 * @return DITHER_OK | DITHER_E_FORMAT (a pattern that is none, or one that means something else to PCRE2 than to
 *         Oniguruma, for which these patterns are written) | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_pretokenizer_splits(dither_pretokenizer **pretokenizer,
                                                         const dither_split *splits, size_t count,
                                                         dither_error *error);
void dither_pretokenizer_close(dither_pretokenizer *pretokenizer);

/** A walk over one text after another; any number of them may share a pre-tokenizer, each for one thread at a time. */
typedef struct dither_pretokenizer_walk dither_pretokenizer_walk;

/** @return NULL: no memory */
dither_pretokenizer_walk *dither_pretokenizer_walk_open(const dither_pretokenizer *pretokenizer);
void dither_pretokenizer_walk_close(dither_pretokenizer_walk *walk);

/**
 * Begin a text, which must stay until the walk is over. Takes memory only where the text has characters that are newer
 * than the tables of PCRE2: a copy of the text.
 * @return false: no memory
 */
bool dither_pretokenizer_start(dither_pretokenizer_walk *walk, const char *text, size_t length);

/**
 * The next piece, never empty. Pieces come in order; only DITHER_SPLIT_REMOVED leaves bytes between two of them.
 * @param first, length  of the piece, in bytes of the text
 * @return false: the text is over
 */
bool dither_pretokenizer_next(dither_pretokenizer_walk *walk, size_t *first, size_t *length);

#endif
