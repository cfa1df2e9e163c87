/**
 * Text to token ids and back. One kind so far: every byte is a token.
 */
#ifndef DITHER_TOKENIZER_H
#define DITHER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dither_tokenizer dither_tokenizer;

/** The byte tokenizer: 256 tokens, id = byte. */
DITHER_API DITHER_MUST_USE dither_status dither_tokenizer_bytes(dither_tokenizer **tokenizer, dither_error *error);

/**
 * The tokenizer of a model folder (tokenizer.json).
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT (not a tokenizer this version knows) | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_tokenizer_open(dither_tokenizer **tokenizer, const char *folder,
                                                               dither_error *error);
DITHER_API void dither_tokenizer_close(dither_tokenizer *tokenizer);

DITHER_API size_t dither_tokenizer_vocab(const dither_tokenizer *tokenizer);

/**
 * Encode `length` bytes; never fails on any bytes.
 * @param ids       [capacity], as many as fit are written; may be NULL where capacity is 0
 * @return how many ids the whole text has
 */
DITHER_API size_t dither_tokenizer_encode(const dither_tokenizer *tokenizer, const char *text, size_t length,
                                          uint32_t *ids, size_t capacity);

/**
 * The bytes of one id, not 0-terminated; a character may be spread over several ids.
 * @return how many bytes (0 where id is not a token); *bytes points into the tokenizer
 */
DITHER_API size_t dither_tokenizer_decode(const dither_tokenizer *tokenizer, uint32_t id, const char **bytes);

/** The same, but texts of special tokens become those tokens. */
DITHER_API size_t dither_tokenizer_encode_special(const dither_tokenizer *tokenizer, const char *text, size_t length,
                                                  uint32_t *ids, size_t capacity);

typedef struct dither_tokenizer_marks {
    bool add_bos, add_eos;
    uint32_t bos, eos, eot, pad, unk; /* UINT32_MAX: none */
} dither_tokenizer_marks;

DITHER_API const dither_tokenizer_marks *dither_tokenizer_marks_get(const dither_tokenizer *tokenizer);

/** Jinja text of the model's chat template; NULL: none. */
DITHER_API const char *dither_tokenizer_chat_template(const dither_tokenizer *tokenizer);

#ifdef __cplusplus
}
#endif
#endif
