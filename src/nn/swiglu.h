/* The gate of the feed-forward block (Shazeer 2020, arXiv 2002.05202): a = silu(g) * u, silu(g) = g / (1 + exp(-g)). */
#ifndef DITHER_NN_SWIGLU_H
#define DITHER_NN_SWIGLU_H

#include "nn/context.h"
#include "nn/kept.h"

/** @param gu  [tokens][2 ffn], a row is g then u;  @param a  [tokens][ffn], written */
void dither_swiglu_forward(const dither_context *context, size_t tokens, size_t ffn, const float *gu, float *a);

/** The same in the pass that keeps gu. @param kept  [tokens][2 ffn], written; may be none */
void dither_swiglu_forward_keep(const dither_context *context, size_t tokens, size_t ffn, const float *gu, float *a,
                                dither_kept kept);

/**
 * @param gu   [tokens][2 ffn], as it was kept
 * @param da   [tokens][ffn]
 * @param dgu  [tokens][2 ffn], written
 */
void dither_swiglu_backward(const dither_context *context, size_t tokens, size_t ffn, const float *gu, const float *da,
                            float *dgu);
void dither_swiglu_backward_kept(const dither_context *context, size_t tokens, size_t ffn, dither_kept gu,
                                 const float *da, float *dgu);

#endif
