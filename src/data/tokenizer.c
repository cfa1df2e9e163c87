#include "dither/tokenizer.h"

#include <stdlib.h>

#include "base/fail.h"

enum { BYTES = 256 };

/* One kind so far. A second one adds its name here and its tables beside `bytes`. */
typedef enum kind { KIND_BYTES } kind;

struct dither_tokenizer {
    kind kind;
    size_t vocab;
    char bytes[BYTES]; /* what each id stands for */
};

dither_status dither_tokenizer_bytes(dither_tokenizer **tokenizer, dither_error *error)
{
    *tokenizer = malloc(sizeof **tokenizer);
    if (*tokenizer == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "tokenizer", "no memory for it");
    (*tokenizer)->kind = KIND_BYTES;
    (*tokenizer)->vocab = BYTES;
    for (int i = 0; i < BYTES; i++)
        (*tokenizer)->bytes[i] = (char)(unsigned char)i;
    return DITHER_OK;
}

void dither_tokenizer_close(dither_tokenizer *tokenizer)
{
    free(tokenizer);
}

size_t dither_tokenizer_vocab(const dither_tokenizer *tokenizer)
{
    return tokenizer->vocab;
}

size_t dither_tokenizer_encode(const dither_tokenizer *tokenizer, const char *text, size_t length, uint32_t *ids,
                               size_t capacity)
{
    (void)tokenizer; /* of the one kind there is */
    size_t written = length < capacity ? length : capacity;
    for (size_t i = 0; i < written; i++)
        ids[i] = (unsigned char)text[i];
    return length;
}

size_t dither_tokenizer_decode(const dither_tokenizer *tokenizer, uint32_t id, const char **bytes)
{
    if (id >= tokenizer->vocab)
        return 0;
    *bytes = &tokenizer->bytes[id];
    return 1;
}

size_t dither_tokenizer_encode_special(const dither_tokenizer *tokenizer, const char *text, size_t length,
                                       uint32_t *ids, size_t capacity)
{
    return dither_tokenizer_encode(tokenizer, text, length, ids, capacity);
}

const dither_tokenizer_marks *dither_tokenizer_marks_get(const dither_tokenizer *tokenizer)
{
    static const dither_tokenizer_marks none = {false, false, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
                                                UINT32_MAX};
    (void)tokenizer;
    return &none;
}

const char *dither_tokenizer_chat_template(const dither_tokenizer *tokenizer)
{
    (void)tokenizer;
    return NULL;
}
