/*
 * What attention does between its products: softmax and its gradient on blocks of scores, and bf16 blocks into the
 * panels of a microkernel. Portable loops (softmax_body.h), compiled once for each instruction set; nothing contracts
 * and every sum has one order, so all of them give the same bits, but for one thing: where the processor has
 * AVX512_BF16, whose products take denormals for 0, f32 denormals are packed as 0.
 *
 * Masks are causal, and may hide keys from below as well (dither_sight).
 */
#ifndef DITHER_KERNEL_SOFTMAX_H
#define DITHER_KERNEL_SOFTMAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/gemm_kernel.h"

/* Scores are worked on in blocks of so many rows and columns. */
enum { DITHER_SOFTMAX_LANES = 16, DITHER_SOFTMAX_ROWS = 4 };

/* A matrix to be packed: f32, which is rounded to nearest even, or bf16 bits. */
typedef struct dither_pack_source {
    const float *f32; /* NULL: bf16 */
    const uint16_t *bf16;
    size_t stride;
} dither_pack_source;

/* Where it goes: rows 0.. from a k that is a multiple of the kernel's k_step. */
typedef struct dither_pack_place {
    const dither_packing *packing;
    uint16_t *data;
    size_t panel_stride;          /* elements from a panel to the next */
    size_t padded_rows, padded_k; /* whole panels, whole k_steps: what lies outside of the matrix becomes 0 */
} dither_pack_place;

/* Which keys of a block its queries see: query i sees key u where u <= i + ahead and first[i] <= key + u. */
typedef struct dither_sight {
    ptrdiff_t ahead;       /* the block's first query less its first key */
    const uint32_t *first; /* [queries], not decreasing; NULL: nothing is hidden from below */
    size_t key;            /* the block's first key, as `first` counts */
} dither_sight;

typedef struct dither_softmax {
    const char *isa;
    uint32_t needs; /* DITHER_CPU_* */

    /** x [rows][k] into the panels. */
    void (*pack_rows)(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x);

    /** x [k][rows] into the panels. */
    void (*pack_columns)(const dither_pack_place *to, size_t rows, size_t k, const dither_pack_source *x);

    /**
     * One more block of keys of an online softmax; a query is a column.
     *
     *     max'[i] = max(max[i], max_u s[u][i]);  p[u][i] = exp(s[u][i] - max'[i]);  masked keys: none, 0
     *     shrink[i] = exp(max[i] - max'[i]);     sum[i] = sum[i] shrink[i] + sum_u p[u][i], u ascending
     *
     * @param s      [keys][stride] scores, overwritten; there is room for DITHER_SOFTMAX_ROWS - 1 rows more than
     *               to->padded_k, and for whole DITHER_SOFTMAX_LANES of columns
     * @param begins there was no block before: max and sum are written, shrink is 0. A query that has seen no key yet
     *               has the lowest f32 for its max, and 0 for its sum
     * @param to     where p goes: its rows are the queries
     */
    void (*columns)(size_t keys, size_t queries, const dither_sight *sight, bool begins, float *s, size_t stride,
                    float *max, float *sum, float *shrink, const dither_pack_place *to);

    /**
     *     p[i][u] = exp(s[i][u] - lse[i]);  ds[i][u] = p[i][u] (dp[i][u] - d[i]);  both 0 where masked
     *
     * @param p            [queries][stride] s, overwritten; room as above
     * @param ds           dp, becomes ds; whole DITHER_SOFTMAX_LANES of columns are written
     * @param to_p, to_ds  where p and ds go: their rows are the keys; alike but for the data; both may be NULL
     */
    void (*gradient)(size_t queries, size_t keys, const dither_sight *sight, const float *lse, const float *d,
                     float *p, float *ds, size_t stride, const dither_pack_place *to_p,
                     const dither_pack_place *to_ds);

    /** d[i] = sum_j bf16(dout[i][j]) o[i][j] in the order of lanes.h */
    void (*dots)(size_t rows, size_t cols, const float *dout, size_t stride, const dither_pack_source *o, float *d);

    /** o[i][j] = sums[i][j] / sum[i] as a product with 1 / sum[i], and the same rounded to bf16 where kept != NULL */
    void (*finish)(size_t rows, size_t cols, const float *sums, size_t sums_stride, const float *sum, float *o,
                   uint16_t *kept, size_t stride);

    /** x[i][j] *= factor[i] */
    void (*scale)(size_t rows, size_t cols, const float *factor, float *x, size_t stride);
} dither_softmax;

extern const dither_softmax dither_softmax_ref;
#if defined(__x86_64__)
extern const dither_softmax dither_softmax_avx2, dither_softmax_avx512, dither_softmax_avx512bf16;
#endif

/** The first of the table that runs with these features; the last one, ref, always does. */
const dither_softmax *dither_softmax_select(uint32_t features);

/** All of them, fastest first. NULL past the end. */
const dither_softmax *dither_softmax_at(size_t index);

#endif
