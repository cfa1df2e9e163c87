/*
 * Attention on the bf16 microkernels: every operand of a product is packed into the kernel's panels once and used from
 * there. attention.h says what is computed and attention.c when it is computed here.
 *
 * Blocks of queries against blocks of keys begin at multiples of their sizes, counted from the start of the sequence;
 * tiles and k's that the mask leaves nothing of are skipped. The shape and the kernel alone decide every block and the
 * order of every sum.
 */
#ifndef DITHER_NN_ATTENTION_PACKED_H
#define DITHER_NN_ATTENTION_PACKED_H

#include "kernel/gemm_kernel.h"
#include "kernel/softmax.h"
#include "nn/attention_scores.h"

void dither_packed_forward(const dither_context *context, const dither_attention *shape, dither_attention_values qkv,
                           float *o, uint16_t *kept, float *lse);

void dither_packed_backward(const dither_context *context, const dither_attention *shape, dither_attention_values qkv,
                            dither_attention_values o, const float *lse, const float *dout, float *dqkv);

/* ---- what the two passes share ---------------------------------------------------------------------------------- */

typedef struct dither_packed {
    dither_attention shape;
    const dither_gemm_kernel *kernel;
    const dither_softmax *loops;
    size_t group;        /* heads that share a key/value head */
    size_t width, out;   /* of a row of qkv, of o */
    size_t dim_k, dim_n; /* head_dim in whole k_steps, in whole panels of B */
    size_t seq_k;        /* seq in whole k_steps */
    float ones[DITHER_TILE_N], unit[DITHER_TILE_M], scale[DITHER_TILE_M]; /* 1, 1, the scores' */
} dither_packed;

void dither_packed_begin(dither_packed *packed, const dither_attention *shape);

/** The largest multiple of both numbers that is at most `most`; at least one common multiple. */
size_t dither_packed_block(size_t most, size_t a, size_t b);

static inline size_t dither_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/** first[] of a sequence; NULL: its tokens see all. */
static inline const uint32_t *dither_packed_first(const dither_packed *packed, size_t sequence)
{
    return packed->shape.first != NULL ? packed->shape.first + sequence * packed->shape.seq : NULL;
}

/** The first key that query t of a sequence sees. */
static inline size_t dither_packed_begin_of(const uint32_t *first, size_t t)
{
    return first != NULL ? first[t] : 0;
}

/** What `rows` queries from `query` on see of the keys from `key` on. */
static inline dither_sight dither_packed_sight(const uint32_t *first, size_t query, size_t rows, size_t key)
{
    const bool hides = dither_packed_begin_of(first, query + rows - 1) > key;
    return (dither_sight){
        .ahead = (ptrdiff_t)query - (ptrdiff_t)key, .first = hides ? first + query : NULL, .key = key};
}

/** Bytes of `count` elements in an arena's steps, and where they begin: the counter before it moves on. */
size_t dither_packed_reserve(size_t *used, size_t count, size_t size);

/* A packed operand; panels begin `stride` elements apart. */
typedef struct dither_panels {
    uint16_t *at;
    size_t stride;
} dither_panels;

/** The columns from `column` on of the rows from `row` on of f32 or bf16 values. */
dither_pack_source dither_packed_source(dither_attention_values values, size_t row, size_t stride, size_t column);

/** One tile at row i and column j of c: c (+)= scale sum over k0 <= k < k1 of a[i..][k] b[j..][k] */
static inline void dither_packed_tile(const dither_packed *packed, const dither_panels *a, const dither_panels *b,
                                      size_t i, size_t j, size_t k0, size_t k1, const float *scale, float *c,
                                      size_t stride, bool accumulate)
{
    const dither_gemm_kernel *kernel = packed->kernel;
    const dither_tile tile = {.k = k1 - k0,
                              .a = a->at + i / kernel->m * a->stride + k0 * kernel->m,
                              .b = b->at + j / kernel->n * b->stride + k0 * kernel->n,
                              .a_scale = scale,
                              .b_scale = packed->ones,
                              .c = c + i * stride + j,
                              .stride = stride,
                              .accumulate = accumulate};
    kernel->f32(&tile);
}

#endif
