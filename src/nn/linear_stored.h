/*
 * Products with weights that stay where a file has them (quant/stored_rows.h), in f32: of many tokens with pieces of W
 * that are decoded into a thread's scratch; of a few with each row as it lies.
 */
#ifndef DITHER_NN_LINEAR_STORED_H
#define DITHER_NN_LINEAR_STORED_H

#include "nn/linear.h"

/** So many tokens at most are multiplied row by row. */
enum { DITHER_STORED_FEW = 4 };

/**
 * y = x W^T, W the rows of linear->parts one part after another.
 *
 * Numerics: pieces depend on W's shape alone. Few tokens: each y is the sum of dither_lanes_dot over W's values.
 */
void dither_linear_stored_forward(const dither_context *context, const dither_linear *linear, size_t tokens,
                                  const float *x, float *y);

/** w[out][in] = all of W. */
void dither_linear_stored_decode(const dither_context *context, const dither_linear *linear, float *w);

#endif
