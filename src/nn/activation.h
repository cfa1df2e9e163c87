/*
 * What stands between the matrices of the feed-forward block (Shazeer 2020, arXiv 2002.05202):
 *
 *     SILU_GATE  a = silu(g) * u      silu(g) = g / (1 + exp(-g))
 *     GELU_GATE  a = gelu(g) * u      gelu(g) = g / (1 + exp(-2 z)), z = sqrt(2/pi) (g + 0.044715 g^3)
 *     GELU       a = gelu(u)
 *
 * gelu is Hendrycks & Gimpel's (arXiv 1606.08415) in its tanh form, g (1 + tanh z) / 2 written as one quotient.
 */
#ifndef DITHER_NN_ACTIVATION_H
#define DITHER_NN_ACTIVATION_H

#include "dither/model.h"
#include "nn/context.h"
#include "nn/kept.h"

/** Values of gu for each of a: a gate and what it opens for, or one. */
static inline size_t dither_activation_inputs(dither_activation kind)
{
    return kind == DITHER_ACTIVATION_GELU ? 1 : 2;
}

/**
 * @param gu  [tokens][inputs ffn], a row is g then u;  @param a  [tokens][ffn], written
 */
void dither_activation_forward(const dither_context *context, dither_activation kind, size_t tokens, size_t ffn,
                               const float *gu, float *a);

/** The same in the pass that keeps gu. @param kept  shaped as gu, written; may be none */
void dither_activation_forward_keep(const dither_context *context, dither_activation kind, size_t tokens, size_t ffn,
                                    const float *gu, float *a, dither_kept kept);

/**
 * @param gu   [tokens][inputs ffn], as it was kept
 * @param da   [tokens][ffn]
 * @param dgu  [tokens][inputs ffn], written
 */
void dither_activation_backward(const dither_context *context, dither_activation kind, size_t tokens, size_t ffn,
                                const float *gu, const float *da, float *dgu);
void dither_activation_backward_kept(const dither_context *context, dither_activation kind, size_t tokens, size_t ffn,
                                     dither_kept gu, const float *da, float *dgu);

#endif
