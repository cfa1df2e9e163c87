/* Any bytes as tokenizer.json: refused with words, or a tokenizer that encodes any bytes. */
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
    const char *const text = size ? (const char *)data : "";
    (void)dither_tokenizer_encode(tokenizer, text, size, NULL, 0);
    (void)dither_tokenizer_encode_special(tokenizer, text, size, NULL, 0);
    dither_tokenizer_close(tokenizer);
    return 0;
}
