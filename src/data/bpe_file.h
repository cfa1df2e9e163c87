/* tokenizer.json of a trained BPE, as Hugging Face tokenizers read it. */
#ifndef DITHER_DATA_BPE_FILE_H
#define DITHER_DATA_BPE_FILE_H

#include "data/bpe_train.h"

/**
 * Write PATH, whole or not at all. Ids: the special tokens, the 256 bytes in the order of the characters that stand for
 * them, the merges.
 * @param special   [special_count] UTF-8; none may be the text of another token
 * @param pattern   the name of the pre-tokenizer, known
 */
DITHER_MUST_USE dither_status dither_bpe_write(const dither_trained_bpe *bpe, const char *const *special,
                                               size_t special_count, const char *pattern, const char *path,
                                               dither_error *error);

#endif
