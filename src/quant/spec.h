/* The text of a quantizer, for the scheme parser, which holds it as part of a longer one. */
#ifndef DITHER_QUANT_SPEC_H
#define DITHER_QUANT_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/format.h"

/** The quantizer that does nothing: f32, no scale. */
dither_quantizer dither_quantizer_f32(void);

bool dither_quantizer_equal(const dither_quantizer *a, const dither_quantizer *b);

/**
 * Copy the `length` bytes at `text`, cut to fit, and a 0 into part[size].
 * @return false where it was cut
 */
bool dither_text_part(const char *text, size_t length, char *part, size_t size);

/** ASCII letters in lower case, cut to fit, and a 0 into lower[size]. */
void dither_text_lower(const char *text, char *lower, size_t size);

/** dither_quantizer_parse() whose error says `where`. */
DITHER_MUST_USE dither_status dither_quantizer_parse_at(const char *where, const char *text,
                                                        dither_quantizer *quantizer, dither_error *error);

#endif
