/* Four neighbouring sums of a row on their way to C: what every Arm kernel ends with. */
#ifndef DITHER_KERNEL_NEON_QUAD_H
#define DITHER_KERNEL_NEON_QUAD_H

#include "kernel/gemm_kernel.h"

#if defined(__aarch64__)

#include <arm_neon.h>

/* Lists instead of loops: compilers that leave a loop a loop put the sums into memory. */
#define DITHER_FOUR(X) X(0) X(1) X(2) X(3)
#define DITHER_EIGHT(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/** c[i][j..j+3] = (accumulate ? c : 0) + sum * (a_scale[i] * b_scale[j..j+3]), every operation rounded. */
static inline void dither_quad_f32(const dither_tile *t, size_t i, size_t j, float32x4_t sum)
{
    float *c = (float *)t->c + i * t->stride + j;
    const float32x4_t product = vmulq_f32(sum, vmulq_n_f32(vld1q_f32(t->b_scale + j), t->a_scale[i]));
    vst1q_f32(c, t->accumulate ? vaddq_f32(vld1q_f32(c), product) : product);
}

/** c[i][j..j+3] = (accumulate ? c : 0) + sum. */
static inline void dither_quad_s32(const dither_tile *t, size_t i, size_t j, int32x4_t sum)
{
    int32_t *c = (int32_t *)t->c + i * t->stride + j;
    vst1q_s32(c, t->accumulate ? vaddq_s32(vld1q_s32(c), sum) : sum);
}

#endif
#endif
