#include "quant/round.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "quant/bits.h"

enum {
    F32_FRACTION = 23,
    F32_BIAS = 127,
    F64_FRACTION = 52,
    F64_BIAS = 1023,
    SHIFT_MAX = 63 /* beyond, F of any 24-bit magnitude and 32 random bits is 0 and nothing is near a tie */
};

/*
 * Whether k + f goes to k + 1, f = rest / 2^shift: the whole of rounding.
 * A tie goes to the even code (`odd` is that of k): k's own parity, but without mantissa bits, where every k is 1, that
 * of the exponent, as in IEEE P3109.
 * SR: F = f 2^N rounded half to even, up iff (random mod 2^N) < F. rest < 2^24, so rest 2^32 fits 64 bits.
 */
static inline uint32_t rounds_away(dither_rounding rounding, uint32_t odd, uint64_t rest, int shift, bool negative,
                                   uint32_t random)
{
    const uint64_t one = UINT64_C(1) << shift;
    switch (rounding.mode) {
    case DITHER_ROUND_RNE:
        return 2 * rest + odd > one;
    case DITHER_ROUND_SR: {
        const uint64_t scaled = rest << rounding.bits;
        uint64_t accept = scaled >> shift;
        accept += 2 * (scaled & (one - 1)) + (accept & 1) > one;
        return (random & ((UINT64_C(1) << rounding.bits) - 1)) < accept;
    }
    case DITHER_ROUND_UP:
        return !negative && rest != 0;
    case DITHER_ROUND_DOWN:
        return negative && rest != 0;
    case DITHER_ROUND_ZERO:
        break;
    }
    return 0;
}

/* x = significand 2^(exponent - 23) of a finite magnitude. */
static inline uint64_t significand_of(uint32_t magnitude, int *exponent)
{
    const uint32_t field = magnitude >> F32_FRACTION;
    const uint32_t normal = field != 0;
    *exponent = (int)field + (normal ? 0 : 1) - F32_BIAS;
    return (magnitude & 0x7fffffu) | normal << F32_FRACTION;
}

/*
 * Magnitude code of a float: binades above min_exponent count 2^mantissa codes each, and a carry out of the mantissa
 * lands in the next binade by itself.
 */
static inline uint32_t float_magnitude(const dither_grid *grid, dither_rounding rounding, uint32_t magnitude,
                                       bool negative, uint32_t random)
{
    int exponent;
    const uint64_t value = significand_of(magnitude, &exponent);
    const int above = exponent - grid->min_exponent;
    int shift = F32_FRACTION - grid->mantissa - (above < 0 ? above : 0);
    shift = shift < SHIFT_MAX ? shift : SHIFT_MAX;
    const uint64_t rest = value & ((UINT64_C(1) << shift) - 1);
    const uint32_t base = (uint32_t)(above > 0 ? above : 0) << grid->mantissa;
    const uint32_t code = base + (uint32_t)(value >> shift);
    return code + rounds_away(rounding, code & 1, rest, shift, negative, random);
}

/* Magnitude of an integer code: the step is the same in every binade. */
static inline uint32_t int_magnitude(const dither_grid *grid, dither_rounding rounding, uint32_t magnitude,
                                     bool negative, uint32_t random)
{
    int exponent;
    const uint64_t value = significand_of(magnitude, &exponent);
    int shift = F32_FRACTION - (exponent - grid->min_exponent);
    if (shift <= 0) {
        return (uint32_t)(value << -shift);
    }
    shift = shift < SHIFT_MAX ? shift : SHIFT_MAX;
    const uint32_t code = (uint32_t)(value >> shift);
    const uint64_t rest = value & ((UINT64_C(1) << shift) - 1);
    return code + rounds_away(rounding, code & 1, rest, shift, negative, random);
}

static inline uint32_t encode_float(const dither_grid *grid, dither_rounding rounding, float x, uint32_t random,
                                    uint32_t *clips)
{
    const uint32_t bits = dither_f32_bits(x);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const bool negative = bits >> 31;
    if (magnitude > grid->max_bits) {
        if (magnitude > DITHER_F32_INF) {
            return grid->nan_code;
        }
        *clips += 1;
        return grid->max_code | (negative ? grid->sign : 0);
    }
    return float_magnitude(grid, rounding, magnitude, negative, random) | (negative ? grid->sign : 0);
}

static inline uint32_t encode_int(const dither_grid *grid, dither_rounding rounding, float x, uint32_t random,
                                  uint32_t *clips)
{
    const uint32_t bits = dither_f32_bits(x);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const bool negative = bits >> 31;
    uint32_t code = grid->max_code;
    if (magnitude > grid->max_bits) {
        if (magnitude > DITHER_F32_INF) {
            return 0;
        }
        *clips += 1;
    } else {
        code = int_magnitude(grid, rounding, magnitude, negative, random);
    }
    return (negative ? 0u - code : code) & grid->mask;
}

/* Unsigned powers of two, 2^-127 (the only one below f32's normals) to 2^127; what is not above 2^-127 is code 0. */
static uint32_t encode_scale(const dither_grid *grid, dither_rounding rounding, float x, uint32_t random,
                             uint32_t *clips)
{
    const uint32_t bits = dither_f32_bits(x);
    if ((bits & 0x7fffffffu) > DITHER_F32_INF) {
        return grid->nan_code;
    }
    if ((bits & 0x7fffffffu) > grid->max_bits) {
        *clips += 1;
        return bits >> 31 ? 0 : grid->max_code;
    }
    if (bits >> 31 || bits < 0x00400000u) {
        return 0;
    }
    const uint32_t code = bits >> F32_FRACTION;
    const int shift = code > 0 ? F32_FRACTION : F32_FRACTION - 1;
    const uint64_t rest = bits & ((1u << shift) - 1);
    return code + rounds_away(rounding, code & 1, rest, shift, false, random);
}

dither_grid dither_grid_of(const dither_format *format)
{
    dither_grid grid = {.kind = format->kind, .mantissa = format->mantissa_bits, .min_exponent = format->min_exponent};
    grid.sign = 1u << (format->bits - 1);
    grid.mask = grid.sign | (grid.sign - 1);
    float max = (float)format->max;
    if ((double)max > format->max) {
        max = nextafterf(max, 0.0f);
    }
    grid.max_bits = dither_f32_bits(max);
    const dither_rounding zero = {DITHER_ROUND_ZERO, 0};
    switch (format->kind) {
    case DITHER_KIND_FLOAT:
        grid.max_code = float_magnitude(&grid, zero, grid.max_bits, false, 0);
        if (format->specials == DITHER_SPECIALS_NAN) {
            grid.nan_code = grid.sign - 1;
        } else if (format->specials == DITHER_SPECIALS_IEEE && format->mantissa_bits > 0) {
            grid.nan_code = (grid.sign - 1) & ~((1u << (format->mantissa_bits - 1)) - 1);
        }
        break;
    case DITHER_KIND_INT:
    case DITHER_KIND_FIXED:
        grid.max_code = (uint32_t)(format->max / format->smallest);
        break;
    case DITHER_KIND_SCALE:
        grid.max_code = grid.mask - 1;
        grid.nan_code = grid.mask;
        break;
    }
    return grid;
}

static inline uint32_t encode(const dither_grid *grid, dither_rounding rounding, float x, uint32_t random,
                              uint32_t *clips)
{
    switch (grid->kind) {
    case DITHER_KIND_FLOAT:
        return encode_float(grid, rounding, x, random, clips);
    case DITHER_KIND_INT:
    case DITHER_KIND_FIXED:
        return encode_int(grid, rounding, x, random, clips);
    case DITHER_KIND_SCALE:
        break;
    }
    return encode_scale(grid, rounding, x, random, clips);
}

uint32_t dither_format_encode(const dither_format *format, dither_rounding rounding, float x, uint32_t random,
                              bool *clipped)
{
    assert(rounding.mode != DITHER_ROUND_SR || (rounding.bits >= 1 && rounding.bits <= 32));
    const dither_grid grid = dither_grid_of(format);
    uint32_t clips = 0;
    const uint32_t code = encode(&grid, rounding, x, random, &clips);
    if (clips != 0 && clipped != NULL) {
        *clipped = true;
    }
    return code;
}

static inline double f64_from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t f64_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* rounds_away() of f in [0, 1), which has at most 24 significant bits: no step here rounds but the one to F. */
static inline uint32_t fraction_away(dither_rounding rounding, uint32_t odd, double f, uint32_t negative,
                                     uint32_t random)
{
    switch (rounding.mode) {
    case DITHER_ROUND_RNE:
        /* An odd k is not 0, so that f ends at 2^-23 or above, and what is added decides at 1/2 only. */
        return f + (double)(int32_t)odd * 0x1p-30 > 0.5;
    case DITHER_ROUND_SR: {
        /*
         * Above 2^52 f64's step is 1: the addition rounds f 2^N half to even, into the low bits.
         * F fits 32 of them, since f <= 1 - 2^-24.
         */
        const double scaled = f * (double)(UINT64_C(1) << rounding.bits) + 0x1p52;
        return (random & (uint32_t)((UINT64_C(1) << rounding.bits) - 1)) < (uint32_t)f64_bits(scaled);
    }
    case DITHER_ROUND_UP:
        return (uint32_t)(f > 0.0) & (negative ^ 1);
    case DITHER_ROUND_DOWN:
        return (uint32_t)(f > 0.0) & negative;
    case DITHER_ROUND_ZERO:
        break;
    }
    return 0;
}

/* a where yes is 1, b where it is 0. */
static inline uint32_t blend(uint32_t yes, uint32_t a, uint32_t b)
{
    return b ^ ((a ^ b) & (0u - yes));
}

/*
 * encode_float() and encode_int() without a branch and in f64, where x / step and its fraction are exact: a loop that
 * compilers turn into vector code. `is_float` and the rounding's mode are constants at each call.
 */
static inline size_t round_loop(const dither_grid *grid, bool is_float, dither_rounding rounding, const float *x,
                                const uint32_t *random, size_t count, uint32_t *codes)
{
    const dither_grid g = *grid;
    const uint32_t lowest = (uint32_t)(g.min_exponent + F32_BIAS);
    const uint32_t inverse = (uint32_t)(F64_BIAS + F32_BIAS + g.mantissa);
    const double int_inverse = f64_from_bits((uint64_t)(F64_BIAS - g.min_exponent) << F64_FRACTION);
    const bool draws = rounding.mode == DITHER_ROUND_SR;
    uint32_t clips = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = dither_f32_bits(x[i]);
        const uint32_t given = bits & 0x7fffffffu;
        const uint32_t negative = bits >> 31;
        const uint32_t beyond = given > g.max_bits, nan = given > DITHER_F32_INF;
        const uint32_t magnitude = given < g.max_bits ? given : g.max_bits;
        const uint32_t field = magnitude >> F32_FRACTION;
        const uint32_t binade = field > lowest ? field : lowest;
        const uint64_t exponent = inverse - binade;
        const double inverse_step = is_float ? f64_from_bits(exponent << F64_FRACTION) : int_inverse;
        const double steps = (double)dither_f32_from_bits(magnitude) * inverse_step;
        const int32_t k = (int32_t)steps;
        uint32_t code = (uint32_t)k + (is_float ? (binade - lowest) << g.mantissa : 0);
        code += fraction_away(rounding, code & 1, steps - (double)k, negative, draws ? random[i] : 0);
        code = blend(beyond, g.max_code, code);
        code = is_float ? code | (g.sign & (0u - negative)) : ((code ^ (0u - negative)) + negative) & g.mask;
        codes[i] = blend(nan, g.nan_code, code);
        clips += beyond - nan;
    }
    return clips;
}

static inline size_t round_mode(const dither_grid *grid, dither_rounding rounding, const float *x,
                                const uint32_t *random, size_t count, uint32_t *codes)
{
    if (grid->kind == DITHER_KIND_FLOAT) {
        return round_loop(grid, true, rounding, x, random, count, codes);
    }
    return round_loop(grid, false, rounding, x, random, count, codes);
}

size_t dither_round_span(const dither_grid *grid, dither_rounding rounding, const float *x, const uint32_t *random,
                         size_t count, uint32_t *codes)
{
    assert(count <= UINT32_MAX && grid->kind != DITHER_KIND_SCALE);
    switch (rounding.mode) {
    case DITHER_ROUND_RNE:
        return round_mode(grid, (dither_rounding){DITHER_ROUND_RNE, 0}, x, random, count, codes);
    case DITHER_ROUND_SR:
        return round_mode(grid, (dither_rounding){DITHER_ROUND_SR, rounding.bits}, x, random, count, codes);
    case DITHER_ROUND_UP:
        return round_mode(grid, (dither_rounding){DITHER_ROUND_UP, 0}, x, random, count, codes);
    case DITHER_ROUND_DOWN:
        return round_mode(grid, (dither_rounding){DITHER_ROUND_DOWN, 0}, x, random, count, codes);
    case DITHER_ROUND_ZERO:
        break;
    }
    return round_mode(grid, (dither_rounding){DITHER_ROUND_ZERO, 0}, x, random, count, codes);
}
