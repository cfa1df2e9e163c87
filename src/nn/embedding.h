/* Token embedding: x[t] = w[ids[t]]. */
#ifndef DITHER_NN_EMBEDDING_H
#define DITHER_NN_EMBEDDING_H

#include "nn/context.h"
#include "quant/stored_rows.h"

/** @param ids  [tokens], each < vocab;  @param w  [vocab][dim];  @param x  [tokens][dim], written */
void dither_embedding_forward(const dither_context *context, size_t tokens, size_t dim, const uint32_t *ids,
                              const float *w, float *x);

/** x[t] += w[ids[t]]: a second embedding of the same tokens, as of their positions. */
void dither_embedding_add(const dither_context *context, size_t tokens, size_t dim, const uint32_t *ids,
                          const float *w, float *x);

/** The same from rows that stay where a file has them. @param w  `dim` columns */
void dither_embedding_stored(const dither_context *context, size_t tokens, const uint32_t *ids, const dither_stored *w,
                             float *x);

/** @param dw  [vocab][dim], added to, each row in the order of the tokens */
void dither_embedding_backward(const dither_context *context, size_t tokens, size_t dim, const uint32_t *ids,
                               const float *dx, float *dw);

#endif
