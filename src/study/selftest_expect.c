#include "study/selftest_expect.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"

enum { BLOCKS = 16, WORDS = 4, F64_FRACTION = 52, F64_BIAS = 1023 };

void dither_expect_draws(const dither_draw *draw, size_t row, size_t count, int bits, uint32_t *out)
{
    const uint32_t width = bits <= 8 ? 8 : bits <= 16 ? 16 : 32, length = BLOCKS * 128 / width;
    const uint32_t mask = (uint32_t)((UINT64_C(1) << bits) - 1);
    const uint32_t key[2] = {(uint32_t)draw->seed, (uint32_t)(draw->seed >> 32)};
    for (uint32_t first = 0; first < count; first += length)
        for (uint32_t b = 0; b < BLOCKS; b++) {
            const uint32_t counter[4] = {first / length * BLOCKS + b, draw->row0 + (uint32_t)row,
                                         draw->tensor << 16 | draw->role << 12 | draw->microbatch, draw->step};
            uint32_t words[WORDS];
            dither_philox(key, counter, words);
            for (uint32_t lane = 0; lane < 128 / width && first + lane * BLOCKS + b < count; lane++)
                out[first + lane * BLOCKS + b] = words[lane * width / 32] >> lane * width % 32 & mask;
        }
}

/* floor(log2(y)) of a positive normal f64, which every f32 above 0 is. */
static int binade(double y)
{
    uint64_t bits;
    memcpy(&bits, &y, sizeof bits);
    return (int)(bits >> F64_FRACTION) - F64_BIAS;
}

/* 2^n of a normal f64. */
static double power(int n)
{
    const uint64_t bits = (uint64_t)(n + F64_BIAS) << F64_FRACTION;
    double y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

double dither_expect_step(const dither_format *format, double y)
{
    const double magnitude = fabs(y);
    if (format->kind != DITHER_KIND_FLOAT || !(magnitude > 0.0))
        return format->smallest;
    const int exponent = binade(magnitude);
    return power((exponent > format->min_exponent ? exponent : format->min_exponent) - format->mantissa_bits);
}

dither_expect_place dither_expect_place_of(const dither_format *format, int bits, float y)
{
    const double magnitude = fabs((double)y), sign = signbit(y) ? -1.0 : 1.0;
    if (magnitude > format->max)
        return (dither_expect_place){.low = sign * format->max, .high = sign * format->max, .clips = true};
    const double step = dither_expect_step(format, magnitude), steps = magnitude / step, k = floor(steps);
    const double draws = power(bits), accepted = rint((steps - k) * draws);
    return (dither_expect_place){.low = sign * k * step,
                                 .high = sign * (k + 1.0) * step,
                                 .probability = accepted / draws,
                                 .accepted = accepted};
}
