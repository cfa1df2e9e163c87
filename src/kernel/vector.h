/* Passes over plain f32 vectors, threaded over fixed pieces. */
#ifndef DITHER_KERNEL_VECTOR_H
#define DITHER_KERNEL_VECTOR_H

#include <stddef.h>

/** x[i] += y[i] */
void dither_vector_add(size_t n, float *x, const float *y, int threads);

/** x[i] = 0 */
void dither_vector_zero(size_t n, float *x, int threads);

/** How many partial sums dither_vector_square_sum needs. */
size_t dither_vector_pieces(size_t n);

/**
 * Sum of x[i]^2 in double, in one order.
 * @param partial  [dither_vector_pieces(n)] scratch
 */
double dither_vector_square_sum(size_t n, const float *x, double *partial, int threads);

#endif
