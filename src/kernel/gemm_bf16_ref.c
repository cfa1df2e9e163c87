/* bf16 x bf16 -> f32 in portable C: one multiplication and one addition at a time, k ascending. */
#include <string.h>

#include "kernel/gemm_kernels.h"

enum { M = 4, N = 16 };

static float value(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

/* All rows of one k before the next k: read row by row, gcc 12 for Arm loads whole registers beyond the end of A. */
static void tile_f32(const dither_tile *t)
{
    const uint16_t *a = t->a, *b = t->b;
    float *c = t->c;
    float sums[M][N] = {{0}};
    for (size_t k = 0; k < t->k; k++)
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++)
                sums[i][j] += value(a[k * M + i]) * value(b[k * N + j]);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            const float product = sums[i][j] * (t->a_scale[i] * t->b_scale[j]);
            c[i * t->stride + j] = t->accumulate ? c[i * t->stride + j] + product : product;
        }
}

const dither_gemm_kernel dither_gemm_bf16_ref = {
    .isa = "ref",
    .element = DITHER_ELEMENT_BF16,
    .m = M,
    .n = N,
    .k_step = 1,
    .a = {.panel = M, .unit = 1},
    .b = {.panel = N, .unit = 1},
    .f32 = tile_f32,
};
