/* The loop of variance.h, which each instruction set's file of kernels compiles anew: the same bits from all. */
#ifndef DITHER_QUANT_VARIANCE_LOOP_H
#define DITHER_QUANT_VARIANCE_LOOP_H

#include <math.h>
#include <string.h>

#include "quant/bits.h"
#include "quant/variance.h"

enum { VARIANCE_LANES = 16, VARIANCE_BIAS = 127, VARIANCE_FRACTION = 23 };

/* A format as the loop reads it: magnitudes as f32 bits, so that every bound is one of integers. */
typedef struct variance_steps {
    int32_t max;
    int32_t lowest, highest; /* binades; one alone where the step is the same everywhere */
    int32_t mantissa;
} variance_steps;

static inline int32_t variance_within(int32_t a, int32_t low, int32_t high)
{
    const int32_t raised = a > low ? a : low;
    return raised < high ? raised : high;
}

static inline float variance_power(int32_t exponent)
{
    return dither_f32_from_bits((uint32_t)(exponent + VARIANCE_BIAS) << VARIANCE_FRACTION);
}

/* f(1-f) of |x| / scale, and the step that f is the fraction of. */
static inline float variance_fraction(const variance_steps *to, float x, float scale, float *step)
{
    const int32_t whole = (VARIANCE_FRACTION + VARIANCE_BIAS) << VARIANCE_FRACTION; /* 2^23: no fraction from there */
    const uint32_t scale_bits = dither_f32_bits(scale);
    const uint32_t one = scale_bits == 0 ? (uint32_t)VARIANCE_BIAS << VARIANCE_FRACTION : 0;
    const float quotient = fabsf(x) / dither_f32_from_bits(scale_bits | one);
    const int32_t bits = variance_within((int32_t)dither_f32_bits(quotient), 0, to->max); /* what clips moves not */
    const int32_t binade = variance_within((bits >> VARIANCE_FRACTION) - VARIANCE_BIAS, to->lowest, to->highest);
    const int32_t power = variance_within(binade - to->mantissa, 1 - VARIANCE_BIAS, VARIANCE_BIAS - 1);
    const float count = dither_f32_from_bits((uint32_t)bits) * variance_power(-power);
    const float bounded = dither_f32_from_bits((uint32_t)variance_within((int32_t)dither_f32_bits(count), 0, whole));
    const float f = bounded - (float)(int32_t)bounded;
    *step = variance_power(power);
    return f * (1.0f - f);
}

/* Sixteen columns, in loops that compilers turn into vector code. */
static inline void variance_columns(const variance_steps *to, const float *x, const float *scale, double *variance,
                                    double *square)
{
    float step[VARIANCE_LANES], spread[VARIANCE_LANES];
    for (size_t l = 0; l < VARIANCE_LANES; l++)
        spread[l] = variance_fraction(to, x[l], scale[l], &step[l]);
    for (size_t l = 0; l < VARIANCE_LANES; l++) {
        const double d = (double)step[l] * (double)scale[l];
        variance[l] += d * d * (double)spread[l];
        square[l] += (double)x[l] * (double)x[l];
    }
}

static inline dither_variance dither_loop_variance(const dither_grid *grid, size_t count, const float *x,
                                                   const float *scale)
{
    const bool floats = grid->kind == DITHER_KIND_FLOAT;
    const variance_steps to = {.max = (int32_t)grid->max_bits,
                               .lowest = grid->min_exponent,
                               .highest = floats ? VARIANCE_BIAS : grid->min_exponent,
                               .mantissa = floats ? grid->mantissa : 0};
    double variance[VARIANCE_LANES] = {0}, square[VARIANCE_LANES] = {0};
    const size_t whole = count / VARIANCE_LANES * VARIANCE_LANES;
    for (size_t j = 0; j < whole; j += VARIANCE_LANES)
        variance_columns(&to, x + j, scale + j, variance, square);
    if (whole < count) {
        float rest[2][VARIANCE_LANES] = {{0}};
        memcpy(rest[0], x + whole, (count - whole) * sizeof *x);
        memcpy(rest[1], scale + whole, (count - whole) * sizeof *scale);
        variance_columns(&to, rest[0], rest[1], variance, square);
    }
    dither_variance sums = {0};
    for (size_t l = 0; l < VARIANCE_LANES; l++) {
        sums.variance += variance[l];
        sums.square += square[l];
    }
    return sums;
}

#endif
