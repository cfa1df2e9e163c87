/*
 * Tokens that are found in a text before anything is cut or merged: marks such as <|im_end|>, and words that were added
 * to a vocabulary. The leftmost is taken, and of those that begin at one place the longest.
 */
#ifndef DITHER_DATA_ADDED_TOKENS_H
#define DITHER_DATA_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

typedef struct dither_added_token {
    const char *text;
    size_t length; /* at least 1 */
    uint32_t id;
    bool special;      /* a mark */
    bool single_word;  /* not inside of a word */
    bool lstrip, rstrip; /* takes the white space on that side with it */
    bool normalized;   /* looked for in the normalized text */
} dither_added_token;

typedef struct dither_added_tokens dither_added_tokens;

/** Takes copies; of two with the same text the last counts. @return DITHER_OK | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_added_tokens_open(dither_added_tokens **added, const dither_added_token *tokens,
                                                       size_t count, dither_error *error);
void dither_added_tokens_close(dither_added_tokens *added);

/** The token of exactly this text, or NULL. */
const dither_added_token *dither_added_tokens_exact(const dither_added_tokens *added, const char *text, size_t length);

/**
 * The first token in text[from, length), with the white space that it takes.
 * @param special  whether marks count; where they do not, they hide what lies inside of them all the same
 * @param first, end  of what the token takes
 * @return NULL: none
 *
 * Cost: one look at each byte, and as many steps as tokens have bytes where one may begin.
 */
const dither_added_token *dither_added_tokens_find(const dither_added_tokens *added, bool special, const char *text,
                                                   size_t length, size_t from, size_t *first, size_t *end);

#endif
