/*
 * The loops of repeat_rows.h, included once for each instruction set by a file that names the table:
 * DITHER_REPEAT_NAME, DITHER_REPEAT_ISA and DITHER_REPEAT_NEEDS. Written for the vectorizers of gcc and clang.
 */
#ifndef DITHER_KERNEL_REPEAT_ROWS_BODY_H
#define DITHER_KERNEL_REPEAT_ROWS_BODY_H

#include <string.h>

#include "dither/cpu.h"
#include "kernel/repeat_rows.h"

#ifndef DITHER_REPEAT_NAME /* this header alone: the portable table under a name of its own */
#define DITHER_REPEAT_NAME  dither_repeat_rows_body
#define DITHER_REPEAT_ISA   "body"
#define DITHER_REPEAT_NEEDS 0
extern const dither_repeat_rows DITHER_REPEAT_NAME;
#endif

#define INTO_CALLER static inline __attribute__((always_inline))

enum {
    BLOCK = DITHER_REPEAT_BLOCK,
    COUNTERS = 16, /* Philox blocks of a stretch (philox.h) */
    ROUNDS = 10,
    LANES = 8,     /* draws of 16 bits in a Philox block */
    STRETCH = COUNTERS * LANES,
    GROUP = 4      /* blocks of outputs that `forward` keeps in registers */
};

/* Vectors of the width that the instruction set has, at addresses that need not be aligned to it. */
#if defined(__AVX512F__)
#define F32_BYTES 64
#define S16_BYTES 32
#elif defined(__AVX2__)
#define F32_BYTES 32
#define S16_BYTES 32
#else
#define F32_BYTES 16
#define S16_BYTES 16
#endif
typedef float f32s __attribute__((vector_size(F32_BYTES), aligned(4), may_alias));
typedef int16_t s16s __attribute__((vector_size(S16_BYTES), aligned(2), may_alias));

enum {
    F32S = F32_BYTES / 4, /* lanes */
    S16S = S16_BYTES / 2,
    PARTS = BLOCK / F32S  /* vectors of a block */
};

/* ---- rounding ------------------------------------------------------------------------------------------------ */

INTO_CALLER int32_t bits_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INTO_CALLER float float_of(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* In bits, where a comparison of floats would be a branch: magnitudes are ordered as their bits are, NaN above all. */
static bool split(size_t n, const float *x, float inverse, int16_t *low, int16_t *step, uint16_t *accept)
{
    const float whole = 0x1p23f; /* adding it leaves an integer, rounded half to even */
    const int32_t largest = bits_of((float)DITHER_REPEAT_LARGEST);
    int32_t beyond = 0;
    for (size_t j = 0; j < n; j++) {
        const int32_t bits = bits_of(x[j] * inverse), magnitude = bits & INT32_MAX, sign = bits >> 31 | 1;
        const int32_t bounded = magnitude < largest ? magnitude : largest;
        beyond |= magnitude ^ bounded;
        const int32_t floor = (int32_t)float_of(bounded);
        const float fraction = (float_of(bounded) - (float)floor) * 0x1p16f;
        const int32_t rounded = (int32_t)((fraction + whole) - whole); /* up to 2^16: the next integer */
        low[j] = (int16_t)(sign * (floor + (rounded >> DITHER_REPEAT_BITS)));
        step[j] = (int16_t)sign;
        accept[j] = (uint16_t)rounded;
    }
    return !beyond;
}

/* The draws of 16 bits of a stretch: dither_draw_fill() with bits = 16. */
INTO_CALLER void stretch_draws(const dither_draw *draw, size_t row, size_t stretch, uint16_t draws[STRETCH])
{
    uint32_t k0 = (uint32_t)draw->seed, k1 = (uint32_t)(draw->seed >> 32);
    uint32_t x0[COUNTERS], x1[COUNTERS], x2[COUNTERS], x3[COUNTERS];
    for (uint32_t b = 0; b < COUNTERS; b++) {
        x0[b] = (uint32_t)stretch * COUNTERS + b;
        x1[b] = draw->row0 + (uint32_t)row;
        x2[b] = draw->tensor << 16 | draw->role << 12 | draw->microbatch;
        x3[b] = draw->step;
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int b = 0; b < COUNTERS; b++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * x0[b];
            const uint64_t p1 = (uint64_t)0xCD9E8D57u * x2[b];
            x0[b] = (uint32_t)(p1 >> 32) ^ x1[b] ^ k0;
            x1[b] = (uint32_t)p1;
            x2[b] = (uint32_t)(p0 >> 32) ^ x3[b] ^ k1;
            x3[b] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const uint32_t *const words[] = {x0, x1, x2, x3};
    for (int w = 0; w < LANES / 2; w++) {
        for (int b = 0; b < COUNTERS; b++)
            draws[2 * w * COUNTERS + b] = (uint16_t)words[w][b];
        for (int b = 0; b < COUNTERS; b++)
            draws[(2 * w + 1) * COUNTERS + b] = (uint16_t)(words[w][b] >> 16);
    }
}

static void choose(const dither_draw *draw, size_t row, size_t n, const int16_t *low, const int16_t *step,
                   const uint16_t *accept, int16_t *codes)
{
    uint16_t draws[STRETCH];
    for (size_t first = 0; first < n; first += STRETCH) {
        const size_t count = n - first < STRETCH ? n - first : STRETCH;
        stretch_draws(draw, row, first / STRETCH, draws);
        for (size_t j = 0; j < count; j++) {
            const int16_t up = (int16_t)(0 - (draws[j] < accept[first + j]));
            codes[first + j] = (int16_t)(low[first + j] + (step[first + j] & up));
        }
    }
}

static size_t nonzero(size_t n, const int16_t *codes, uint16_t *index, int16_t *code)
{
    enum { QUAD = 4 };
    size_t count = 0;
    for (size_t j = 0; j < n; j += QUAD) {
        uint64_t quad;
        memcpy(&quad, codes + j, sizeof quad);
        while (quad) {
            const unsigned at = (unsigned)__builtin_ctzll(quad) / 16;
            index[count] = (uint16_t)(j + at);
            code[count++] = codes[j + at];
            quad &= ~(UINT64_C(0xffff) << 16 * at);
        }
    }
    return count;
}

/* ---- products ------------------------------------------------------------------------------------------------ */

static void outer(const dither_repeat_list *list, const dither_repeat_blocks *x, int16_t *sum, size_t stride)
{
    for (size_t t = 0; t < list->count; t++) {
        int16_t *const row = sum + list->index[t] * stride;
        const int16_t code = list->code[t];
        for (size_t k = 0; k < x->count; k++) {
            int16_t *const target = row + (size_t)x->id[k] * BLOCK;
            for (size_t j = 0; j < BLOCK; j += S16S)
                *(s16s *)(target + j) += *(const s16s *)(x->value + k * BLOCK + j) * code;
        }
    }
}

static void combine(const dither_repeat_list *list, const float *w, size_t n, float scale, const float *gate, float *y)
{
    for (size_t first = 0; first < n; first += BLOCK) {
        f32s sum[PARTS] = {{0}};
        for (size_t t = 0; t < list->count; t++)
            for (size_t k = 0; k < PARTS; k++)
                sum[k] += (float)list->code[t] * *(const f32s *)(w + list->index[t] * n + first + k * F32S);
        float part[BLOCK];
        memcpy(part, sum, sizeof part);
        for (size_t j = 0; j < BLOCK; j++)
            y[first + j] = float_of(bits_of(part[j] * scale) & -(int32_t)(bits_of(gate[first + j]) > 0));
    }
}

INTO_CALLER void forward_group(const size_t blocks, size_t count, const uint16_t *index, const float *x,
                               const float *w, const float *bias, size_t n, float *y)
{
    f32s sum[GROUP * PARTS];
    for (size_t k = 0; k < blocks * PARTS; k++)
        sum[k] = *(const f32s *)(bias + k * F32S);
    for (size_t t = 0; t < count; t++) {
        const float *const row = w + index[t] * n;
        for (size_t k = 0; k < blocks * PARTS; k++)
            sum[k] += x[t] * *(const f32s *)(row + k * F32S);
    }
    for (size_t k = 0; k < blocks * PARTS; k++)
        *(f32s *)(y + k * F32S) = sum[k];
}

static void forward(size_t count, const uint16_t *index, const float *x, const float *w, const float *bias, size_t n,
                    float *y)
{
    size_t first = 0;
    for (; n - first >= GROUP * BLOCK; first += GROUP * BLOCK)
        forward_group(GROUP, count, index, x, w + first, bias + first, n, y + first);
    switch ((n - first) / BLOCK) {
    case 3:
        forward_group(3, count, index, x, w + first, bias + first, n, y + first);
        break;
    case 2:
        forward_group(2, count, index, x, w + first, bias + first, n, y + first);
        break;
    case 1:
        forward_group(1, count, index, x, w + first, bias + first, n, y + first);
        break;
    default:
        break;
    }
}

const dither_repeat_rows DITHER_REPEAT_NAME = {
    .isa = DITHER_REPEAT_ISA,
    .needs = DITHER_REPEAT_NEEDS,
    .split = split,
    .choose = choose,
    .nonzero = nonzero,
    .outer = outer,
    .combine = combine,
    .forward = forward,
};

#endif
