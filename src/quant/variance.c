#include "quant/variance.h"

#include <math.h>

#include "base/arena.h"
#include "base/philox.h"
#include "quant/bits.h"

enum { LANES = 8, BIAS = 127, FRACTION = 23 };

static size_t pieces_across(size_t cols)
{
    return (cols + DITHER_VARIANCE_COLS - 1) / DITHER_VARIANCE_COLS;
}

size_t dither_variance_pieces(size_t rows, size_t cols)
{
    return dither_multiply((rows + DITHER_VARIANCE_ROWS - 1) / DITHER_VARIANCE_ROWS, pieces_across(cols));
}

size_t dither_variance_row(const dither_draw *draw, size_t row0, size_t count)
{
    /* A block of columns that no matrix reaches: these bits are no element's. */
    const uint32_t key[2] = {(uint32_t)draw->seed, (uint32_t)(draw->seed >> 32)};
    const uint32_t counter[4] = {UINT32_MAX, draw->row0 + (uint32_t)row0,
                                 draw->tensor << 16 | draw->role << 12 | draw->microbatch, draw->step};
    uint32_t random[4];
    dither_philox(key, counter, random);
    return row0 + (size_t)((uint64_t)random[0] * count >> 32);
}

/* A format as the loop reads it. */
typedef struct steps {
    float max;
    int32_t lowest, highest; /* binades; one alone where the step is the same everywhere */
    int32_t mantissa;
} steps;

static inline float power_of_two(int32_t exponent)
{
    return dither_f32_from_bits((uint32_t)(exponent + BIAS) << FRACTION);
}

static inline void add_element(const steps *to, float x, float scale, double *variance, double *square)
{
    const float a = fabsf(x), quotient = a / (scale != 0.0f ? scale : 1.0f);
    const float q = quotient < to->max ? quotient : to->max; /* what clips does not move */
    int32_t binade = (int32_t)(dither_f32_bits(q) >> FRACTION) - BIAS;
    binade = binade < to->lowest ? to->lowest : binade;
    binade = binade > to->highest ? to->highest : binade;
    int32_t power = binade - to->mantissa;
    power = power < 1 - BIAS ? 1 - BIAS : power;
    power = power > BIAS - 1 ? BIAS - 1 : power;
    const float count = q * power_of_two(-power), whole = 0x1p23f; /* from there on without a fraction */
    const float bounded = count < whole ? count : whole;
    const float f = bounded - (float)(int32_t)bounded;
    const double step = (double)power_of_two(power) * (double)scale;
    *variance += step * step * (double)(f * (1.0f - f));
    *square += (double)a * (double)a;
}

dither_variance dither_variance_span(const dither_grid *grid, size_t count, const float *x, const float *scale)
{
    const bool floats = grid->kind == DITHER_KIND_FLOAT;
    const steps to = {.max = dither_f32_from_bits(grid->max_bits),
                      .lowest = grid->min_exponent,
                      .highest = floats ? BIAS : grid->min_exponent,
                      .mantissa = floats ? grid->mantissa : 0};
    double variance[LANES] = {0}, square[LANES] = {0};
    const size_t whole = count / LANES * LANES;
    for (size_t j = 0; j < whole; j += LANES)
        for (size_t l = 0; l < LANES; l++)
            add_element(&to, x[j + l], scale[j + l], &variance[l], &square[l]);
    for (size_t j = whole; j < count; j++)
        add_element(&to, x[j], scale[j], &variance[j - whole], &square[j - whole]);
    dither_variance sums = {0};
    for (size_t l = 0; l < LANES; l++) {
        sums.variance += variance[l];
        sums.square += square[l];
    }
    return sums;
}

void dither_variance_add(const dither_variance *pieces, size_t rows, size_t cols, dither_clips *clips)
{
    dither_variance sums = {0};
    for (size_t row = 0; row < rows; row += DITHER_VARIANCE_ROWS) {
        const double count = (double)(rows - row < DITHER_VARIANCE_ROWS ? rows - row : DITHER_VARIANCE_ROWS);
        for (size_t k = 0; k < pieces_across(cols); k++, pieces++) {
            sums.variance += count * pieces->variance;
            sums.square += count * pieces->square;
        }
    }
    clips->variance += sums.variance;
    clips->square += sums.square;
}
