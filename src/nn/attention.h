/*
 * Causal grouped-query attention with an online softmax (Milakov & Gimelshein 2018; Dao et al. 2022): blocks of queries
 * against blocks of keys; no seq x seq matrix is ever stored.
 *
 *     o[t] = sum over u <= t of softmax_u(q[t].k[u] / sqrt(head_dim)) v[u]
 *
 * A row of qkv holds `heads` queries, then `kv_heads` keys, then `kv_heads` values, each head_dim wide; query head h
 * reads key/value head h / (heads/kv_heads).
 */
#ifndef DITHER_NN_ATTENTION_H
#define DITHER_NN_ATTENTION_H

#include "nn/context.h"

typedef struct dither_attention {
    size_t batch, seq; /* tokens = batch*seq; sequences do not see each other */
    size_t heads, kv_heads, head_dim;
    bool bf16; /* the products' operands (q, k, v, do as given; softmax and its gradient) are rounded to bf16 first */
} dither_attention;

/* Values as they are, or as bf16 bits: one of the two, the other NULL. bf16 only where the shape says bf16. */
typedef struct dither_attention_values {
    const float *f32;
    const uint16_t *bf16;
} dither_attention_values;

/**
 * @param qkv  [tokens][(heads + 2 kv_heads) head_dim]
 * @param o    [tokens][heads head_dim], written
 * @param lse  [tokens][heads] log of the softmax's denominator, kept for backward; NULL: not wanted
 */
void dither_attention_forward(const dither_context *context, const dither_attention *shape, const float *qkv, float *o,
                              float *lse);

/** @param dqkv  shaped as qkv, written whole */
void dither_attention_backward(const dither_context *context, const dither_attention *shape, const float *qkv,
                               const float *o, const float *lse, const float *dout, float *dqkv);

/**
 * Both passes for a network that keeps qkv and o as bf16: no copy of them in f32 is read.
 * @param kept  as o, its values rounded to bf16; may be NULL
 */
void dither_attention_forward_kept(const dither_context *context, const dither_attention *shape,
                                   dither_attention_values qkv, float *o, uint16_t *kept, float *lse);
void dither_attention_backward_kept(const dither_context *context, const dither_attention *shape,
                                    dither_attention_values qkv, dither_attention_values o, const float *lse,
                                    const float *dout, float *dqkv);

/**
 * One new token of one sequence against its cache.
 * @param qkv     [(heads + 2 kv_heads) head_dim] of the new token
 * @param cache_k, cache_v  [positions][kv_heads head_dim]; row `position` is written, rows 0..position are read
 * @param o       [heads head_dim], written
 */
void dither_attention_decode(const dither_context *context, const dither_attention *shape, size_t position,
                             const float *qkv, float *cache_k, float *cache_v, float *o);

#endif
