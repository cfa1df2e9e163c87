/*
 * Rounding to a grid, in integer arithmetic on the magnitude: the one core that a single value and a whole row share.
 */
#ifndef DITHER_QUANT_ROUND_H
#define DITHER_QUANT_ROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/format.h"

/* A format as the rounding core reads it. */
typedef struct dither_grid {
    dither_format_kind kind;
    int mantissa;      /* bits that a binade is divided into; ints 0 */
    int min_exponent;  /* binade where the step stops shrinking; ints: of the step */
    uint32_t max_bits; /* f32 bits of the largest f32 <= format->max */
    uint32_t max_code; /* magnitude code of format->max */
    uint32_t nan_code; /* 0 where the format has no NaN */
    uint32_t sign;     /* sign bit of the code */
    uint32_t mask;     /* the low format->bits bits */
} dither_grid;

dither_grid dither_grid_of(const dither_format *format);

/**
 * codes[i] = dither_format_encode(format, rounding, x[i], random[i], ...)
 *
 * @param random  [count], read only under SR
 * @return how many |x| > format->max
 */
size_t dither_round_span(const dither_grid *grid, dither_rounding rounding, const float *x, const uint32_t *random,
                         size_t count, uint32_t *codes);

#endif
