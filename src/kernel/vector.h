/* Passes over plain f32 vectors, threaded over fixed pieces. */
#ifndef DITHER_KERNEL_VECTOR_H
#define DITHER_KERNEL_VECTOR_H

#include <stddef.h>
#include <stdint.h>

/** x[i] += y[i] */
void dither_vector_add(size_t n, float *x, const float *y, int threads);

/** x[i] *= factor */
void dither_vector_scale(size_t n, float factor, float *x, int threads);

/** x[i] += y[i]; kept[i] = the bf16 value nearest to x[i] (rows.h) */
void dither_vector_add_keep(size_t n, float *x, const float *y, uint16_t *kept, int threads);

/** y[i] = the bf16 value nearest to x[i] (rows.h); and back. */
void dither_vector_to_bf16(size_t n, const float *x, uint16_t *y, int threads);
void dither_vector_from_bf16(size_t n, const uint16_t *x, float *y, int threads);

/**
 * sums[j] += sum over i of x[i][j], in double in the order of the rows
 * @param x  [rows][cols]
 */
void dither_vector_add_columns(size_t rows, size_t cols, const float *x, float *sums, int threads);

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
