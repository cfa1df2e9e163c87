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
 * words[w][b] = word w of the blocks of a stretch (philox.h). Blocks lie in the low halves of 64-bit lanes, even ones
 * in one vector and odd ones in another: products leave their low words where the next round reads them, nothing reads
 * the high halves, and two vectors at the end are the words of blocks side by side.
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

/* Bit j: code j of 16 is not 0. */
INTO_CALLER uint32_t nonzero_block(const int16_t *codes)
{
#if defined(__SSE2__)
    const __m128i low = _mm_loadu_si128((const __m128i *)codes), high = _mm_loadu_si128((const __m128i *)codes + 1);
    const __m128i zero = _mm_packs_epi16(_mm_cmpeq_epi16(low, _mm_setzero_si128()),
                                         _mm_cmpeq_epi16(high, _mm_setzero_si128()));
    return (uint32_t)_mm_movemask_epi8(zero) ^ 0xffffu;
#else
    uint32_t bits = 0;
    for (size_t j = 0; j < BLOCK; j++)
        bits |= (uint32_t)(codes[j] != 0) << j;
    return bits;
#endif
}

static size_t nonzero(size_t n, const int16_t *codes, uint16_t *index, int16_t *code)
{
    enum { WORD = 64 }; /* one loop whose end is hard to predict for so many codes */
    size_t count = 0;
    for (size_t first = 0; first < n; first += WORD) {
        uint64_t bits = 0;
        for (size_t j = 0; j < WORD && first + j < n; j += BLOCK)
            bits |= (uint64_t)nonzero_block(codes + first + j) << j;
        for (; bits; bits &= bits - 1) {
            const size_t at = first + (size_t)__builtin_ctzll(bits);
            index[count] = (uint16_t)at;
            code[count++] = codes[at];
        }
    }
    return count;
}

/* ---- products ------------------------------------------------------------------------------------------------ */

INTO_CALLER void add_one(const dither_repeat_blocks *x, int16_t code, int16_t *sum)
{
    for (size_t k = 0; k < x->count; k++) {
        int16_t *const target = sum + (size_t)x->id[k] * BLOCK;
        for (size_t j = 0; j < BLOCK; j += S16S)
            *(s16s *)(target + j) += *(const s16s *)(x->value + k * BLOCK + j) * code;
    }
}

/* Two vectors with the same blocks. */
INTO_CALLER void add_two(const dither_repeat_blocks *x, int16_t x_code, const dither_repeat_blocks *y, int16_t y_code,
                         int16_t *sum)
{
    const uint16_t *const id = x->id;
    const int16_t *const x_value = x->value, *const y_value = y->value;
    const size_t blocks = x->count;
    for (size_t k = 0; k < blocks; k++) {
        int16_t *const target = sum + (size_t)id[k] * BLOCK;
        for (size_t j = 0; j < BLOCK; j += S16S)
            *(s16s *)(target + j) += *(const s16s *)(x_value + k * BLOCK + j) * x_code +
                                     *(const s16s *)(y_value + k * BLOCK + j) * y_code;
    }
}

static void add(size_t count, const dither_repeat_term *term, const dither_repeat_blocks *x, int16_t *sum)
{
    for (size_t t = 0; t < count;) {
        const dither_repeat_blocks *const row = &x[term[t].row];
        const dither_repeat_blocks *const next = t + 1 < count ? &x[term[t + 1].row] : NULL;
        if (next && next->id == row->id && next->count == row->count) {
            add_two(row, term[t].code, next, term[t + 1].code, sum);
            t += 2;
        } else {
            add_one(row, term[t].code, sum);
            t++;
        }
    }
}

/* y = sum over t of x[t] w[index[t]] of `blocks` blocks of columns. */
INTO_CALLER void sum_rows(const size_t blocks, size_t count, const uint16_t *index, const float *x, const float *w,
                          size_t n, float *y)
{
    f32s sum[GROUP * PARTS] = {{0}};
    for (size_t t = 0; t < count; t++) {
        const float *const row = w + index[t] * n;
        for (size_t k = 0; k < blocks * PARTS; k++)
            sum[k] += x[t] * *(const f32s *)(row + k * F32S);
    }
    for (size_t k = 0; k < blocks * PARTS; k++)
        *(f32s *)(y + k * F32S) = sum[k];
}

static void combine(const dither_repeat_list *list, const float *w, size_t n, float scale, const float *gate, float *y)
{
    enum { TERMS = 256 }; /* at a time */
    float codes[TERMS], part[GROUP * BLOCK];
    for (size_t j = 0; j < n; j++)
        y[j] = 0;
    for (size_t from = 0; from < list->count; from += TERMS) {
        const size_t count = list->count - from < TERMS ? list->count - from : TERMS;
        const uint16_t *const index = list->index + from;
        for (size_t t = 0; t < count; t++)
            codes[t] = (float)list->code[from + t];
        for (size_t first = 0; first < n; first += GROUP * BLOCK) {
            const size_t blocks = n - first < GROUP * BLOCK ? (n - first) / BLOCK : GROUP;
            switch (blocks) {
            case 1: sum_rows(1, count, index, codes, w + first, n, part); break;
            case 2: sum_rows(2, count, index, codes, w + first, n, part); break;
            case 3: sum_rows(3, count, index, codes, w + first, n, part); break;
            default: sum_rows(GROUP, count, index, codes, w + first, n, part); break;
            }
            for (size_t j = 0; j < blocks * BLOCK; j++)
                y[first + j] += part[j];
        }
    }
    for (size_t j = 0; j < n; j++)
        y[j] = float_of(bits_of(y[j] * scale) & -(int32_t)(bits_of(gate[j]) > 0));
}

static void forward(size_t count, const uint16_t *index, const float *x, const float *w, const float *bias, float *y)
{
    f32s even[PARTS], odd[PARTS] = {{0}};
    for (size_t k = 0; k < PARTS; k++)
        even[k] = *(const f32s *)(bias + k * F32S);
    size_t t = 0;
    for (; t + 1 < count; t += 2) {
        const float *const row = w + (size_t)index[t] * BLOCK, *const next = w + (size_t)index[t + 1] * BLOCK;
        for (size_t k = 0; k < PARTS; k++) {
            even[k] += x[t] * *(const f32s *)(row + k * F32S);
            odd[k] += x[t + 1] * *(const f32s *)(next + k * F32S);
        }
    }
    for (size_t k = 0; k < PARTS; k++) {
        if (t < count)
            even[k] += x[t] * *(const f32s *)(w + (size_t)index[t] * BLOCK + k * F32S);
        *(f32s *)(y + k * F32S) = even[k] + odd[k];
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
