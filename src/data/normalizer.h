/*
 * What happens to a text before it is cut into pieces: a list of steps, as Hugging Face tokenizers name them. Bytes
 * that are not UTF-8 pass every step as they are.
 */
#ifndef DITHER_DATA_NORMALIZER_H
#define DITHER_DATA_NORMALIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/status.h"

typedef enum dither_normal_kind {
    DITHER_NORMAL_NFC,
    DITHER_NORMAL_NFD,
    DITHER_NORMAL_NFKC,
    DITHER_NORMAL_NFKD,
    DITHER_NORMAL_LOWERCASE,
    DITHER_NORMAL_STRIP,   /* leave out white space at the ends */
    DITHER_NORMAL_PREPEND, /* `content` in front of what is not empty */
    DITHER_NORMAL_PREFIX,  /* the same where the text does not begin with it already */
    DITHER_NORMAL_REPLACE  /* each match of `pattern` becomes `content` */
} dither_normal_kind;

typedef struct dither_normal_step {
    dither_normal_kind kind;
    const char *content, *pattern; /* pattern: not empty */
    bool literal;                  /* the pattern is the very text to find */
    bool left, right;              /* of STRIP */
    bool first;                    /* only a text's very beginning: of PREFIX */
} dither_normal_step;

typedef struct dither_normalizer dither_normalizer;

/** Takes copies. @return DITHER_OK | DITHER_E_FORMAT (a pattern, dither_pattern_open) | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_normalizer_open(dither_normalizer **normalizer, const dither_normal_step *steps,
                                                     size_t count, dither_error *error);
void dither_normalizer_close(dither_normalizer *normalizer);

/** A text on the heap that grows. */
typedef struct dither_buffer {
    char *bytes;
    size_t length, capacity;
} dither_buffer;

DITHER_MUST_USE bool dither_buffer_add(dither_buffer *buffer, const char *bytes, size_t length);
void dither_buffer_close(dither_buffer *buffer);

/** What a call needs beside the steps; one a thread. Zeroed before the first call. */
typedef struct dither_normalizer_scratch {
    dither_buffer buffers[2];
    int *characters; /* [capacity] */
    size_t capacity;
} dither_normalizer_scratch;

void dither_normalizer_scratch_close(dither_normalizer_scratch *scratch);

/**
 * Normalize a text.
 * @param first   whether the text is the beginning of what is encoded
 * @param text, length  the text; receive the result, which is the text itself where no step changes it, or lives in
 *                      the scratch until the next call
 * @return false: no memory
 */
DITHER_MUST_USE bool dither_normalizer_apply(const dither_normalizer *normalizer, dither_normalizer_scratch *scratch,
                                             bool first, const char **text, size_t *length);

#endif
