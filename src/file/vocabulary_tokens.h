/* Tokens by id and by text, on the way from one kind of file to the other. */
#ifndef DITHER_FILE_VOCABULARY_TOKENS_H
#define DITHER_FILE_VOCABULARY_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

/* As numbered in GGUF files. */
typedef enum dither_token_type {
    DITHER_TOKEN_NORMAL = 1,
    DITHER_TOKEN_UNKNOWN,
    DITHER_TOKEN_CONTROL,
    DITHER_TOKEN_USER_DEFINED, /* found in a text before anything else is done to it */
    DITHER_TOKEN_UNUSED,
    DITHER_TOKEN_BYTE
} dither_token_type;

typedef struct dither_token {
    const char *text; /* NULL: there is none of this id */
    uint32_t length;
    int32_t type;
    float score;
} dither_token;

typedef struct dither_tokens {
    size_t count;
    dither_token *token; /* [count], by id */
    uint32_t *sorted;    /* [known] ids of those that are there, in order of their texts */
    size_t known;
} dither_tokens;

/** `count` tokens without a text. @return false: no memory */
bool dither_tokens_open(dither_tokens *tokens, size_t count);
void dither_tokens_close(dither_tokens *tokens);

/**
 * Make texts findable, once all are there.
 * @return DITHER_OK | DITHER_E_FORMAT (two of the same text)
 */
DITHER_MUST_USE dither_status dither_tokens_sort(dither_tokens *tokens, const char *path, dither_error *error);

bool dither_tokens_find(const dither_tokens *tokens, const char *text, size_t length, uint32_t *id);

#endif
