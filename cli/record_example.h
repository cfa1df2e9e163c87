/* A record as the model reads it, with what is trained on marked. */
#ifndef DITHER_CLI_RECORD_EXAMPLE_H
#define DITHER_CLI_RECORD_EXAMPLE_H

#include "dither/records.h"

/**
 * For people: trained tokens bold and green, or between [[ and ]]. Control characters but newlines and tabs, and bytes
 * that are no UTF-8, are shown as \r or \x1b.
 * @return false: no memory
 */
bool dither_record_example_print(const dither_tokenizer *tokenizer, const dither_record *record, bool colour);

/** For programs: one JSON object, its text in pieces that are trained on or not, in turn. @return false: no memory */
bool dither_record_example_json(const dither_tokenizer *tokenizer, const dither_record *record);

#endif
