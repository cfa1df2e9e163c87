/* What a quantizer or a scheme says, in words, and what a quantizer makes of numbers. */
#ifndef DITHER_CLI_EXPLAIN_H
#define DITHER_CLI_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/format.h"

/** A power of two as 2^N, which is shorter and exact; else up to nine digits; into text[32]. */
const char *dither_explain_number(double value, char *text);

/** Canonical text, format, scale, rounding, memory. */
void dither_explain_quantizer(const dither_quantizer *quantizer);

/** Canonical text, a row for each role, the flags. */
void dither_explain_scheme(const dither_scheme *scheme);

/** The same as members of a JSON object that is open, each with a comma before it. */
void dither_explain_quantizer_json(const dither_quantizer *quantizer);
void dither_explain_scheme_json(const dither_scheme *scheme);

/**
 * Numbers as one row of a matrix: under SR both neighbours and their probabilities, else the result.
 * @param x  [count] finite
 * @return DITHER_OK | DITHER_E_SHAPE | DITHER_E_NUMERIC | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_explain_rounding(const dither_quantizer *quantizer, const float *x, size_t count,
                                                      bool json);

#endif
