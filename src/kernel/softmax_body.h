/*
 * The loops of softmax.h in portable C that compilers turn into vector code: included by softmax_<isa>.c, each compiled
 * for its own instruction set, which defines DITHER_SOFTMAX_THIS, _ISA and _NEEDS. No include guard: one file, one use.
 */
#include <math.h>
#include <string.h>

#include "dither/cpu.h"
#include "kernel/expf.h"
#include "kernel/lanes.h"
#include "kernel/softmax.h"

enum {
    LANES = DITHER_SOFTMAX_LANES,
    QUAD = 4,
    STAGED_K = 128 /* k's of four rows that are rounded at a time: 1 KiB */
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

/* One row's k's from `at` on as bf16, with zeros up to `padded`. */
static inline void stage_row(const dither_pack_source *x, size_t row, size_t at, size_t k, size_t padded,
                             uint16_t *restrict to)
{
    const size_t count = k > at ? (k - at < padded ? k - at : padded) : 0;
    if (x->f32 != NULL) {
        const float *restrict from = x->f32 + row * x->stride + at;
        for (size_t i = 0; i < count; i++)
            to[i] = (uint16_t)(rounded_bits(from[i]) >> 16);
    } else {
        memcpy(to, x->bf16 + row * x->stride + at, count * sizeof *to);
    }
    memset(to + count, 0, (padded - count) * sizeof *to);
}

typedef uint32_t quad __attribute__((vector_size(16)));

/* Four rows of pairs become pairs of four rows: to[u step + r] = from[r][u], u < 4. */
static inline void transpose_quad(const uint16_t *from, size_t from_stride, uint16_t *to, size_t step)
{
    quad in[QUAD], out[QUAD];
    for (size_t r = 0; r < QUAD; r++)
        memcpy(&in[r], from + r * from_stride, sizeof in[r]);
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

/* Four rows of a panel of pairs: k's at.. of which `count` are staged. */
static inline void pack_four_rows(const uint16_t *staged, size_t count, uint16_t *to, size_t panel)
{
    size_t i = 0;
    for (; i + 2 * QUAD <= count; i += 2 * QUAD)
        transpose_quad(staged + i, STAGED_K, to + i * panel, 2 * panel);
    for (; i < count; i += 2)
        for (size_t r = 0; r < QUAD; r++)
            memcpy(to + i * panel + 2 * r, staged + r * STAGED_K + i, 2 * sizeof *to);
}

static void pack_rows(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x)
{
    const size_t panel = to->packing->panel;
    if (to->packing->unit != 2 || panel % QUAD != 0) {
        pack_any(to, rows, k, x, false);
        return;
    }
    uint16_t staged[QUAD * STAGED_K];
    for (size_t row = 0; row < to->padded_rows; row += QUAD) {
        uint16_t *base = to->data + row / panel * to->panel_stride + row % panel * 2;
        for (size_t at = 0; at < to->padded_k; at += STAGED_K) {
            const size_t count = to->padded_k - at < STAGED_K ? to->padded_k - at : STAGED_K;
            for (size_t r = 0; r < QUAD; r++)
                stage_row(x, row + r, at, row + r < rows ? k : 0, count, staged + r * STAGED_K);
            pack_four_rows(staged, count, base + at * panel, panel);
        }
    }
}

/* Eight columns of two rows, side by side. */
static inline void pair_f32(const float *restrict first, const float *restrict second, uint16_t *restrict to)
{
    uint32_t pairs[8];
    for (size_t j = 0; j < 8; j++)
        pairs[j] = (rounded_bits(first[j]) >> 16) | (rounded_bits(second[j]) & 0xffff0000u);
    memcpy(to, pairs, sizeof pairs);
}

static inline void pair_bf16(const uint16_t *restrict first, const uint16_t *restrict second, uint16_t *restrict to)
{
    uint32_t pairs[8];
    for (size_t j = 0; j < 8; j++)
        pairs[j] = first[j] | (uint32_t)second[j] << 16;
    memcpy(to, pairs, sizeof pairs);
}

static void pack_columns(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x)
{
    const size_t panel = to->packing->panel;
    if (to->packing->unit != 2 || panel % 8 != 0) {
        pack_any(to, rows, k, x, true);
        return;
    }
    const size_t whole = rows / 8 * 8;
    for (size_t i = 0; i < to->padded_k; i += 2) {
        uint16_t *base = to->data + i * panel;
        size_t row = 0;
        if (i + 2 <= k) {
            if (x->f32 != NULL)
                for (const float *at = x->f32 + i * x->stride; row < whole; row += 8)
                    pair_f32(at + row, at + x->stride + row,
                             base + row / panel * to->panel_stride + row % panel * 2);
            else
                for (const uint16_t *at = x->bf16 + i * x->stride; row < whole; row += 8)
                    pair_bf16(at + row, at + x->stride + row,
                              base + row / panel * to->panel_stride + row % panel * 2);
        }
        for (; row < to->padded_rows; row++) {
            uint16_t *pair = base + row / panel * to->panel_stride + row % panel * 2;
            for (size_t r = 0; r < 2; r++)
                pair[r] = row < rows && i + r < k ? source_bits(x, i + r, row) : 0;
        }
    }
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

static inline float dot(size_t n, const float *restrict dout, const dither_pack_source *o, size_t row)
{
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES) {
        const size_t count = n - i < LANES ? n - i : LANES;
        if (o->f32 != NULL)
            for (size_t l = 0; l < count; l++)
                lanes[l] += rounded(dout[i + l]) * o->f32[row * o->stride + i + l];
        else
            for (size_t l = 0; l < count; l++)
                lanes[l] += rounded(dout[i + l]) * widened(o->bf16[row * o->stride + i + l]);
    }
    return dither_lanes_sum(lanes);
}

static void dots(size_t rows, size_t cols, const float *dout, size_t stride, const dither_pack_source *o, float *d)
{
    for (size_t i = 0; i < rows; i++)
        d[i] = dot(cols, dout + i * stride, o, i);
}

static void finish(size_t rows, size_t cols, const float *sums, size_t sums_stride, const float *sum, float *o,
                   uint16_t *kept, size_t stride)
{
    for (size_t i = 0; i < rows; i++) {
        const float *restrict from = sums + i * sums_stride;
        float *restrict to = o + i * stride;
        const float factor = 1.0f / sum[i];
        for (size_t j = 0; j < cols; j++)
            to[j] = from[j] * factor;
        if (kept != NULL)
            for (size_t j = 0; j < cols; j++)
                kept[i * stride + j] = (uint16_t)(rounded_bits(to[j]) >> 16);
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
