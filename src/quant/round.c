#include "quant/round.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "quant/bits.h"

enum {
    F32_FRACTION = 23,
    F32_BIAS = 127,
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

/* The mode is a constant at each call, so that inlining leaves one tight loop a kind and mode. */
static inline size_t round_loop(const dither_grid *grid, dither_rounding rounding, const float *x,
                                const uint32_t *random, size_t count, uint32_t *codes)
{
    const bool draws = rounding.mode == DITHER_ROUND_SR;
    const dither_grid local = *grid;
    uint32_t clips = 0;
    if (local.kind == DITHER_KIND_FLOAT) {
        for (size_t i = 0; i < count; i++) {
            codes[i] = encode_float(&local, rounding, x[i], draws ? random[i] : 0, &clips);
        }
    } else if (local.kind == DITHER_KIND_INT || local.kind == DITHER_KIND_FIXED) {
        for (size_t i = 0; i < count; i++) {
            codes[i] = encode_int(&local, rounding, x[i], draws ? random[i] : 0, &clips);
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            codes[i] = encode_scale(&local, rounding, x[i], draws ? random[i] : 0, &clips);
        }
    }
    return clips;
}

size_t dither_round_span(const dither_grid *grid, dither_rounding rounding, const float *x, const uint32_t *random,
                         size_t count, uint32_t *codes)
{
    assert(count <= UINT32_MAX);
    switch (rounding.mode) {
    case DITHER_ROUND_RNE:
        return round_loop(grid, (dither_rounding){DITHER_ROUND_RNE, 0}, x, random, count, codes);
    case DITHER_ROUND_SR:
        if (rounding.bits == 32) {
            return round_loop(grid, (dither_rounding){DITHER_ROUND_SR, 32}, x, random, count, codes);
        }
        return round_loop(grid, (dither_rounding){DITHER_ROUND_SR, rounding.bits}, x, random, count, codes);
    case DITHER_ROUND_UP:
        return round_loop(grid, (dither_rounding){DITHER_ROUND_UP, 0}, x, random, count, codes);
    case DITHER_ROUND_DOWN:
        return round_loop(grid, (dither_rounding){DITHER_ROUND_DOWN, 0}, x, random, count, codes);
    case DITHER_ROUND_ZERO:
        break;
    }
    return round_loop(grid, (dither_rounding){DITHER_ROUND_ZERO, 0}, x, random, count, codes);
}
