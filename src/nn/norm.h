/* RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467): y = x / sqrt(mean(x^2) + eps) * w. */
#ifndef DITHER_NN_NORM_H
#define DITHER_NN_NORM_H

#include "nn/context.h"

/** @param x, y  [tokens][dim], y may be x;  @param w  [dim] */
void dither_rmsnorm_forward(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                            const float *w, float *y);

/** @param dx  [tokens][dim], added to;  @param dw  [dim], added to, summed over tokens in one fixed order */
void dither_rmsnorm_backward(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                             const float *w, const float *dy, float *dx, float *dw);

#endif
