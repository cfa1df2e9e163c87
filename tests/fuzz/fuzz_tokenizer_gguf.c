/* Any bytes as a GGUF file with a tokenizer: refused with words, or a tokenizer that encodes, finds and decodes. */
#include <stdio.h>

#include "folder_input.h"
#include "tokenizer_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[128];
    dither_tokenizer *tokenizer;
    dither_error error = {.status = DITHER_OK};
    snprintf(path, sizeof path, "%s/model.gguf", folder_input("model.gguf", data, size));
    dither_status status = dither_tokenizer_open(&tokenizer, path, &error);
    if (status != DITHER_OK)
        tokenizer_require(tokenizer == NULL && error.status == status && error.text[0] != '\0');
    else
        tokenizer_check(tokenizer);
    dither_tokenizer_close(tokenizer);
    return 0;
}
