/*
 * The loops of softmax.h in portable C that compilers turn into vector code: included by softmax_<isa>.c, each compiled
 * for its own instruction set, which defines DITHER_SOFTMAX_THIS, _ISA and _NEEDS. No include guard: one file, one use.
 */
#include <math.h>
#include <string.h>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "dither/cpu.h"
#include "kernel/expf.h"
#include "kernel/lanes.h"
#include "kernel/softmax.h"

enum {
    LANES = DITHER_SOFTMAX_LANES,
    QUAD = 4,
    AHEAD = 16, /* rows: how early memory is asked for what lies a row of the model apart, which no hardware foresees */
    CACHE_LINE = 64
};

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
static void pack_any(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x, bool columns)
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
static void pack_edge(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x, size_t row,
                      size_t begin, uint16_t *base)
{
    const size_t panel = to->packing->panel;
    for (size_t i = begin; i < to->padded_k; i += 2)
        for (size_t r = 0; r < QUAD; r++)
            for (size_t half = 0; half < 2; half++)
                base[i * panel + 2 * r + half] =
                    row + r < rows && i + half < k ? source_bits(x, row + r, i + half) : 0;
}

static void pack_rows(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x)
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

/* Sixteen columns of two rows, side by side: eight pairs at `to`, eight `half` elements on. */
static inline void pair_lanes(const float *restrict first, const float *restrict second, uint16_t *restrict to,
                              size_t half)
{
#if defined(__AVX512BF16__)
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(second), _mm512_loadu_ps(first));
    const __m512i pairs = _mm512_permutexvar_epi16(order, (__m512i)both);
    _mm256_storeu_si256((void *)to, _mm512_castsi512_si256(pairs));
    _mm256_storeu_si256((void *)(to + half), _mm512_extracti64x4_epi64(pairs, 1));
#else
    uint32_t pairs[LANES];
    for (size_t l = 0; l < LANES; l++)
        pairs[l] = (rounded_bits(first[l]) >> 16) | (rounded_bits(second[l]) & 0xffff0000u);
    memcpy(to, pairs, sizeof pairs / 2);
    memcpy(to + half, pairs + LANES / 2, sizeof pairs / 2);
#endif
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
        uint16_t *base = to->data + i * panel;
        if (x->stride > rows) {
            fetch_source(x, i, 0, rows);
            fetch_source(x, i + 1, 0, rows);
        }
        for (size_t row = 0; row + LANES <= rows; row += LANES) {
            uint16_t *at = base + row / panel * to->panel_stride + row % panel * 2;
            const size_t from = i * x->stride + row;
            if (x->f32 != NULL)
                pair_lanes(x->f32 + from, x->f32 + from + x->stride, at, half);
            else
                pair_bits(x->bf16 + from, x->bf16 + from + x->stride, at, half);
        }
    }
}

/* Element by element: rows from `row` on, k's from `begin` on. */
static void pack_column_edge(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x,
                             size_t row, size_t begin)
{
    const size_t panel = to->packing->panel;
    for (; row < to->padded_rows; row++) {
        uint16_t *base = to->data + row / panel * to->panel_stride + row % panel * 2;
        for (size_t i = begin; i < to->padded_k; i++)
            base[i / 2 * 2 * panel + i % 2] = row < rows && i < k ? source_bits(x, i, row) : 0;
    }
}

static void pack_columns(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x)
{
    const size_t panel = to->packing->panel;
    if (to->packing->unit != 2 || (panel != 8 && panel % LANES != 0)) {
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

/* ---- softmax ---------------------------------------------------------------------------------------------------- */

/* The first query that sees key u. */
static inline size_t first_seeing(size_t u, ptrdiff_t ahead, size_t queries)
{
    const ptrdiff_t first = (ptrdiff_t)u - ahead;
    return first <= 0 ? 0 : (size_t)first < queries ? (size_t)first : queries;
}

static inline void max_lanes(const float *restrict x, float *restrict max)
{
    for (size_t l = 0; l < LANES; l++)
        max[l] = x[l] > max[l] ? x[l] : max[l];
}

static inline void exp_lanes(float *restrict x, const float *restrict max, float *restrict sum)
{
    for (size_t l = 0; l < LANES; l++) {
        const float p = dither_expf(x[l] - max[l]);
        sum[l] += p;
        x[l] = p;
    }
}

static void columns(size_t keys, size_t padded_keys, size_t queries, ptrdiff_t ahead, bool first, float *s,
                    size_t stride, float *max, float *sum, float *shrink)
{
    for (size_t i = 0; i < queries; i++) {
        shrink[i] = first ? 0 : max[i]; /* the former one, for now */
        max[i] = first ? -INFINITY : max[i];
    }
    for (size_t u = 0; u < keys; u++) {
        float *row = s + u * stride;
        const size_t begin = first_seeing(u, ahead, queries);
        for (size_t i = 0; i < begin; i++)
            row[i] = -INFINITY;
        for (size_t i = begin / LANES * LANES; i < queries; i += LANES)
            max_lanes(row + i, max + i);
    }
    for (size_t i = 0; i < queries; i++) {
        shrink[i] = first ? 0 : dither_expf(shrink[i] - max[i]);
        sum[i] = first ? 0 : sum[i] * shrink[i];
    }
    for (size_t u = 0; u < keys; u++) {
        float *row = s + u * stride;
        const size_t begin = first_seeing(u, ahead, queries) / LANES * LANES;
        memset(row, 0, begin * sizeof *row);
        for (size_t i = begin; i < queries; i += LANES)
            exp_lanes(row + i, max + i, sum + i);
    }
    for (size_t u = keys; u < padded_keys; u++)
        memset(s + u * stride, 0, queries * sizeof *s);
}

static inline void gradient_lanes(float lse, float d, float *restrict p, float *restrict ds)
{
    for (size_t l = 0; l < LANES; l++) {
        p[l] = dither_expf(p[l] - lse);
        ds[l] = p[l] * (ds[l] - d);
    }
}

static void gradient(size_t queries, size_t keys, size_t padded_keys, ptrdiff_t ahead, const float *lse,
                     const float *d, float *p, float *ds, size_t stride)
{
    for (size_t i = 0; i < queries; i++, p += stride, ds += stride) {
        const ptrdiff_t last = (ptrdiff_t)i + ahead;
        const size_t visible = last < 0 ? 0 : (size_t)last + 1 < keys ? (size_t)last + 1 : keys;
        for (size_t u = 0; u < visible; u += LANES)
            gradient_lanes(lse[i], d[i], p + u, ds + u);
        memset(p + visible, 0, (padded_keys - visible) * sizeof *p);
        memset(ds + visible, 0, (padded_keys - visible) * sizeof *ds);
    }
}

/* ---- rows of the model ------------------------------------------------------------------------------------------ */

static inline void dot_lanes(const float *restrict dout, const float *restrict o, float *restrict sums, size_t count)
{
    for (size_t l = 0; l < count; l++)
        sums[l] += rounded(dout[l]) * o[l];
}

static inline void dot_kept_lanes(const float *restrict dout, const uint16_t *restrict o, float *restrict sums,
                                  size_t count)
{
    for (size_t l = 0; l < count; l++)
        sums[l] += rounded(dout[l]) * widened(o[l]);
}

static void dots(size_t rows, size_t cols, const float *dout, size_t stride, const dither_pack_source *o, float *d)
{
    const size_t whole = cols / LANES * LANES;
    for (size_t i = 0; i < rows; i++, dout += stride) {
        float sums[LANES] = {0};
        fetch_row(dout, stride, cols, sizeof *dout);
        fetch_source(o, i, 0, cols);
        if (o->f32 != NULL) {
            for (size_t j = 0; j < whole; j += LANES)
                dot_lanes(dout + j, o->f32 + i * o->stride + j, sums, LANES);
            dot_lanes(dout + whole, o->f32 + i * o->stride + whole, sums, cols - whole);
        } else {
            for (size_t j = 0; j < whole; j += LANES)
                dot_kept_lanes(dout + j, o->bf16 + i * o->stride + j, sums, LANES);
            dot_kept_lanes(dout + whole, o->bf16 + i * o->stride + whole, sums, cols - whole);
        }
        d[i] = dither_lanes_sum(sums);
    }
}

static inline void finish_lanes(const float *restrict from, float factor, float *restrict to, size_t count)
{
    for (size_t l = 0; l < count; l++)
        to[l] = from[l] * factor;
}

static void finish(size_t rows, size_t cols, const float *sums, size_t sums_stride, const float *sum, float *o,
                   uint16_t *kept, size_t stride)
{
    const size_t whole = cols / LANES * LANES;
    for (size_t i = 0; i < rows; i++, sums += sums_stride, o += stride) {
        const float factor = 1.0f / sum[i];
        fetch_row_to_write(o, stride, cols, sizeof *o);
        if (kept != NULL)
            fetch_row_to_write(kept + i * stride, stride, cols, sizeof *kept);
        for (size_t j = 0; j < whole; j += LANES) {
            finish_lanes(sums + j, factor, o + j, LANES);
            if (kept != NULL)
                round_lanes(o + j, kept + i * stride + j);
        }
        finish_lanes(sums + whole, factor, o + whole, cols - whole);
        if (kept != NULL)
            for (size_t j = whole; j < cols; j++)
                kept[i * stride + j] = (uint16_t)(rounded_bits(o[j]) >> 16);
    }
}

static void scale(size_t rows, size_t cols, const float *factor, float *x, size_t stride)
{
    for (size_t i = 0; i < rows; i++) {
        const float by = factor[i];
        float *restrict row = x + i * stride;
        if (by != 1.0f)
            for (size_t j = 0; j < cols; j++)
                row[j] *= by;
    }
}

const dither_softmax DITHER_SOFTMAX_THIS = {
    .isa = DITHER_SOFTMAX_ISA,
    .needs = DITHER_SOFTMAX_NEEDS,
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .columns = columns,
    .gradient = gradient,
    .dots = dots,
    .finish = finish,
    .scale = scale,
};
