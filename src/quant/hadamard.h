/* The random Hadamard transform over blocks of rows (tokens): products over them stay, outliers go. */
#ifndef DITHER_QUANT_HADAMARD_H
#define DITHER_QUANT_HADAMARD_H

#include <stddef.h>

#include "dither/tensor.h"

/** Rows of the transformed matrix: `rows` rounded up to whole blocks. */
size_t dither_hadamard_rows(size_t rows, size_t block);

/**
 * y = H D x / sqrt(block), a block of rows at a time, the last one padded with zero rows.
 *
 * H is the Walsh-Hadamard matrix in natural order, D random signs, one a row:
 * row i is negated iff dither_draw_u32(draw with role DITHER_FIELD_HADAMARD, i, 0) is odd.
 *
 * @param x      [rows][cols]
 * @param block  a power of two
 * @param draw   its role is not read: both operands of a product get the same signs
 * @param y      [dither_hadamard_rows(rows, block)][cols]; may not overlap x
 *
 * Numerics: log2(block) additions and one product deep, in an order that nothing changes;
 * |y| may reach sqrt(block) max |x|.
 */
void dither_hadamard(const float *x, size_t rows, size_t cols, size_t block, const dither_draw *draw, float *y,
                     int threads);

#endif
