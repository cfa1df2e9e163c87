/* Optimizers: one pass over weights, states and gradient. */
#ifndef DITHER_OPTIM_OPTIMIZER_H
#define DITHER_OPTIM_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

typedef struct dither_adamw {
    double lr, beta1, beta2, eps, weight_decay;
    uint64_t step; /* 1 for the first update */
} dither_adamw;

/**
 * AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), decoupled decay:
 *
 *     g' = scale g
 *     m  = beta1 m + (1 - beta1) g'           v = beta2 v + (1 - beta2) g'^2
 *     w  = w - lr (weight_decay w + (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps))
 *
 * @param w, m, v  [n], updated
 * @param g        [n]
 * @param scale    of the gradient: clipping
 */
void dither_adamw_update(const dither_adamw *options, size_t n, float *w, float *m, float *v, const float *g,
                         float scale, int threads);

typedef struct dither_sgd {
    double lr, momentum, weight_decay;
} dither_sgd;

/** SGD: m = momentum m + scale g + weight_decay w;  w = w - lr m. @param m  [n]; NULL where momentum is 0 */
void dither_sgd_update(const dither_sgd *options, size_t n, float *w, float *m, const float *g, float scale,
                       int threads);

#endif
