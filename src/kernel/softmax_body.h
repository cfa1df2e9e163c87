/*
 * The loops of softmax.h: included by softmax_<isa>.c, each compiled for its own instruction set.
 */
#ifndef DITHER_KERNEL_SOFTMAX_BODY_H
#define DITHER_KERNEL_SOFTMAX_BODY_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/expf.h"
#include "kernel/lanes.h"
#include "kernel/softmax_pack.h"

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

/* Keys of the block in front of the first that query i sees. */
static inline size_t hidden_below(const dither_sight *sight, size_t i)
{
    return sight->first != NULL && sight->first[i] > sight->key ? sight->first[i] - sight->key : 0;
}

/* Scores that are masked, and the rows of padding: -Inf. */
static inline void hide(size_t keys, size_t padded_keys, size_t queries, size_t padded_queries,
                        const dither_sight *sight, float *s, size_t stride)
{
    const ptrdiff_t ahead = sight->ahead;
    for (size_t u = ahead < 0 ? 0 : (size_t)ahead + 1; u < keys; u++) {
        const size_t end = (size_t)((ptrdiff_t)u - ahead);
        for (size_t i = 0; i < end && i < padded_queries; i++)
            s[u * stride + i] = -INFINITY;
    }
    for (size_t u = keys; u < padded_keys; u++)
        for (size_t i = 0; i < padded_queries; i++)
            s[u * stride + i] = -INFINITY;
    /* Key u is hidden from the first query that begins behind it on. */
    for (size_t u = 0, begin = 0; sight->first != NULL && u < keys; u++) {
        while (begin < queries && hidden_below(sight, begin) <= u)
            begin++;
        for (size_t i = begin; begin < queries && i < padded_queries; i++)
            s[u * stride + i] = -INFINITY;
    }
}

static inline void max_of(vector *max, const vector *x)
{
    const words larger = (words)(*x > *max);
    *max = (vector)(((words)*x & larger) | ((words)*max & ~larger));
}

/* max of WIDTH queries over rows begin..end-1 of the scores; NaN is passed over. */
static inline void max_column(const float *s, size_t stride, size_t begin, size_t end, float *max)
{
    vector chain[ROWS];
    for (size_t r = 0; r < ROWS; r++)
        load(&chain[r], max);
    for (size_t u = begin; u < end; u += ROWS)
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

/* exp(s - max) of WIDTH queries in rows begin..end-1, added to sum, and 0 elsewhere; into pairs, or over the scores. */
static inline void exp_column(float *s, size_t stride, size_t begin, size_t end, size_t rows, const float *max,
                              float *sum, const dither_pack_place *to, size_t column, size_t panel)
{
    vector largest, total;
    load(&largest, max);
    load(&total, sum);
    for (size_t u = 0; u < rows; u += ROWS) {
        vector x[ROWS] = {{0}};
        if (u >= begin && u < end) {
            for (size_t r = 0; r < ROWS; r++) {
                load(&x[r], s + (u + r) * stride);
                x[r] -= largest;
            }
            exp_rows(x);
            for (size_t r = 0; r < ROWS; r++)
                total += x[r];
        }
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

/* Rows that any of WIDTH queries from i on sees, in whole ROWS. */
static inline size_t rows_seen(size_t i, ptrdiff_t ahead, size_t rows)
{
    const ptrdiff_t last = (ptrdiff_t)(i + WIDTH) + ahead;
    const size_t seen = last <= 0 ? 0 : ((size_t)last + ROWS - 1) / ROWS * ROWS;
    return seen < rows ? seen : rows;
}

/* Rows in front of those that any of WIDTH queries from i on sees, in whole ROWS. */
static inline size_t rows_hidden(size_t i, size_t queries, const dither_sight *sight)
{
    return i < queries ? hidden_below(sight, i) / ROWS * ROWS : 0;
}

static inline void columns(size_t keys, size_t queries, const dither_sight *sight, bool begins, float *s, size_t stride,
                           float *max, float *sum, float *shrink, const dither_pack_place *to)
{
    const size_t rows = (to->padded_k + ROWS - 1) / ROWS * ROWS, wide = (queries + LANES - 1) / LANES * LANES;
    const size_t panel = takes_pairs(to) ? to->packing->panel : 0;
    hide(keys, rows, queries, wide, sight, s, stride);
    for (size_t i = 0; i < wide; i++) {
        shrink[i] = begins ? -FLT_MAX : max[i]; /* the former one, for now; finite, so that -Inf less it is no NaN */
        max[i] = shrink[i];
    }
    for (size_t i = 0; i < wide; i += WIDTH)
        max_column(s + i, stride, rows_hidden(i, queries, sight), rows_seen(i, sight->ahead, rows), max + i);
    for (size_t i = 0; i < wide; i++) {
        shrink[i] = begins ? 0 : dither_expf(shrink[i] - max[i]);
        sum[i] = begins ? 0 : sum[i] * shrink[i];
    }
    for (size_t i = 0; i < wide; i += WIDTH) {
        const size_t begin = rows_hidden(i, queries, sight), end = rows_seen(i, sight->ahead, rows);
        if (panel == 8)
            exp_column(s + i, stride, begin, end, rows, max + i, sum + i, to, i, 8);
        else
            exp_column(s + i, stride, begin, end, rows, max + i, sum + i, to, i, panel);
    }
    if (panel == 0)
        pack_any(to, queries, keys, &(dither_pack_source){.f32 = s, .stride = stride}, true);
}

/* The rows of ROWS queries, each of which sees keys from..to-1. */
typedef struct gradient_rows {
    float lse[ROWS], d[ROWS];
    int32_t from[ROWS], to[ROWS];
    size_t begin, end; /* what any of them sees lies between */
} gradient_rows;

static inline gradient_rows gradient_rows_of(size_t i, size_t queries, size_t keys, const dither_sight *sight,
                                             const float *lse, const float *d)
{
    gradient_rows rows = {.begin = i < queries ? hidden_below(sight, i) : 0};
    for (size_t r = 0; r < ROWS && i + r < queries; r++) {
        const ptrdiff_t last = (ptrdiff_t)(i + r) + sight->ahead;
        const size_t visible = last < 0 ? 0 : (size_t)last + 1 < keys ? (size_t)last + 1 : keys;
        const size_t hidden = hidden_below(sight, i + r);
        rows.lse[r] = lse[i + r];
        rows.d[r] = d[i + r];
        rows.from[r] = (int32_t)(hidden < keys ? hidden : keys);
        rows.to[r] = (int32_t)visible;
        rows.end = visible > rows.end ? visible : rows.end;
    }
    return rows;
}

/* p and ds of WIDTH keys from u on, in place of s and dp. below: keys may be hidden from below. */
static inline void gradient_vectors(const gradient_rows *rows, size_t u, bool below, const float *s, const float *dp,
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
        words seen = (words)(number < rows->to[r] - (int32_t)u);
        if (below)
            seen &= (words)(number >= rows->from[r] - (int32_t)u);
        ds[r] = (vector)((words)(p[r] * (ds[r] - rows->d[r])) & seen);
        p[r] = (vector)((words)p[r] & seen);
    }
}

/* panel and below are numbers for the compiler: once for each. */
static inline void gradient_panels(size_t queries, size_t keys, const dither_sight *sight, const float *lse,
                                   const float *d, float *p, float *ds, size_t stride, const dither_pack_place *to_p,
                                   const dither_pack_place *to_ds, size_t panel, bool below)
{
    const size_t wide = (keys + LANES - 1) / LANES * LANES;
    const size_t end = panel > 0 && to_p->padded_k > queries ? to_p->padded_k : queries;
    for (size_t i = 0; i < end; i += ROWS, p += ROWS * stride, ds += ROWS * stride) {
        const gradient_rows rows = gradient_rows_of(i, queries, keys, sight, lse, d);
        for (size_t u = 0; u < wide; u += WIDTH) {
            vector p_rows[ROWS], ds_rows[ROWS];
            if (u < rows.end && (!below || u + WIDTH > rows.begin))
                gradient_vectors(&rows, u, below, p, ds, stride, p_rows, ds_rows);
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

static inline void gradient_panels_below(size_t queries, size_t keys, const dither_sight *sight, const float *lse,
                                         const float *d, float *p, float *ds, size_t stride,
                                         const dither_pack_place *to_p, const dither_pack_place *to_ds, size_t panel)
{
    if (sight->first != NULL)
        gradient_panels(queries, keys, sight, lse, d, p, ds, stride, to_p, to_ds, panel, true);
    else
        gradient_panels(queries, keys, sight, lse, d, p, ds, stride, to_p, to_ds, panel, false);
}

static inline void gradient(size_t queries, size_t keys, const dither_sight *sight, const float *lse, const float *d,
                            float *p, float *ds, size_t stride, const dither_pack_place *to_p,
                            const dither_pack_place *to_ds)
{
    if (to_p != NULL && takes_pairs(to_p)) {
        if (to_p->packing->panel == 8)
            gradient_panels_below(queries, keys, sight, lse, d, p, ds, stride, to_p, to_ds, 8);
        else
            gradient_panels_below(queries, keys, sight, lse, d, p, ds, stride, to_p, to_ds, to_p->packing->panel);
        return;
    }
    gradient_panels_below(queries, keys, sight, lse, d, p, ds, stride, to_p, to_ds, 0);
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

static inline void dots(size_t rows, size_t cols, const float *dout, size_t stride, const dither_pack_source *o,
                        float *d)
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

static inline void finish(size_t rows, size_t cols, const float *sums, size_t sums_stride, const float *sum, float *o,
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

static inline void scale(size_t rows, size_t cols, const float *factor, float *x, size_t stride)
{
    for (size_t i = 0; i < rows; i++) {
        const float by = factor[i];
        float *restrict row = x + i * stride;
        if (by != 1.0f)
            for (size_t j = 0; j < cols; j++)
                row[j] *= by;
    }
}

/* The table entry of a file. */
#define DITHER_SOFTMAX_ENTRY(name, features)                                                                           \
    {                                                                                                                  \
        .isa = (name), .needs = (features), .pack_rows = pack_rows, .pack_columns = pack_columns, .columns = columns,  \
        .gradient = gradient, .dots = dots, .finish = finish, .scale = scale                                           \
    }

#endif
