/* Pre-tokenizers by name; src/file/vocabulary_split.c has what each does, and what else files call it. */
#ifndef DITHER_DATA_PRETOKENIZER_NAMES_H
#define DITHER_DATA_PRETOKENIZER_NAMES_H

#include "data/pretokenizer.h"
#include "file/vocabulary_split.h"

/** The names that dither_pretokenizer_open lists; NULL past the end. */
const char *dither_pretokenizer_kind(size_t index);

/** The one that does what a row of the table says. @return DITHER_OK | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_pretokenizer_split(dither_pretokenizer **pretokenizer,
                                                        const dither_vocabulary_split *split, dither_error *error);

#endif
