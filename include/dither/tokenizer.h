/**
 * Text to token ids and back: bytes; byte-level byte pair encodings as GPT-2, SmolLM2, Llama 3 and Qwen have them;
 * SentencePiece's with scores and bytes to fall back on, as Llama 2 and Phi-3 have them. From Hugging Face's
 * tokenizer.json, or from the metadata of a GGUF file; ids are those of Hugging Face tokenizers and of llama.cpp. What
 * would change ids and is not known is refused by name when a tokenizer is opened.
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
 * The tokenizer of a model: of a folder with tokenizer.json, of such a file itself, or of a GGUF file. Beside
 * tokenizer.json, tokenizer_config.json and chat_template.jinja are read where they are there. Truncation and padding
 * that a file asks for are left to the caller, as transformers leaves them.
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT (damaged, or of a kind this version does not know: the error names
 *         what) | DITHER_E_MEMORY
 *
 * Threads: any number may encode and decode with one tokenizer at once.
 */
DITHER_API DITHER_MUST_USE dither_status dither_tokenizer_open(dither_tokenizer **tokenizer, const char *path,
                                                               dither_error *error);
DITHER_API void dither_tokenizer_close(dither_tokenizer *tokenizer);

/** How many tokens there are. */
DITHER_API size_t dither_tokenizer_vocab(const dither_tokenizer *tokenizer);

/** 1 + the largest id; a model whose vocabulary is smaller cannot read them all. */
DITHER_API size_t dither_tokenizer_id_bound(const dither_tokenizer *tokenizer);

/**
 * Encode `length` bytes of plain text; never fails on any bytes. The texts of special tokens (<|im_end|> and the like)
 * are ordinary text here; tokens that are no marks but were added to a vocabulary are found. Nothing is put in front or
 * behind. What is not UTF-8 is encoded byte by byte. The bytes of a byte-level vocabulary's ids are the text again,
 * unless the tokenizer normalizes it or has no token for some byte, which then is left out (SmolLM2 lacks 21).
 * @param ids       [capacity], as many as fit are written; may be NULL where capacity is 0
 * @return how many ids the whole text has; SIZE_MAX: no memory
 *
 * Cost: linear but for pieces that are not cut (long words; a vocabulary whose tokens reach over spaces), where it is
 * n log n. Memory: some bytes a byte of the longest piece; where a tokenizer changes the text (normal forms, spaces
 * that become another character), a copy of it.
 */
DITHER_API size_t dither_tokenizer_encode(const dither_tokenizer *tokenizer, const char *text, size_t length,
                                          uint32_t *ids, size_t capacity);

/** The same, but the texts of special tokens become those tokens: what Hugging Face does by default. */
DITHER_API size_t dither_tokenizer_encode_special(const dither_tokenizer *tokenizer, const char *text, size_t length,
                                                  uint32_t *ids, size_t capacity);

/**
 * The bytes of one id, not 0-terminated; a character may be spread over several ids. Special tokens have their text.
 * @return how many bytes (0 where id is not a token); *bytes points into the tokenizer
 */
DITHER_API size_t dither_tokenizer_decode(const dither_tokenizer *tokenizer, uint32_t id, const char **bytes);

/**
 * Whether encoding puts a space in front of a text that has none (SentencePiece): the bytes of a text's ids, one after
 * another, then begin with a space that the text did not have.
 */
DITHER_API bool dither_tokenizer_space_prefix(const dither_tokenizer *tokenizer);

/** Whether an id is a mark, not text: the start and end of a text, of a turn, and the like. */
DITHER_API bool dither_tokenizer_is_special(const dither_tokenizer *tokenizer, uint32_t id);

/** The token whose bytes are exactly these; special and added tokens first. @return false: there is none */
DITHER_API bool dither_tokenizer_find(const dither_tokenizer *tokenizer, const char *text, size_t length, uint32_t *id);

/** Tokens with a meaning; UINT32_MAX: there is none. */
typedef struct dither_tokenizer_marks {
    bool add_bos, add_eos; /* whether a text that stands alone begins, or ends, with it */
    uint32_t bos, eos;     /* begin, end of text */
    uint32_t eot;          /* end of a turn of a chat */
    uint32_t pad, unk;
} dither_tokenizer_marks;

DITHER_API const dither_tokenizer_marks *dither_tokenizer_marks_get(const dither_tokenizer *tokenizer);

/** The Jinja text that renders a chat for the model; NULL: the files have none. */
DITHER_API const char *dither_tokenizer_chat_template(const dither_tokenizer *tokenizer);

#ifdef __cplusplus
}
#endif
#endif
