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

/*
 * Vectors of this instruction set's width, in the compilers' own notation; `ROWS` of them are worked on side by side, so
 * that the long chain of an exponential does not wait for itself.
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
    const size_t eight = sizeof pairs < 32 ? sizeof pairs : 32;
    memcpy(to, &pairs, eight);
    if (sizeof pairs > eight)
        memcpy(to + half, (const unsigned char *)&pairs + eight, sizeof pairs - eight);
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

/* Whether pairs lie as store_pairs writes them. */
static bool takes_pairs(const dither_pack_place *to)
{
    return to->packing->unit == 2 && (to->packing->panel == 8 || to->packing->panel % LANES == 0);
}

static void pack_columns(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x)
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

/* ---- softmax ---------------------------------------------------------------------------------------------------- */

/* dither_expf of ROWS vectors for x <= 88, to the bit (expf.h says what the numbers are). */
static inline void exp_rows(vector *x)
{
    const float log2_e = 0x1.715476p+0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f, round = 0x1.8p+23f;
    static const float factors[] = {0x1.123a2p-7f, 0x1.5558f2p-5f, 0x1.555492p-3f, 0x1.fffffcp-2f};
    vector shifted[ROWS], r[ROWS], p[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        shifted[i] = x[i] * log2_e + round;
    for (size_t i = 0; i < ROWS; i++)
        r[i] = x[i] - (shifted[i] - round) * ln2_high;
    for (size_t i = 0; i < ROWS; i++)
        r[i] = r[i] - (shifted[i] - round) * ln2_low;
    for (size_t i = 0; i < ROWS; i++)
        p[i] = r[i] * 0x1.6a23dp-10f + factors[0];
    for (size_t i = 0; i < ROWS; i++)
        p[i] = p[i] * r[i] + factors[1];
    for (size_t i = 0; i < ROWS; i++)
        p[i] = p[i] * r[i] + factors[2];
    for (size_t i = 0; i < ROWS; i++)
        p[i] = p[i] * r[i] + factors[3];
    for (size_t i = 0; i < ROWS; i++)
        p[i] = (p[i] * r[i]) * r[i] + r[i] + 1.0f;
    for (size_t i = 0; i < ROWS; i++) {
        const vector power = (vector)(((words)shifted[i] + 126) << 23);
        const words below = (words)(x[i] < -86.98f);
        x[i] = (vector)((words)((p[i] + p[i]) * power) & ~below);
    }
}

static inline void load(vector *to, const float *from)
{
    memcpy(to, from, sizeof *to);
}

static inline void store(float *to, const vector *from)
{
    memcpy(to, from, sizeof *from);
}

/* Scores that are masked, up to the query that sees the key, and the rows of padding: -Inf. */
static void hide(size_t keys, size_t padded_keys, size_t queries, ptrdiff_t ahead, float *s, size_t stride)
{
    for (size_t u = ahead < 0 ? 0 : (size_t)ahead + 1; u < keys; u++) {
        const size_t first = (size_t)((ptrdiff_t)u - ahead);
        for (size_t i = 0; i < first && i < queries; i++)
            s[u * stride + i] = -INFINITY;
    }
    for (size_t u = keys; u < padded_keys; u++)
        for (size_t i = 0; i < queries; i++)
            s[u * stride + i] = -INFINITY;
}

static inline void max_of(vector *max, const vector *x)
{
    const words larger = (words)(*x > *max);
    *max = (vector)(((words)*x & larger) | ((words)*max & ~larger));
}

/* max of WIDTH queries over rows `begin`.. of the scores; NaN is passed over. */
static inline void max_column(const float *s, size_t stride, size_t rows, float *max)
{
    vector chain[ROWS];
    for (size_t r = 0; r < ROWS; r++)
        load(&chain[r], max);
    for (size_t u = 0; u < rows; u += ROWS)
        for (size_t r = 0; r < ROWS; r++) {
            vector x;
            load(&x, s + (u + r) * stride);
            max_of(&chain[r], &x);
        }
    max_of(&chain[0], &chain[1]);
    max_of(&chain[2], &chain[3]);
    max_of(&chain[0], &chain[2]);
    store(max, &chain[0]);
}

/* exp(s - max) of WIDTH queries, added to sum; into pairs, or over the scores. */
static inline void exp_column(float *s, size_t stride, size_t rows, const float *max, float *sum,
                              const dither_pack_place *to, size_t column, size_t panel)
{
    vector largest, total;
    load(&largest, max);
    load(&total, sum);
    for (size_t u = 0; u < rows; u += ROWS) {
        vector x[ROWS];
        for (size_t r = 0; r < ROWS; r++) {
            load(&x[r], s + (u + r) * stride);
            x[r] -= largest;
        }
        exp_rows(x);
        for (size_t r = 0; r < ROWS; r++)
            total += x[r];
        if (panel == 0) {
            for (size_t r = 0; r < ROWS; r++)
                store(s + (u + r) * stride, &x[r]);
            continue;
        }
        const size_t half = panel == 8 ? to->panel_stride : LANES;
        for (size_t r = 0; r < ROWS && u + r < to->padded_k; r += 2)
            store_pairs(&x[r], &x[r + 1], pair_at(to, u + r, column, panel), half);
    }
    store(sum, &total);
}

static void columns(size_t keys, size_t queries, ptrdiff_t ahead, bool first, float *s, size_t stride, float *max,
                    float *sum, float *shrink, const dither_pack_place *to)
{
    const size_t rows = (to->padded_k + ROWS - 1) / ROWS * ROWS, wide = (queries + LANES - 1) / LANES * LANES;
    const size_t panel = takes_pairs(to) ? to->packing->panel : 0;
    hide(keys, rows, wide, ahead, s, stride);
    for (size_t i = 0; i < wide; i++) {
        shrink[i] = first ? -INFINITY : max[i]; /* the former one, for now */
        max[i] = shrink[i];
    }
    for (size_t i = 0; i < wide; i += WIDTH)
        max_column(s + i, stride, rows, max + i);
    for (size_t i = 0; i < wide; i++) {
        shrink[i] = first ? 0 : dither_expf(shrink[i] - max[i]);
        sum[i] = first ? 0 : sum[i] * shrink[i];
    }
    for (size_t i = 0; i < wide; i += WIDTH)
        if (panel == 8)
            exp_column(s + i, stride, rows, max + i, sum + i, to, i, 8);
        else
            exp_column(s + i, stride, rows, max + i, sum + i, to, i, panel);
    if (panel == 0)
        pack_any(to, queries, keys, &(dither_pack_source){.f32 = s, .stride = stride}, true);
}

/* The rows of ROWS queries of which `visible` keys each are seen. */
typedef struct gradient_rows {
    float lse[ROWS], d[ROWS];
    int32_t visible[ROWS];
    size_t most; /* of them */
} gradient_rows;

static inline gradient_rows gradient_rows_of(size_t i, size_t queries, size_t keys, ptrdiff_t ahead, const float *lse,
                                             const float *d)
{
    gradient_rows rows = {.most = 0};
    for (size_t r = 0; r < ROWS && i + r < queries; r++) {
        const ptrdiff_t last = (ptrdiff_t)(i + r) + ahead;
        const size_t visible = last < 0 ? 0 : (size_t)last + 1 < keys ? (size_t)last + 1 : keys;
        rows.lse[r] = lse[i + r];
        rows.d[r] = d[i + r];
        rows.visible[r] = (int32_t)visible;
        rows.most = visible > rows.most ? visible : rows.most;
    }
    return rows;
}

/* p and ds of WIDTH keys from u on, in place of s and dp. */
static inline void gradient_vectors(const gradient_rows *rows, size_t u, const float *s, const float *dp,
                                    size_t stride, vector *p, vector *ds)
{
    integers number;
    for (size_t l = 0; l < WIDTH; l++)
        number[l] = (int32_t)l;
    for (size_t r = 0; r < ROWS; r++) {
        load(&p[r], s + r * stride + u);
        load(&ds[r], dp + r * stride + u);
        p[r] -= rows->lse[r];
    }
    exp_rows(p);
    for (size_t r = 0; r < ROWS; r++) {
        const words seen = (words)(number < rows->visible[r] - (int32_t)u);
        ds[r] = (vector)((words)(p[r] * (ds[r] - rows->d[r])) & seen);
        p[r] = (vector)((words)p[r] & seen);
    }
}

static inline void gradient_panels(size_t queries, size_t keys, ptrdiff_t ahead, const float *lse, const float *d,
                                   float *p, float *ds, size_t stride, const dither_pack_place *to_p,
                                   const dither_pack_place *to_ds, size_t panel)
{
    const size_t wide = (keys + LANES - 1) / LANES * LANES;
    const size_t end = panel > 0 && to_p->padded_k > queries ? to_p->padded_k : queries;
    for (size_t i = 0; i < end; i += ROWS, p += ROWS * stride, ds += ROWS * stride) {
        const gradient_rows rows = gradient_rows_of(i, queries, keys, ahead, lse, d);
        for (size_t u = 0; u < wide; u += WIDTH) {
            vector p_rows[ROWS], ds_rows[ROWS];
            if (u < rows.most)
                gradient_vectors(&rows, u, p, ds, stride, p_rows, ds_rows);
            else
                for (size_t r = 0; r < ROWS; r++)
                    p_rows[r] = ds_rows[r] = (vector){0};
            for (size_t r = 0; r < ROWS; r++)
                store(ds + r * stride + u, &ds_rows[r]);
            if (panel == 0) {
                for (size_t r = 0; r < ROWS; r++)
                    store(p + r * stride + u, &p_rows[r]);
                continue;
            }
            const size_t half = panel == 8 ? to_p->panel_stride : LANES;
            for (size_t r = 0; r < ROWS && i + r < to_p->padded_k; r += 2) {
                store_pairs(&p_rows[r], &p_rows[r + 1], pair_at(to_p, i + r, u, panel), half);
                store_pairs(&ds_rows[r], &ds_rows[r + 1], pair_at(to_ds, i + r, u, panel), half);
            }
        }
    }
}

static void gradient(size_t queries, size_t keys, ptrdiff_t ahead, const float *lse, const float *d, float *p,
                     float *ds, size_t stride, const dither_pack_place *to_p, const dither_pack_place *to_ds)
{
    if (to_p != NULL && takes_pairs(to_p)) {
        if (to_p->packing->panel == 8)
            gradient_panels(queries, keys, ahead, lse, d, p, ds, stride, to_p, to_ds, 8);
        else
            gradient_panels(queries, keys, ahead, lse, d, p, ds, stride, to_p, to_ds, to_p->packing->panel);
        return;
    }
    gradient_panels(queries, keys, ahead, lse, d, p, ds, stride, to_p, to_ds, 0);
    if (to_p != NULL) {
        pack_any(to_p, keys, queries, &(dither_pack_source){.f32 = p, .stride = stride}, true);
        pack_any(to_ds, keys, queries, &(dither_pack_source){.f32 = ds, .stride = stride}, true);
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
            float lanes[LANES];
            for (size_t l = 0; l < LANES; l++)
                lanes[l] = sums[j + l] * factor;
            memcpy(o + j, lanes, sizeof lanes);
            if (kept != NULL)
                round_lanes(lanes, kept + i * stride + j);
        }
        for (size_t j = whole; j < cols; j++) {
            o[j] = sums[j] * factor;
            if (kept != NULL)
                kept[i * stride + j] = (uint16_t)(rounded_bits(o[j]) >> 16);
        }
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
