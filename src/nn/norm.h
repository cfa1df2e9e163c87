/*
 * The norms of a row x:
 *
 *     RMSNorm    y = x / sqrt(mean(x^2) + eps) * w                            Zhang & Sennrich 2019, arXiv 1910.07467
 *     LayerNorm  y = c / sqrt(mean(c^2) + eps) * w + bias,  c = x - mean(x)   Ba et al. 2016, arXiv 1607.06450
 */
#ifndef DITHER_NN_NORM_H
#define DITHER_NN_NORM_H

#include "nn/context.h"
#include "nn/kept.h"

typedef struct dither_norm {
    bool layer; /* LayerNorm */
    size_t dim;
    float eps;
    const float *w, *bias; /* [dim]; there is no bias but LayerNorm's */
} dither_norm;

/** @param x, y  [tokens][dim], y may be x */
void dither_norm_forward(const dither_context *context, const dither_norm *norm, size_t tokens, const float *x,
                         float *y);

/** The same in the pass that keeps x. @param kept  [tokens][dim], written; may be none */
void dither_norm_forward_keep(const dither_context *context, const dither_norm *norm, size_t tokens, const float *x,
                              float *y, dither_kept kept);

/**
 * The residual stream and the norm behind it in one pass: x += h, kept = x, y = norm(x).
 * @param x     [tokens][dim], updated
 * @param h, y  [tokens][dim], y may be h
 * @param kept  [tokens][dim], written; may be none
 */
void dither_norm_add_forward(const dither_context *context, const dither_norm *norm, size_t tokens, float *x,
                             const float *h, float *y, dither_kept kept);

/**
 * @param dx         [tokens][dim], added to
 * @param dw, dbias  [dim], added to, summed over tokens in one fixed order; dbias is LayerNorm's alone
 */
void dither_norm_backward(const dither_context *context, const dither_norm *norm, size_t tokens, const float *x,
                          const float *dy, float *dx, float *dw, float *dbias);

/** The same from what was kept: every bit as if it had been turned into f32 before. */
void dither_norm_backward_kept(const dither_context *context, const dither_norm *norm, size_t tokens, dither_kept x,
                               const float *dy, float *dx, float *dw, float *dbias);

#endif
