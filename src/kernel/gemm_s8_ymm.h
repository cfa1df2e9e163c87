/* What the s8 tiles in 256-bit registers share: eight sums of a row, and their way to C. */
#ifndef DITHER_KERNEL_GEMM_S8_YMM_H
#define DITHER_KERNEL_GEMM_S8_YMM_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__AVX2__) || defined(DITHER_VPDPBUSD) /* the latter: by a test, for functions with a target of their own */

#include <immintrin.h>
#include <string.h>

/*
 * Sums are of this type, not __m256i: gcc 12 takes the lanes of an intrinsic's result and the __m256i that goes round
 * the loop for two values, gives each a register and runs out of them.
 */
typedef int32_t dither_s32x8 __attribute__((vector_size(32)));

static inline __m256i dither_ymm_load(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

/* Four k's of one row of A, in every lane. */
static inline __m256i dither_ymm_broadcast(const void *unit)
{
    int32_t codes;
    memcpy(&codes, unit, sizeof codes);
    return _mm256_set1_epi32(codes);
}

/** c[j] = (c[j]) + sum[j] */
static inline void dither_ymm_put_s32(int32_t *c, bool accumulate, dither_s32x8 sum)
{
    if (accumulate)
        sum += (dither_s32x8)dither_ymm_load(c);
    _mm256_storeu_si256((__m256i *)(void *)c, (__m256i)sum);
}

/** c[j] = (c[j]) + (float)sum[j] * (a_scale * b_scale[j]), every operation rounded */
static inline void dither_ymm_put_f32(float *c, bool accumulate, dither_s32x8 sum, float a_scale, __m256 b_scale)
{
    const __m256 scale = _mm256_mul_ps(_mm256_set1_ps(a_scale), b_scale);
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps((__m256i)sum), scale);
    if (accumulate)
        value = _mm256_add_ps(_mm256_loadu_ps(c), value);
    _mm256_storeu_ps(c, value);
}

#endif
#endif
