/* RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467): y = x / sqrt(mean(x^2) + eps) * w. */
#ifndef DITHER_NN_NORM_H
#define DITHER_NN_NORM_H

#include "nn/context.h"
#include "nn/kept.h"

/** @param x, y  [tokens][dim], y may be x;  @param w  [dim] */
void dither_rmsnorm_forward(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                            const float *w, float *y);

/** The same in the pass that keeps x. @param kept  [tokens][dim], written; may be none */
void dither_rmsnorm_forward_keep(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                                 const float *w, float *y, dither_kept kept);

/**
 * The residual stream and the norm behind it in one pass: x += h, kept = x, y = norm(x).
 * @param x     [tokens][dim], updated
 * @param h, y  [tokens][dim], y may be h
 * @param kept  [tokens][dim], written; may be none
 */
void dither_rmsnorm_add_forward(const dither_context *context, size_t tokens, size_t dim, float eps, float *x,
                                const float *h, const float *w, float *y, dither_kept kept);

/** @param dx  [tokens][dim], added to;  @param dw  [dim], added to, summed over tokens in one fixed order */
void dither_rmsnorm_backward(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                             const float *w, const float *dy, float *dx, float *dw);

/** The same from what was kept: every bit as if it had been turned into f32 before. */
void dither_rmsnorm_backward_kept(const dither_context *context, size_t tokens, size_t dim, float eps, dither_kept x,
                                  const float *w, const float *dy, float *dx, float *dw);

#endif
