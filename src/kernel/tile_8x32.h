/* What the f32 tiles of 8 x 32 on AVX-512 share: their rows, written out, and the way from sums to C. */
#ifndef DITHER_KERNEL_TILE_8X32_H
#define DITHER_KERNEL_TILE_8X32_H

#include "kernel/gemm_kernel.h"

#if defined(__AVX512F__)

#include <immintrin.h>

/* A list instead of a loop: compilers that leave the loop a loop put the sums into memory. */
#define DITHER_EIGHT_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* One row: (c[j]) + sum[j] * (a_scale * b_scale[j]), every operation rounded. */
static inline void dither_row_8x32(float *c, bool accumulate, const __m512 sum[2], float a_scale,
                                   const __m512 b_scale[2])
{
    const __m512 scale = _mm512_set1_ps(a_scale);
    __m512 left = _mm512_mul_ps(sum[0], _mm512_mul_ps(scale, b_scale[0]));
    __m512 right = _mm512_mul_ps(sum[1], _mm512_mul_ps(scale, b_scale[1]));
    if (accumulate) {
        left = _mm512_add_ps(_mm512_loadu_ps(c), left);
        right = _mm512_add_ps(_mm512_loadu_ps(c + 16), right);
    }
    _mm512_storeu_ps(c, left);
    _mm512_storeu_ps(c + 16, right);
}

/** The sums of a tile, scaled, into its C. */
static inline void dither_store_8x32(const dither_tile *t, const __m512 sums[8][2])
{
    const __m512 b_scale[2] = {_mm512_loadu_ps(t->b_scale), _mm512_loadu_ps(t->b_scale + 16)};
    const float *a_scale = t->a_scale;
    const size_t stride = t->stride;
    float *c = t->c;
    if (t->accumulate) {
#define DITHER_ROW(i) dither_row_8x32(c + i * stride, true, sums[i], a_scale[i], b_scale);
        DITHER_EIGHT_ROWS(DITHER_ROW)
#undef DITHER_ROW
    } else {
#define DITHER_ROW(i) dither_row_8x32(c + i * stride, false, sums[i], a_scale[i], b_scale);
        DITHER_EIGHT_ROWS(DITHER_ROW)
#undef DITHER_ROW
    }
}

#endif
#endif
