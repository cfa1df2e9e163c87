/* Pre-tokenizers that are known by name, and what GGUF files call them. */
#ifndef DITHER_DATA_PRETOKENIZER_NAMES_H
#define DITHER_DATA_PRETOKENIZER_NAMES_H

#include "data/pretokenizer.h"

/** The pattern of GPT-2, which Hugging Face's ByteLevel applies too. */
extern const char dither_pattern_gpt2[];

/** A digit as Hugging Face's Digits knows it: by Unicode 17, where its patterns know Unicode 16. */
extern const char dither_pattern_digit[];

/**
 * @param kind         the name that dither_pretokenizer_open lists for it
 * @param whole_words  whether a piece that is a token is that token, whatever merges would make of it
 * @return whether the name is known
 */
bool dither_pretokenizer_known(const char *name, const char **kind, bool *whole_words);

/** The names that dither_pretokenizer_open lists; NULL past the end. */
const char *dither_pretokenizer_kind(size_t index);

/** The patterns of a known name, applied one after another. @return how many; *patterns is not to be freed */
size_t dither_pretokenizer_patterns(const char *name, const char *const **patterns);

#endif
