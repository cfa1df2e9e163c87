#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "data/tokenizer_parts.h"

dither_status dither_tokenizer_bytes(dither_tokenizer **tokenizer, dither_error *error)
{
    static const dither_tokenizer_marks none = {
        .bos = DITHER_NO_TOKEN, .eos = DITHER_NO_TOKEN, .eot = DITHER_NO_TOKEN, .pad = DITHER_NO_TOKEN,
        .unk = DITHER_NO_TOKEN};
    *tokenizer = calloc(1, sizeof **tokenizer);
    if (*tokenizer == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "tokenizer", "no memory for it");
    (*tokenizer)->is_bytes = true;
    (*tokenizer)->marks = none;
    for (int i = 0; i < DITHER_BYTES; i++)
        (*tokenizer)->bytes[i] = (char)(unsigned char)i;
    return DITHER_OK;
}

void dither_tokenizer_close(dither_tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    dither_encoding_close(&tokenizer->encoding);
    dither_vocabulary_close(&tokenizer->texts);
    free(tokenizer->chat_template);
    free(tokenizer);
}

size_t dither_tokenizer_vocab(const dither_tokenizer *tokenizer)
{
    return tokenizer->is_bytes ? DITHER_BYTES : tokenizer->texts.count;
}

size_t dither_tokenizer_id_bound(const dither_tokenizer *tokenizer)
{
    return tokenizer->is_bytes ? DITHER_BYTES : tokenizer->texts.bound;
}

static size_t encode(const dither_tokenizer *tokenizer, const char *text, size_t length, bool special, uint32_t *ids,
                     size_t capacity)
{
    if (tokenizer->is_bytes) {
        const size_t written = length < capacity ? length : capacity;
        for (size_t i = 0; i < written; i++)
            ids[i] = (unsigned char)text[i];
        return length;
    }
    dither_encoder *encoder = dither_encoder_open(&tokenizer->encoding, length);
    dither_id_sink sink = {.ids = ids, .capacity = capacity};
    const bool fits = encoder != NULL && dither_encoder_run(encoder, text, length, special, &sink);
    dither_encoder_close(encoder);
    return fits ? sink.count : SIZE_MAX;
}

size_t dither_tokenizer_encode(const dither_tokenizer *tokenizer, const char *text, size_t length, uint32_t *ids,
                               size_t capacity)
{
    return encode(tokenizer, text, length, false, ids, capacity);
}

size_t dither_tokenizer_encode_special(const dither_tokenizer *tokenizer, const char *text, size_t length,
                                       uint32_t *ids, size_t capacity)
{
    return encode(tokenizer, text, length, true, ids, capacity);
}

size_t dither_tokenizer_decode(const dither_tokenizer *tokenizer, uint32_t id, const char **bytes)
{
    if (id >= dither_tokenizer_id_bound(tokenizer))
        return 0;
    if (tokenizer->is_bytes) {
        *bytes = &tokenizer->bytes[id];
        return 1;
    }
    *bytes = tokenizer->texts.pool + tokenizer->texts.start[id];
    return tokenizer->texts.length[id];
}

bool dither_tokenizer_space_prefix(const dither_tokenizer *tokenizer)
{
    return tokenizer->space_prefix;
}

bool dither_tokenizer_is_special(const dither_tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->texts.bound && (tokenizer->texts.flags[id] & DITHER_TOKEN_SPECIAL) != 0;
}

bool dither_tokenizer_find(const dither_tokenizer *tokenizer, const char *text, size_t length, uint32_t *id)
{
    if (tokenizer->is_bytes) {
        *id = length == 1 ? (unsigned char)*text : 0;
        return length == 1;
    }
    const dither_encoding *e = &tokenizer->encoding;
    const dither_added_token *added = dither_added_tokens_exact(e->added, text, length);
    const uint32_t found = dither_vocabulary_find(&tokenizer->texts, text, length);
    *id = added != NULL ? added->id : found;
    return *id != DITHER_NO_TOKEN;
}

const dither_tokenizer_marks *dither_tokenizer_marks_get(const dither_tokenizer *tokenizer)
{
    return &tokenizer->marks;
}

const char *dither_tokenizer_chat_template(const dither_tokenizer *tokenizer)
{
    return tokenizer->chat_template;
}

void dither_tokenizer_guess_eot(dither_tokenizer *tokenizer)
{
    static const char *const usual[] = {"<|eot_id|>",     "<|im_end|>", "<|end|>",       "<end_of_turn>",
                                        "<|endoftext|>", "<EOT>",      "<|end_of_text|>"};
    for (size_t i = 0; i < sizeof usual / sizeof *usual && tokenizer->marks.eot == DITHER_NO_TOKEN; i++) {
        uint32_t id;
        if (dither_tokenizer_find(tokenizer, usual[i], strlen(usual[i]), &id) &&
            (tokenizer->texts.flags[id] & (DITHER_TOKEN_ADDED | DITHER_TOKEN_SPECIAL)) != 0)
            tokenizer->marks.eot = id;
    }
}
