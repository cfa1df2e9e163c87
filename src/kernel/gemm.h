/*
 * Low-bit products of packed operands: blocking, threads, edges and output formats around the microkernels.
 */
#ifndef DITHER_KERNEL_GEMM_H
#define DITHER_KERNEL_GEMM_H

#include "kernel/operand.h"

typedef enum dither_gemm_type { DITHER_GEMM_F32, DITHER_GEMM_BF16, DITHER_GEMM_S32 } dither_gemm_type;

typedef struct dither_gemm_out {
    dither_gemm_type type;
    void *c;           /* [m][stride]: float, bf16 bits, or int32_t */
    size_t stride;
    bool accumulate;   /* added to; f32 only */
    const float *bias; /* [n], added to every row; f32 and bf16 only, and not with accumulate; may be NULL */
} dither_gemm_out;

/**
 * C = A B^T with the operands' scales (operand.h). s32: without scales.
 *
 * @param a, b  packed for the same kernel, with the same k and the same group (or one of them with a single group)
 *
 * Numerics: s8: every s32 sum is exact; f32 sums over groups in their order, group by group: the same bits on every
 *           instruction set and for any number of threads. bf16: in an order of the kernel's own, the same for any
 *           number of threads. Where k or a group is longer than 2^14 it is cut into parts of 2^13, which
 *           are added up in f32; s32 out takes k up to DITHER_S8_K_MAX.
 */
void dither_gemm(const dither_operand *a, const dither_operand *b, const dither_gemm_out *out, int threads);

#endif
