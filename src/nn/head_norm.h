/*
 * RMSNorm of each head by itself, of the queries and keys that stand at the front of the rows of qkv:
 *
 *     x[t][h] = x[t][h] / sqrt(mean(x[t][h]^2) + eps) * w        w: of all queries, of all keys
 */
#ifndef DITHER_NN_HEAD_NORM_H
#define DITHER_NN_HEAD_NORM_H

#include "nn/context.h"
#include "nn/kept.h"

typedef struct dither_head_norm {
    size_t heads, kv_heads, head_dim, stride; /* x is [tokens][stride] */
    float eps;
    const float *q, *k; /* [head_dim] */
} dither_head_norm;

/**
 * In place.
 * @param kept  [tokens][(heads + kv_heads) head_dim], what x was, written; may be none
 */
void dither_head_norm_forward(const dither_context *context, const dither_head_norm *norm, size_t tokens, float *x,
                              dither_kept kept);

/**
 * @param x       what forward kept
 * @param dx      [tokens][stride], the gradient of the result on entry, of what went in on return
 * @param dq, dk  [head_dim], added to, summed over tokens and heads in one fixed order
 */
void dither_head_norm_backward(const dither_context *context, const dither_head_norm *norm, size_t tokens,
                               dither_kept x, float *dx, float *dq, float *dk);

#endif
