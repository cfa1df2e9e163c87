/* Any bytes as tokenizer.json: refused with words, or the byte tokenizer. */
#include "dither/tokenizer.h"

#include <stdlib.h>

#include "folder_input.h"
#include "target.h"

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dither_tokenizer *tokenizer;
    dither_error error = {.status = DITHER_OK};
    dither_status status = dither_tokenizer_open(&tokenizer, folder_input("tokenizer.json", data, size), &error);
    if (status != DITHER_OK) {
        require(tokenizer == NULL && error.status == status && error.text[0] != '\0');
        return 0;
    }
    require(dither_tokenizer_vocab(tokenizer) == 256);
    dither_tokenizer_close(tokenizer);
    return 0;
}
