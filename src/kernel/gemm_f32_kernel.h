/*
 * Who computes f32 products: the BLAS library, or a kernel of our own where that is faster. Each multiplies inside one
 * thread; partition and threads around it are common (gemm_f32.c).
 */
#ifndef DITHER_KERNEL_GEMM_F32_KERNEL_H
#define DITHER_KERNEL_GEMM_F32_KERNEL_H

#include <stdint.h>

#include "dither/cpu.h"
#include "kernel/gemm_f32.h"

/* c = alpha a b + beta c, row-major with strides in elements; beta = 0 does not read c. */
typedef struct dither_gemm_f32_part {
    dither_gemm_layout layout;
    size_t m, n, k; /* all > 0 */
    float alpha;
    const float *a;
    size_t a_stride;
    const float *b;
    size_t b_stride;
    float beta;
    float *c;
    size_t c_stride;
} dither_gemm_f32_part;

typedef struct dither_gemm_f32_kernel {
    const char *isa; /* as files are named; "blas" */
    uint32_t needs;  /* DITHER_CPU_* */
    size_t tile_rows, tile_cols; /* of C; it is chosen where they fit, though it computes any shape. 0: always */
    /*
     * The most columns of C that are multiplied together, a multiple of every unit. Its sums do not depend on how C is
     * cut, and few columns with many rows are the best pieces. NULL: they may, and square pieces are the best.
     */
    size_t (*columns)(size_t n, size_t k);
    void (*multiply)(const dither_gemm_f32_part *part);
} dither_gemm_f32_kernel;

#if defined(__x86_64__)
extern const dither_gemm_f32_kernel dither_gemm_f32_avx512;
#endif
extern const dither_gemm_f32_kernel dither_gemm_f32_blas;

/**
 * The first kernel, fastest first, that runs on a processor with these features and suits the shape. The last, BLAS,
 * always does.
 */
const dither_gemm_f32_kernel *dither_gemm_f32_select(uint32_t features, dither_gemm_layout layout, size_t m, size_t n,
                                                     size_t k);

/** dither_gemm_f32 by a kernel of the caller's choice, which this processor must have. */
void dither_gemm_f32_by(const dither_gemm_f32_kernel *kernel, dither_gemm_layout layout, size_t m, size_t n, size_t k,
                        const float *a, const float *b, float *c, bool accumulate, int threads);

#endif
