/*
 * The loops of repeat_rows.h, included once for each instruction set by a file that names the table:
 * DITHER_REPEAT_NAME, DITHER_REPEAT_ISA and DITHER_REPEAT_NEEDS. Written for the vectorizers of gcc and clang.
 */
#ifndef DITHER_KERNEL_REPEAT_ROWS_BODY_H
#define DITHER_KERNEL_REPEAT_ROWS_BODY_H

#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

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
typedef uint64_t u64s __attribute__((vector_size(F32_BYTES)));
typedef int16_t s16s __attribute__((vector_size(S16_BYTES), aligned(2), may_alias));

enum {
    F32S = F32_BYTES / 4, /* lanes */
    S16S = S16_BYTES / 2,
    U64S = F32_BYTES / 8,
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

/* a b of the low halves of 64-bit lanes; the high halves of `a` are not read. */
INTO_CALLER u64s low_product(u64s a, uint32_t b)
{
#if defined(__AVX512F__)
    return (u64s)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(__AVX2__)
    return (u64s)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined(__SSE2__)
    return (u64s)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
    return (a & UINT32_MAX) * b;
#endif
}

/*
 * words[w][b] = word w of the blocks of a stretch (philox.h). Blocks lie in the low halves of 64-bit lanes, even ones in
 * one vector and odd ones in another: products leave their low words where the next round reads them, nothing reads the
 * high halves, and two vectors at the end are the words of blocks side by side.
 */
INTO_CALLER void stretch_words(const dither_draw *draw, size_t row, size_t stretch, uint32_t words[4][COUNTERS])
{
    enum { VECTORS = COUNTERS / U64S };
    static const uint64_t ramp[] = {0, 2, 4, 6, 8, 10, 12, 14};
    u64s x0[VECTORS], x1[VECTORS], x2[VECTORS], x3[VECTORS];
    u64s evens;
    const u64s none = {0};
    memcpy(&evens, ramp, sizeof evens);
    for (size_t v = 0; v < VECTORS; v++) {
        x0[v] = evens + (stretch * COUNTERS + v / 2 * 2 * U64S + v % 2);
        x1[v] = none + (draw->row0 + (uint32_t)row);
        x2[v] = none + (draw->tensor << 16 | draw->role << 12 | draw->microbatch);
        x3[v] = none + draw->step;
    }
    uint32_t k0 = (uint32_t)draw->seed, k1 = (uint32_t)(draw->seed >> 32);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t v = 0; v < VECTORS; v++) {
            const u64s p0 = low_product(x0[v], 0xD2511F53u), p1 = low_product(x2[v], 0xCD9E8D57u);
            x0[v] = p1 >> 32 ^ x1[v] ^ k0;
            x1[v] = p1;
            x2[v] = p0 >> 32 ^ x3[v] ^ k1;
            x3[v] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (size_t v = 0; v < VECTORS; v += 2) {
        const u64s *const word[] = {x0 + v, x1 + v, x2 + v, x3 + v};
        for (size_t w = 0; w < sizeof word / sizeof word[0]; w++) {
            const u64s both = (word[w][0] & UINT32_MAX) | word[w][1] << 32;
            memcpy(words[w] + v * U64S, &both, sizeof both);
        }
    }
}

/* The draws of 16 bits of a stretch: dither_draw_fill() with bits = 16. */
INTO_CALLER void stretch_draws(const dither_draw *draw, size_t row, size_t stretch, uint16_t draws[STRETCH])
{
    uint32_t words[4][COUNTERS];
    stretch_words(draw, row, stretch, words);
    for (size_t w = 0; w < 4; w++) {
        for (size_t b = 0; b < COUNTERS; b++)
            draws[2 * w * COUNTERS + b] = (uint16_t)words[w][b];
        for (size_t b = 0; b < COUNTERS; b++)
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

static void add(size_t count, const dither_repeat_term *term, const dither_repeat_blocks *x, int16_t *sum)
{
    for (size_t t = 0; t < count; t++) {
        const dither_repeat_blocks *const row = &x[term[t].row];
        const uint16_t *const id = row->id;
        const int16_t *const value = row->value, code = term[t].code;
        const size_t blocks = row->count;
        for (size_t k = 0; k < blocks; k++) {
            int16_t *const target = sum + (size_t)id[k] * BLOCK;
            for (size_t j = 0; j < BLOCK; j += S16S)
                *(s16s *)(target + j) += *(const s16s *)(value + k * BLOCK + j) * code;
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
    .add = add,
    .combine = combine,
    .forward = forward,
};

#endif
