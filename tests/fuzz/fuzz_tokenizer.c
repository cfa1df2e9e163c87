/* Any bytes as tokenizer.json: refused with words, or a tokenizer that encodes, finds and decodes. */
#include "folder_input.h"
#include "tokenizer_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dither_tokenizer *tokenizer;
    dither_error error = {.status = DITHER_OK};
    dither_status status = dither_tokenizer_open(&tokenizer, folder_input("tokenizer.json", data, size), &error);
    if (status != DITHER_OK)
        tokenizer_require(tokenizer == NULL && error.status == status && error.text[0] != '\0');
    else
        tokenizer_check(tokenizer);
    dither_tokenizer_close(tokenizer);
    return 0;
}
