/**
 * Training a tokenizer: a byte-level BPE from texts, written as a tokenizer.json that Hugging Face tokenizers load.
 */
#ifndef DITHER_TOKENIZER_TRAIN_H
#define DITHER_TOKENIZER_TRAIN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Texts are the caller's and must live until dither_tokenizer_train returns. */
typedef struct dither_tokenizer_train_options {
    const char *const *data;    /* [data_count] files and folders, UTF-8 */
    size_t data_count;
    const char *out;            /* the file to write, whole or not at all */
    bool replace;               /* it may be there already; false */
    size_t vocab;               /* tokens in all: special ones, 256 bytes, merges; 8192 */
    const char *const *special; /* [special_count] tokens 0, 1, ...: they separate texts, and are never merged;
                                   "<|endoftext|>" */
    size_t special_count;
    const char *pattern;        /* one of dither_tokenizer_pattern: how a text is cut before it is merged; "gpt2" */
    uint64_t min_frequency;     /* a pair that occurs less often is not merged; 2 */
    int threads;                /* 0: all cores; the result does not depend on it */
} dither_tokenizer_train_options;

/** The defaults above. */
DITHER_API void dither_tokenizer_train_options_init(dither_tokenizer_train_options *options);

/** The names of patterns; NULL past the end. */
DITHER_API const char *dither_tokenizer_pattern(int index);

typedef enum dither_tokenizer_phase {
    DITHER_TOKENIZER_READING, /* done and total are bytes of text */
    DITHER_TOKENIZER_MERGING  /* tokens of the vocabulary */
} dither_tokenizer_phase;

typedef void (*dither_tokenizer_progress)(void *context, dither_tokenizer_phase phase, uint64_t done, uint64_t total);

typedef struct dither_tokenizer_trained {
    size_t tokens;         /* fewer than asked for where no pair is frequent enough any more */
    uint64_t files, bytes; /* of text */
    uint64_t words;        /* pieces that the pattern cuts the text into */
    uint64_t distinct;     /* of these */
    uint64_t text_tokens;  /* what the text comes to in the new tokens, special ones not counted */
} dither_tokenizer_trained;

/**
 * Train and write. Of equally frequent pairs the one is merged whose left part, then whose right part, is the greater
 * string of bytes. Texts are read in pieces; what is kept of them is their distinct words and the counts.
 * @param progress  called now and then; may be NULL
 * @param stop      set to non-zero by a signal handler: nothing is written; may be NULL
 * @return DITHER_OK | DITHER_E_USAGE (an option that cannot be; out is there and not to be replaced) | DITHER_E_IO
 *         | DITHER_E_FORMAT (not UTF-8: where says file and line; no text) | DITHER_E_MEMORY | DITHER_E_STOPPED
 */
DITHER_API DITHER_MUST_USE dither_status dither_tokenizer_train(const dither_tokenizer_train_options *options,
                                                                dither_tokenizer_progress progress, void *context,
                                                                const volatile sig_atomic_t *stop,
                                                                dither_tokenizer_trained *trained,
                                                                dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
