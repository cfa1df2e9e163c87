/* What a tokenizer is made of, for those who read and write its files. */
#ifndef DITHER_DATA_TOKENIZER_PARTS_H
#define DITHER_DATA_TOKENIZER_PARTS_H

#include "data/encoder.h"
#include "dither/tokenizer.h"
#include "file/gguf.h"
#include "file/json.h"

enum { DITHER_BYTES = 256 };

struct dither_tokenizer {
    bool is_bytes;             /* each byte is a token; nothing of `encoding` is there */
    char bytes[DITHER_BYTES];  /* what its ids stand for */
    dither_encoding encoding;
    dither_vocabulary texts;   /* what ids stand for, and their flags */
    dither_tokenizer_marks marks;
    bool space_prefix;
    char *chat_template;
};

/** Fill an empty one (zeroed, marks none). @param path  for error messages */
DITHER_MUST_USE dither_status dither_tokenizer_from_json(dither_tokenizer *tokenizer, const cJSON *root,
                                                         const char *path, dither_error *error);
DITHER_MUST_USE dither_status dither_tokenizer_from_gguf(dither_tokenizer *tokenizer, const dither_gguf *file,
                                                         dither_error *error);

/** Fill marks and chat template from what stands beside a tokenizer.json. @param folder  where to look */
DITHER_MUST_USE dither_status dither_tokenizer_read_config(dither_tokenizer *tokenizer, const char *folder,
                                                           dither_error *error);

/** Where no file says which token ends a turn: the first of the usual ones that is a special token. */
void dither_tokenizer_guess_eot(dither_tokenizer *tokenizer);

/** Whether tokenizer.json is that of the byte tokenizer, as dither_tokenizer_write writes it. */
bool dither_tokenizer_is_bytes_json(const cJSON *root);

/** The character of a byte-level vocabulary that stands for a byte, as UTF-8 with a 0 at its end. */
void dither_byte_text(unsigned byte, char text[static 3]);

/**
 * The bytes that a byte-level token's text stands for.
 * @param bytes  [length], written as far as the result says
 * @return their number; SIZE_MAX: some character stands for no byte
 */
size_t dither_byte_text_decode(const char *text, size_t length, char *bytes);

#endif
