/*
 * f32 products: single-threaded kernels, ours or BLAS (gemm_f32_kernel.h), on pieces of C. BLAS gets pieces that depend
 * on the shape alone; with ours no sum depends on the pieces. So the result does not depend on the number of threads.
 */
#ifndef DITHER_KERNEL_GEMM_F32_H
#define DITHER_KERNEL_GEMM_F32_H

#include <stdbool.h>
#include <stddef.h>

typedef enum dither_gemm_layout {
    DITHER_GEMM_NT, /* c[m][n] = a[m][k] b[n][k]^T    y  = x W^T   */
    DITHER_GEMM_NN, /* c[m][n] = a[m][k] b[k][n]      dx = dy W    */
    DITHER_GEMM_TN  /* c[m][n] = a[k][m]^T b[k][n]    dW = dy^T x  */
} dither_gemm_layout;

/**
 * c = a b, or c += a b, all row-major and contiguous; none may overlap. k = 0 gives 0.
 * @param threads  at least 1; the result does not depend on it
 */
void dither_gemm_f32(dither_gemm_layout layout, size_t m, size_t n, size_t k, const float *a, const float *b, float *c,
                     bool accumulate, int threads);

/**
 * Whether there is address space for the BLAS library's buffers, one a thread, beside `others` bytes that are still to
 * be taken: OpenBLAS asks for ever where there is none. To be asked once, before the first product.
 */
bool dither_gemm_f32_ready(int threads, size_t others);

/**
 * One product inside one thread, with row strides, for blocks of a larger matrix (attention).
 * c = alpha a b + beta c
 */
void dither_gemm_f32_block(dither_gemm_layout layout, size_t m, size_t n, size_t k, float alpha, const float *a,
                           size_t a_stride, const float *b, size_t b_stride, float beta, float *c, size_t c_stride);

#endif
