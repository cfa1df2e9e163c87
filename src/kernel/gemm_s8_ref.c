/* s8 x s8 -> s32 in portable C: what every other kernel must equal, byte for byte. */
#include "kernel/gemm_kernels.h"

enum { M = 4, N = 16 };

static int32_t dot(const dither_tile *t, size_t i, size_t j)
{
    const int8_t *a = t->a, *b = t->b;
    int32_t sum = 0;
    for (size_t k = 0; k < t->k; k++)
        sum += (int32_t)a[k * M + i] * b[k * N + j];
    return sum;
}

static void tile_s32(const dither_tile *t)
{
    int32_t *c = t->c;
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++)
            c[i * t->stride + j] = (t->accumulate ? c[i * t->stride + j] : 0) + dot(t, i, j);
}

static void tile_f32(const dither_tile *t)
{
    float *c = t->c;
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            const float product = (float)dot(t, i, j) * (t->a_scale[i] * t->b_scale[j]);
            c[i * t->stride + j] = t->accumulate ? c[i * t->stride + j] + product : product;
        }
}

const dither_gemm_kernel dither_gemm_s8_ref = {
    .isa = "ref",
    .element = DITHER_ELEMENT_S8,
    .m = M,
    .n = N,
    .k_step = 1,
    .a = {.panel = M, .unit = 1},
    .b = {.panel = N, .unit = 1},
    .f32 = tile_f32,
    .s32 = tile_s32,
};
