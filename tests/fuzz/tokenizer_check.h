/* What every tokenizer that was opened keeps to, whatever its file says. */
#ifndef DITHER_TESTS_FUZZ_TOKENIZER_CHECK_H
#define DITHER_TESTS_FUZZ_TOKENIZER_CHECK_H

#include <stdlib.h>
#include <string.h>

#include "dither/tokenizer.h"
#include "target.h"

static inline void tokenizer_require(int condition)
{
    if (!condition)
        abort();
}

static inline void tokenizer_check_text(const dither_tokenizer *tokenizer, const char *text, size_t length, int special)
{
    enum { IDS = 4096 };
    static uint32_t ids[IDS];
    const size_t bound = dither_tokenizer_id_bound(tokenizer);
    const size_t count = special ? dither_tokenizer_encode_special(tokenizer, text, length, ids, IDS)
                                 : dither_tokenizer_encode(tokenizer, text, length, ids, IDS);
    size_t bytes = 0;
    for (size_t i = 0; i < count && i < IDS && count != SIZE_MAX; i++) {
        const char *piece = NULL;
        tokenizer_require(ids[i] < bound);
        for (size_t size = dither_tokenizer_decode(tokenizer, ids[i], &piece); size > 0; size--)
            bytes += (unsigned char)piece[size - 1];
        (void)dither_tokenizer_is_special(tokenizer, ids[i]);
    }
    tokenizer_require(bytes < SIZE_MAX);
}

static inline void tokenizer_check(const dither_tokenizer *tokenizer)
{
    static const char *const texts[] = {"",
                                        "It's 1234 <s>a</s>  <|end|>\n\n \tx",
                                        "caf\xc3\xa9 e\xcc\x81 \xe4\xb8\x80\xe4\xba\x8c \xf0\x9f\x8c\x8a",
                                        "\xff\xc3 broken \xe4\xb8",
                                        "abcabcabc ababab  <0x41>\xe2\x96\x81_"};
    tokenizer_require(dither_tokenizer_vocab(tokenizer) <= dither_tokenizer_id_bound(tokenizer));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int special = 0; special < 2; special++)
            tokenizer_check_text(tokenizer, texts[i], strlen(texts[i]), special);
    const dither_tokenizer_marks *marks = dither_tokenizer_marks_get(tokenizer);
    tokenizer_require(marks->eot == UINT32_MAX || marks->eot < dither_tokenizer_id_bound(tokenizer));
    const char *jinja = dither_tokenizer_chat_template(tokenizer);
    tokenizer_require(jinja == NULL || strlen(jinja) < SIZE_MAX);
    uint32_t id = 0;
    if (dither_tokenizer_find(tokenizer, "a", 1, &id))
        tokenizer_require(id < dither_tokenizer_id_bound(tokenizer));
}

#endif
