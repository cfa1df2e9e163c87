/* f32 to blocks: to nearest as ggml's reference quantizers do it, and stochastically with scales that clip nothing. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "quant/block.h"
#include "quant/format_rows.h"
#include "quant/half.h"
#include "quant/round.h"

enum {
    BLOCK = 32,
    SPAN = 256,    /* values that draw together: whole stretches of draws, whole blocks */
    DRAW_BITS = 32,
    HALF_MAX = 0x7bff /* the code of 65504 */
};

static void put_half(unsigned char *at, uint16_t code)
{
    memcpy(at, &code, sizeof code);
}

/* ---- to nearest ------------------------------------------------------------------------------------------------ */

/* trunc(x) in 0..15. The reference leaves what lies outside undefined, NaN too: it is clipped, NaN to 0. */
static unsigned nibble(float x)
{
    return x >= 15.0f ? 15 : x > 0.0f ? (unsigned)x : 0;
}

/* 1 / d, or 0 where d is 0 or so small that its reciprocal is infinite; as f16 such a scale is 0 as well. */
static float reciprocal(float d)
{
    const float r = d != 0.0f ? 1.0f / d : 0.0f;
    return isfinite(r) ? r : 0.0f;
}

static void nearest_q4_0(const float *x, unsigned char *at)
{
    float amax = 0, extreme = 0;
    for (size_t i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > amax) {
            amax = fabsf(x[i]);
            extreme = x[i];
        }
    const float d = extreme / -8.0f, r = reciprocal(d);
    put_half(at, dither_f16_from_f32(d));
    for (size_t i = 0; i < BLOCK / 2; i++)
        at[2 + i] = (unsigned char)(nibble(x[i] * r + 8.5f) | nibble(x[i + BLOCK / 2] * r + 8.5f) << 4);
}

static void nearest_q4_1(const float *x, unsigned char *at)
{
    float min = x[0], max = x[0];
    for (size_t i = 1; i < BLOCK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    const float d = (max - min) / 15.0f, r = reciprocal(d);
    put_half(at, dither_f16_from_f32(d));
    put_half(at + 2, dither_f16_from_f32(min));
    for (size_t i = 0; i < BLOCK / 2; i++)
        at[4 + i] =
            (unsigned char)(nibble((x[i] - min) * r + 0.5f) | nibble((x[i + BLOCK / 2] - min) * r + 0.5f) << 4);
}

static void nearest_q8_0(const float *x, unsigned char *at)
{
    float amax = 0;
    for (size_t i = 0; i < BLOCK; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    const float d = amax / 127.0f, r = reciprocal(d);
    put_half(at, dither_f16_from_f32(d));
    for (size_t i = 0; i < BLOCK; i++) {
        const float code = roundf(x[i] * r);
        at[2 + i] = (unsigned char)(code >= 127 ? 127 : code <= -127 ? -127 : isnan(code) ? 0 : (int)code);
    }
}

/* ---- stochastically -------------------------------------------------------------------------------------------- */

/* The smallest f16 >= x, x >= 0, and at most 65504. */
static uint16_t half_up(double x)
{
    uint16_t code = dither_f16_from_f32((float)fmin(x, 65504.0));
    while (code < HALF_MAX && (double)dither_f32_from_f16(code) < x)
        code++;
    return code;
}

/* The largest f16 <= x, and at least -65504. */
static uint16_t half_down(float x)
{
    if (x < 0)
        return half_up(-(double)x) | 0x8000;
    const uint16_t code = dither_f16_from_f32(fminf(x, 65504.0f));
    return dither_f32_from_f16(code) > x ? (uint16_t)(code - 1) : code;
}

/* The unsigned or two's complement codes of (x - m) / d, in lowest..largest. */
static void draw_codes(const float *x, float d, float m, const uint32_t *random, int lowest, int largest, int *codes)
{
    const dither_grid grid = dither_grid_of(dither_format_row("int8"));
    const dither_rounding rounding = {DITHER_ROUND_SR, DRAW_BITS};
    float scaled[BLOCK];
    uint32_t bytes[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        scaled[i] = d != 0.0f ? (x[i] - m) / d : 0.0f;
    (void)dither_round_span(&grid, rounding, scaled, random, BLOCK, bytes); /* what does not fit is clipped below */
    for (size_t i = 0; i < BLOCK; i++) {
        const int code = (int)(int8_t)(uint8_t)bytes[i];
        codes[i] = code < lowest ? lowest : code > largest ? largest : code;
    }
}

static void put_nibbles(const int *codes, int zero, unsigned char *at)
{
    for (size_t i = 0; i < BLOCK / 2; i++)
        at[i] = (unsigned char)((codes[i] + zero) | (codes[i + BLOCK / 2] + zero) << 4);
}

/* d takes the sign that gives -8, the code that has no counterpart, to the side that reaches farther. */
static void draw_q4_0(const float *x, unsigned char *at, const uint32_t *random)
{
    float above = 0, below = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        above = x[i] > above ? x[i] : above;
        below = -x[i] > below ? -x[i] : below;
    }
    const bool flip = above >= below;
    const double far = (double)(flip ? above : below), near = (double)(flip ? below : above);
    const uint16_t scale = half_up(fmax(far / 8, near / 7));
    const float d = dither_f32_from_f16(scale);
    int codes[BLOCK];
    put_half(at, flip ? scale | 0x8000 : scale);
    draw_codes(x, flip ? -d : d, 0, random, -8, 7, codes);
    put_nibbles(codes, 8, at + 2);
}

static void draw_q4_1(const float *x, unsigned char *at, const uint32_t *random)
{
    float min = x[0], max = x[0];
    for (size_t i = 1; i < BLOCK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    const uint16_t offset = half_down(min);
    const float m = dither_f32_from_f16(offset);
    const uint16_t scale = half_up((double)(max - m) / 15);
    int codes[BLOCK];
    put_half(at, scale);
    put_half(at + 2, offset);
    draw_codes(x, dither_f32_from_f16(scale), m, random, 0, 15, codes);
    put_nibbles(codes, 0, at + 4);
}

static void draw_q8_0(const float *x, unsigned char *at, const uint32_t *random)
{
    float amax = 0;
    for (size_t i = 0; i < BLOCK; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    const uint16_t scale = half_up((double)amax / 127);
    int codes[BLOCK];
    put_half(at, scale);
    draw_codes(x, dither_f32_from_f16(scale), 0, random, -127, 127, codes);
    for (size_t i = 0; i < BLOCK; i++)
        at[2 + i] = (unsigned char)codes[i];
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

/* Every |x| that no rounding takes out of the type's range. */
static float largest_of(dither_block_type type)
{
    static const float half = 65504.0f;
    switch (type) {
    case DITHER_BLOCK_F16:
    case DITHER_BLOCK_Q4_1: return half;
    case DITHER_BLOCK_Q8_0: return 127 * half;
    case DITHER_BLOCK_Q4_0: return 7 * half;
    case DITHER_BLOCK_BF16: return 0x1.fep127f;
    default: return dither_f32_from_bits(DITHER_F32_INF - 1);
    }
}

bool dither_block_fits(dither_block_type type, size_t count, const float *x)
{
    const uint32_t largest = dither_f32_bits(largest_of(type));
    bool fits = true;
    for (size_t i = 0; i < count; i++)
        fits &= (dither_f32_bits(x[i]) & 0x7fffffff) <= largest;
    return fits;
}

/* Values as the 16-bit codes of f16 or bf16, at most SPAN of them. */
static void put_codes(dither_block_type type, size_t count, const float *x, unsigned char *at, const uint32_t *random)
{
    const bool f16 = type == DITHER_BLOCK_F16;
    uint32_t drawn[SPAN];
    if (random) {
        const dither_grid grid = dither_grid_of(dither_format_row(f16 ? "f16" : "bf16"));
        (void)dither_round_span(&grid, (dither_rounding){DITHER_ROUND_SR, DRAW_BITS}, x, random, count, drawn);
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t nearest = f16 ? dither_f16_from_f32(x[i]) : dither_bf16_from_f32(x[i]);
        put_half(at + 2 * i, random ? (uint16_t)drawn[i] : nearest);
    }
}

static void put_block(dither_block_type type, const float *x, unsigned char *at, const uint32_t *random)
{
    if (type == DITHER_BLOCK_Q4_0)
        random ? draw_q4_0(x, at, random) : nearest_q4_0(x, at);
    else if (type == DITHER_BLOCK_Q4_1)
        random ? draw_q4_1(x, at, random) : nearest_q4_1(x, at);
    else
        random ? draw_q8_0(x, at, random) : nearest_q8_0(x, at);
}

void dither_block_encode(dither_block_type type, size_t count, const float *x, void *blocks, const dither_draw *draw,
                         size_t row)
{
    const dither_block_info *info = dither_block_info_of(type);
    assert(info->writes && count % info->values == 0);
    unsigned char *at = blocks;
    if (type == DITHER_BLOCK_F32) {
        if (count > 0)
            memcpy(at, x, count * sizeof *x);
        return;
    }
    uint32_t random[SPAN];
    for (size_t first = 0; first < count; first += SPAN) {
        const size_t wanted = count - first < SPAN ? count - first : SPAN;
        if (draw)
            dither_draw_fill(draw, row, first, wanted, DRAW_BITS, random);
        if (info->values == 1) {
            put_codes(type, wanted, x + first, at, draw ? random : NULL);
            at += wanted * info->bytes;
            continue;
        }
        for (size_t i = 0; i < wanted; i += BLOCK, at += info->bytes)
            put_block(type, x + first + i, at, draw ? random + i : NULL);
    }
}
