/*
 * The packing loops of softmax.h, in portable C and the compilers' vectors, for each instruction set's file to compile
 * for itself.
 */
#ifndef DITHER_KERNEL_SOFTMAX_PACK_H
#define DITHER_KERNEL_SOFTMAX_PACK_H

#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "dither/cpu.h"
#include "kernel/softmax.h"

enum {
    LANES = DITHER_SOFTMAX_LANES,
    QUAD = 4,
    AHEAD = 16, /* rows: how early memory is asked for what lies a row of the model apart, which no hardware foresees */
    CACHE_LINE = 64
};

/*
 * Vectors of this instruction set's width, in the compilers' own notation; `ROWS` of them are worked on side by side,
 * so that the long chain of an exponential does not wait for itself.
 */
#if defined(__AVX512F__)
enum { WIDTH = 16 };
#elif defined(__AVX2__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
enum { ROWS = DITHER_SOFTMAX_ROWS };
typedef float vector __attribute__((vector_size(WIDTH * 4)));
typedef int32_t integers __attribute__((vector_size(WIDTH * 4)));
typedef uint32_t words __attribute__((vector_size(WIDTH * 4)));

/* ---- bf16 ------------------------------------------------------------------------------------------------------- */

/* The bf16 nearest to x, in the upper half of 32 bits; a NaN keeps a bit that says so. */
static inline uint32_t rounded_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t nearest = bits + 0x7fffu + ((bits >> 16) & 1u);
    const uint32_t nan = 0u - (uint32_t)(x != x);
    return (nearest & ~nan) | ((bits | 0x400000u) & nan);
}

static inline float rounded(float x)
{
    const uint32_t bits = rounded_bits(x) & 0xffff0000u;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float widened(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

static inline uint16_t source_bits(const dither_pack_source *x, size_t i, size_t j)
{
    return x->f32 != NULL ? (uint16_t)(rounded_bits(x->f32[i * x->stride + j]) >> 16) : x->bf16[i * x->stride + j];
}

/* Ask for `count` values of the row AHEAD of this one. */
static inline void fetch_row(const void *row, size_t stride, size_t count, size_t size)
{
    const uintptr_t at = (uintptr_t)row + AHEAD * stride * size;
    for (size_t b = 0; b < count * size; b += CACHE_LINE)
        __builtin_prefetch((const void *)(at + b));
}

static inline void fetch_row_to_write(const void *row, size_t stride, size_t count, size_t size)
{
    const uintptr_t at = (uintptr_t)row + AHEAD * stride * size;
    for (size_t b = 0; b < count * size; b += CACHE_LINE)
        __builtin_prefetch((const void *)(at + b), 1);
}

static inline void fetch_source(const dither_pack_source *x, size_t row, size_t column, size_t count)
{
    if (x->f32 != NULL)
        fetch_row(x->f32 + row * x->stride + column, x->stride, count, sizeof *x->f32);
    else
        fetch_row(x->bf16 + row * x->stride + column, x->stride, count, sizeof *x->bf16);
}

/* ---- into panels ------------------------------------------------------------------------------------------------ */

/* Any packing, element by element. */
static inline void pack_any(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x,
                            bool columns)
{
    const size_t panel = to->packing->panel, unit = to->packing->unit;
    for (size_t row = 0; row < to->padded_rows; row++) {
        uint16_t *base = to->data + row / panel * to->panel_stride + row % panel * unit;
        for (size_t at = 0; at < to->padded_k; at += unit)
            for (size_t i = at; i < at + unit; i++) {
                const bool inside = row < rows && i < k;
                base[at * panel + i - at] = !inside ? 0 : columns ? source_bits(x, i, row) : source_bits(x, row, i);
            }
    }
}

typedef uint32_t quad __attribute__((vector_size(16)));

/* Four rows of pairs become pairs of four rows: to[u step + r] = from[r][u], u < 4. */
static inline void transpose_quad(const uint16_t *from, size_t stride, uint16_t *to, size_t step)
{
    quad in[QUAD], out[QUAD];
    for (size_t r = 0; r < QUAD; r++)
        memcpy(&in[r], from + r * stride, sizeof in[r]);
    const quad low01 = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5);
    const quad high01 = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
    const quad low23 = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5);
    const quad high23 = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
    out[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    out[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    out[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    out[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
    for (size_t u = 0; u < QUAD; u++)
        memcpy(to + u * step, &out[u], sizeof out[u]);
}

/* 16 k's of four rows. */
static inline void pack_quad(const uint16_t *from, size_t stride, uint16_t *to, size_t panel)
{
    transpose_quad(from, stride, to, 2 * panel);
    transpose_quad(from + LANES / 2, stride, to + LANES / 2 * panel, 2 * panel);
}

static inline void round_lanes(const float *restrict x, uint16_t *restrict to)
{
    for (size_t l = 0; l < LANES; l++)
        to[l] = (uint16_t)(rounded_bits(x[l]) >> 16);
}

/* The same for an operand: the product that follows may take denormals for 0. */
static inline void operand_lanes(const float *restrict x, uint16_t *restrict to)
{
#if defined(__AVX512BF16__)
    const __m256bh rounded16 = _mm512_cvtneps_pbh(_mm512_loadu_ps(x));
    memcpy(to, &rounded16, sizeof rounded16);
#else
    round_lanes(x, to);
#endif
}

/* Four rows from `row` on of which at least one, or whose end, is not there, or k's that are no whole 16. */
static inline void pack_edge(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x,
                             size_t row, size_t begin, uint16_t *base)
{
    const size_t panel = to->packing->panel;
    for (size_t i = begin; i < to->padded_k; i += 2)
        for (size_t r = 0; r < QUAD; r++)
            for (size_t half = 0; half < 2; half++)
                base[i * panel + 2 * r + half] = row + r < rows && i + half < k ? source_bits(x, row + r, i + half) : 0;
}

static inline void pack_rows(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x)
{
    const size_t panel = to->packing->panel;
    if (to->packing->unit != 2 || panel % QUAD != 0) {
        pack_any(to, rows, k, x, false);
        return;
    }
    for (size_t row = 0; row < to->padded_rows; row += QUAD) {
        uint16_t *base = to->data + row / panel * to->panel_stride + row % panel * 2;
        const size_t whole = row + QUAD <= rows ? k / LANES * LANES : 0;
        for (size_t r = 0; r < QUAD && x->stride > k; r++)
            fetch_source(x, row + r, 0, k);
        if (x->f32 != NULL)
            for (size_t i = 0; i < whole; i += LANES) {
                uint16_t staged[QUAD * LANES];
                for (size_t r = 0; r < QUAD; r++)
                    operand_lanes(x->f32 + (row + r) * x->stride + i, staged + r * LANES);
                pack_quad(staged, LANES, base + i * panel, panel);
            }
        else
            for (size_t i = 0; i < whole; i += LANES)
                pack_quad(x->bf16 + row * x->stride + i, x->stride, base + i * panel, panel);
        pack_edge(to, rows, k, x, row, whole, base);
    }
}

/* WIDTH columns of two rows, side by side: where they are sixteen, the last eight begin `half` elements on. */
static inline void store_pairs(const vector *first, const vector *second, uint16_t *restrict to, size_t half)
{
#if defined(__AVX512BF16__)
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512bh both = _mm512_cvtne2ps_pbh((__m512)*second, (__m512)*first);
    const words pairs = (words)_mm512_permutexvar_epi16(order, (__m512i)both);
#else
    words low = (words)*first, high = (words)*second;
    const words low_nan = (words)(*first != *first), high_nan = (words)(*second != *second);
    low = ((low + 0x7fff + ((low >> 16) & 1)) & ~low_nan) | ((low | 0x400000) & low_nan);
    high = ((high + 0x7fff + ((high >> 16) & 1)) & ~high_nan) | ((high | 0x400000) & high_nan);
    const words pairs = (low >> 16) | (high & 0xffff0000);
#endif
#if defined(__AVX512F__)
    _mm256_storeu_si256((void *)to, _mm512_castsi512_si256((__m512i)pairs));
    _mm256_storeu_si256((void *)(to + half), _mm512_extracti64x4_epi64((__m512i)pairs, 1));
#else
    (void)half; /* vectors are of eight at most */
    memcpy(to, &pairs, sizeof pairs);
#endif
}

/* The pair of k's at `to`, as far as column `row` of a panel is concerned: `panel` is 8, or a multiple of 16. */
static inline uint16_t *pair_at(const dither_pack_place *to, size_t k, size_t row, size_t panel)
{
    return to->data + k * panel + row / panel * to->panel_stride + row % panel * 2;
}

static inline void pair_lanes(const float *restrict first, const float *restrict second, uint16_t *restrict to,
                              size_t half)
{
    for (size_t l = 0; l < LANES; l += WIDTH) {
        vector one, two;
        memcpy(&one, first + l, sizeof one);
        memcpy(&two, second + l, sizeof two);
        store_pairs(&one, &two, l < 8 ? to + 2 * l : to + half + 2 * (l - 8), half);
    }
}

static inline void pair_bits(const uint16_t *restrict first, const uint16_t *restrict second, uint16_t *restrict to,
                             size_t half)
{
    uint32_t pairs[LANES];
    for (size_t l = 0; l < LANES; l++)
        pairs[l] = first[l] | (uint32_t)second[l] << 16;
    memcpy(to, pairs, sizeof pairs / 2);
    memcpy(to + half, pairs + LANES / 2, sizeof pairs / 2);
}

/* Whole 16 of the columns and whole pairs of k's: `panel` is 8, or a multiple of 16. */
static inline void pack_pairs(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x,
                              size_t panel)
{
    const size_t half = panel == 8 ? to->panel_stride : LANES;
    for (size_t i = 0; i + 2 <= k; i += 2) {
        if (x->stride > rows) {
            fetch_source(x, i, 0, rows);
            fetch_source(x, i + 1, 0, rows);
        }
        for (size_t row = 0; row + LANES <= rows; row += LANES) {
            uint16_t *at = pair_at(to, i, row, panel);
            const size_t from = i * x->stride + row;
            if (x->f32 != NULL)
                pair_lanes(x->f32 + from, x->f32 + from + x->stride, at, half);
            else
                pair_bits(x->bf16 + from, x->bf16 + from + x->stride, at, half);
        }
    }
}

/* Element by element: rows from `row` on, k's from `begin` on. */
static inline void pack_column_edge(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x,
                                    size_t row, size_t begin)
{
    const size_t panel = to->packing->panel;
    for (; row < to->padded_rows; row++) {
        uint16_t *base = to->data + row / panel * to->panel_stride + row % panel * 2;
        for (size_t i = begin; i < to->padded_k; i++)
            base[i / 2 * 2 * panel + i % 2] = row < rows && i < k ? source_bits(x, i, row) : 0;
    }
}

/* Whether pairs lie as store_pairs writes them. */
static inline bool takes_pairs(const dither_pack_place *to)
{
    return to->packing->unit == 2 && (to->packing->panel == 8 || to->packing->panel % LANES == 0);
}

static inline void pack_columns(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x)
{
    const size_t panel = to->packing->panel;
    if (!takes_pairs(to)) {
        pack_any(to, rows, k, x, true);
        return;
    }
    if (panel == 8) /* numbers, for the compiler to divide by */
        pack_pairs(to, rows, k, x, 8);
    else if (panel == 32)
        pack_pairs(to, rows, k, x, 32);
    else
        pack_pairs(to, rows, k, x, panel);
    pack_column_edge(to, rows, k, x, rows / LANES * LANES, 0);
    pack_column_edge(to, rows, k, x, 0, k / 2 * 2);
}

#endif
