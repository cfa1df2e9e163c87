/*
 * The files of a tokenizer in a model folder. That of bytes, as Hugging Face tokenizers read it, is a byte-level BPE
 * without merges.
 */
#ifndef DITHER_DATA_TOKENIZER_FILE_H
#define DITHER_DATA_TOKENIZER_FILE_H

#include "dither/tokenizer.h"

/** Write FOLDER/tokenizer.json, and FOLDER/tokenizer_config.json, which tells transformers its class. */
DITHER_MUST_USE dither_status dither_tokenizer_write(const dither_tokenizer *tokenizer, const char *folder,
                                                     dither_error *error);

/**
 * Copy the files of a tokenizer that FOLDER has not yet: tokenizer.json, and what stands beside it. Where that is no
 * tokenizer_config.json, one is written that tells transformers its class.
 * @param path  a tokenizer.json or a folder with one, that dither_tokenizer_open has opened
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_tokenizer_copy(const char *path, const char *folder, dither_error *error);

/**
 * Make a Jinja text the chat template of FOLDER: in tokenizer_config.json, whose other keys stay, and instead of files
 * of its own.
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT (tokenizer_config.json is no object) | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_tokenizer_set_template(const char *folder, const char *jinja,
                                                            dither_error *error);

#endif
