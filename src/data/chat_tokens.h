/* A rendered chat as tokens, and which of them are trained on. */
#ifndef DITHER_DATA_CHAT_TOKENS_H
#define DITHER_DATA_CHAT_TOKENS_H

#include "data/bytes.h"
#include "dither/chat.h"

/**
 * Append the chat's tokens: the whole text is encoded at once, as transformers does it, so that tokens at the borders
 * of what the assistant says are what they will be when the model is used.
 *
 * A token is trained on if it begins inside a span: one that begins before it and reaches into it is not, one that
 * begins inside and reaches out is. Where special tokens bound the spans, there are none of either.
 *
 * @param left_out  [chat->count] spans that are not trained on; NULL: none
 * @param tokens    of uint32_t: ids, with DITHER_RECORD_TRAINED
 * @return DITHER_OK | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_chat_tokens(const dither_tokenizer *tokenizer, const dither_chat_text *chat,
                                                 const bool *left_out, dither_bytes *tokens, dither_error *error);

#endif
