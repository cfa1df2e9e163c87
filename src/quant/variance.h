/*
 * What stochastic rounding adds to a matrix: sum of D^2 f(1-f) over its elements, estimated from one row in 256. Which
 * one is addressed as draws are, and sums have one order, so that neither threads nor the way of a matrix through the
 * kernels shows.
 */
#ifndef DITHER_QUANT_VARIANCE_H
#define DITHER_QUANT_VARIANCE_H

#include <stddef.h>

#include "dither/tensor.h"
#include "quant/round.h"

enum { DITHER_VARIANCE_ROWS = 256, DITHER_VARIANCE_COLS = 256 }; /* of a piece, whose sums come from one of its rows */

typedef struct dither_variance {
    double variance; /* sum of D^2 f(1-f) */
    double square;   /* sum of x'^2 */
} dither_variance;

/** Pieces of a matrix, row by row. */
size_t dither_variance_pieces(size_t rows, size_t cols);

/** The row that the pieces from row0 on look at: row0 .. row0 + count - 1, 1 <= count <= DITHER_VARIANCE_ROWS. */
size_t dither_variance_row(const dither_draw *draw, size_t row0, size_t count);

/**
 * Sums over a span of one row.
 * @param x      [count] x', scales of other operands folded in
 * @param scale  [count] of the element; 0 over zeros
 */
dither_variance dither_variance_span(const dither_grid *grid, size_t count, const float *x, const float *scale);

/** clips->variance and square += those of the pieces of a matrix of `rows` rows, each standing for all of its rows. */
void dither_variance_add(const dither_variance *pieces, size_t rows, size_t cols, dither_clips *clips);

/** Count values quantized. @param clips  may be NULL */
void dither_clips_add(dither_clips *clips, uint64_t elements, uint64_t clipped);

#endif
