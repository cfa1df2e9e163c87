/* normalizer, pre_tokenizer, post_processor and decoder of a tokenizer.json. */
#ifndef DITHER_DATA_TOKENIZER_STEPS_H
#define DITHER_DATA_TOKENIZER_STEPS_H

#include <stdint.h>

#include "data/normalizer.h"
#include "data/pretokenizer.h"
#include "file/json.h"

enum { DITHER_STEPS = 32 }; /* at most so many of a kind */

/* Texts live in the JSON value. */
typedef struct dither_tokenizer_steps {
    dither_normal_step normal[DITHER_STEPS], before[DITHER_STEPS]; /* before: of the pre-tokenizer */
    dither_split splits[DITHER_STEPS];
    size_t normals, befores, split_count;
    bool byte_level;   /* pieces become bytes before anything merges */
    bool spaces;       /* a token's U+2581 stands for a space */
    bool byte_tokens;  /* tokens <0x00> to <0xFF> stand for bytes */
    bool space_prefix; /* decoding takes a space off the front */
    bool adds_bos, adds_eos;
    uint32_t bos, eos; /* what is added */
} dither_tokenizer_steps;

/** @return DITHER_OK | DITHER_E_FORMAT (something that this version does not know: named) */
DITHER_MUST_USE dither_status dither_tokenizer_steps_read(dither_tokenizer_steps *steps, const cJSON *root,
                                                          const char *path, dither_error *error);

#endif
