/* The gate of the feed-forward block (Shazeer 2020, arXiv 2002.05202): a = silu(g) * u, silu(g) = g / (1 + exp(-g)). */
#ifndef DITHER_NN_SWIGLU_H
#define DITHER_NN_SWIGLU_H

#include "nn/context.h"

/** @param gu  [tokens][2 ffn], a row is g then u;  @param a  [tokens][ffn], written */
void dither_swiglu_forward(const dither_context *context, size_t tokens, size_t ffn, const float *gu, float *a);

/** @param da  [tokens][ffn];  @param dgu  [tokens][2 ffn], written */
void dither_swiglu_backward(const dither_context *context, size_t tokens, size_t ffn, const float *gu, const float *da,
                            float *dgu);

#endif
