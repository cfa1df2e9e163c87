/* tokenizer.json of the byte tokenizer, as Hugging Face tokenizers read it: a byte-level BPE without merges. */
#ifndef DITHER_DATA_TOKENIZER_FILE_H
#define DITHER_DATA_TOKENIZER_FILE_H

#include "dither/tokenizer.h"

/** Write FOLDER/tokenizer.json, and FOLDER/tokenizer_config.json, which tells transformers its class. */
DITHER_MUST_USE dither_status dither_tokenizer_write(const dither_tokenizer *tokenizer, const char *folder,
                                                     dither_error *error);

#endif
