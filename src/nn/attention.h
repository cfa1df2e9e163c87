/*
 * Causal grouped-query attention with an online softmax (Milakov & Gimelshein 2018; Dao et al. 2022): blocks of queries
 * against blocks of keys; no seq x seq matrix is ever stored.
 *
 *     o[t] = sum over first[t] <= u <= t of softmax_u(scale q[t].k[u]) v[u]
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
    /*
     * [tokens], counted from the start of the token's own sequence: the first key that it sees; at most the token
     * itself, and never below that of the token before. Documents packed in one sequence give each token its document's
     * start, a window of w keys gives max(0, t + 1 - w), both together the larger of the two. NULL: 0 for all. Blocks
     * that are masked whole cost nothing.
     */
    const uint32_t *first;
    float scale; /* of q.k; 0: 1 / sqrt(head_dim) */
    bool bf16;   /* the products' operands (q, k, v, do as given; softmax and its gradient) are rounded to bf16 first */
} dither_attention;

/** Pairs of a query and a key that it sees, in the whole batch, for one head: what the products' cost goes by. */
double dither_attention_pairs(const dither_attention *shape);

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
 * `count` new tokens of one sequence behind `position` that its cache holds.
 * @param shape   batch, seq and first are not read
 * @param first   [count] as above, counted in the cache: the first row of it that each new token sees; NULL: 0 for all
 * @param qkv     [count][(heads + 2 kv_heads) head_dim] of the new tokens
 * @param cache_k, cache_v  [positions][kv_heads head_dim]; rows position..position+count-1 are written, as the products
 *                take them: rounded where `bf16`. All up to there are read
 * @param o       [count][heads head_dim], written
 *
 * Numerics: where `bf16`, operands are rounded as forward rounds them, but the products are f32's. What a token gets
 *           depends on `count` in its last bits alone: how many tokens come together decides the blocks of its sums.
 * Threads:  share heads, tokens, and stretches of a long cache; the result does not depend on their number.
 */
void dither_attention_extend(const dither_context *context, const dither_attention *shape, size_t position,
                             size_t count, const uint32_t *first, const float *qkv, float *cache_k, float *cache_v,
                             float *o);

#endif
