/*
 * What a quantizer must give, restated from docs/numerics.md with nothing of src/quant but the values of the formats'
 * limits: the address of a draw, the place of a number between two values of a format, and the draws that go up.
 */
#ifndef DITHER_STUDY_SELFTEST_EXPECT_H
#define DITHER_STUDY_SELFTEST_EXPECT_H

#include "dither/tensor.h"

/** The draws of columns 0 .. count - 1 of a row, each in the low `bits` bits. */
void dither_expect_draws(const dither_draw *draw, size_t row, size_t count, int bits, uint32_t *out);

/* |y| = low + f (high - low); of the 2^N draws, probability 2^N go to high. */
typedef struct dither_expect_place {
    double low, high; /* with y's sign */
    double probability;
    double accepted; /* F */
    bool clips;
} dither_expect_place;

/** Where y lies in a format, and how often N bits take it up. */
dither_expect_place dither_expect_place_of(const dither_format *format, int bits, float y);

/** The distance from a magnitude to the next, at |y| <= format->max. */
double dither_expect_step(const dither_format *format, double y);

#endif
