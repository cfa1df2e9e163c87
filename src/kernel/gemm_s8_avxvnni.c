/*
 * s8 x s8 -> s32 with AVX-VNNI, VPDPBUSD on 256 bits: A is stored as code + 128 and every sum starts at
 * -128 sum_k b[j][k], as in gemm_s8_avx512vnni.c. The tile of 6 x 16 keeps 12 sums in 16 registers, which hide a
 * latency of 5 at two multiplications a cycle, and takes 8 loads for 12 multiplications.
 */
#include "kernel/gemm_kernels.h"

#include "kernel/gemm_s8_ymm.h"

enum { M = 6, V = 2, LANES = 8, N = V * LANES, UNIT = 4 };

/* A test runs this file on AVX-512 VNNI, whose instruction on 256 bits is the same but for its encoding. */
#if !defined(DITHER_VPDPBUSD)
#define DITHER_VPDPBUSD _mm256_dpbusd_avx_epi32
#endif

__attribute__((always_inline)) static inline void multiply(const dither_tile *t, dither_s32x8 sum[M][V])
{
#pragma GCC unroll 8
    for (size_t v = 0; v < V; v++) {
        const __m256i offset = _mm256_slli_epi32(dither_ymm_load(t->sums + v * LANES), 7);
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++)
            sum[i][v] = (dither_s32x8)_mm256_sub_epi32(_mm256_setzero_si256(), offset);
    }
    const uint8_t *a = t->a;
    const int8_t *b = t->b;
    size_t units = t->k / UNIT;
    do {
        const __m256i left = dither_ymm_load(b), right = dither_ymm_load(b + LANES * UNIT);
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++) {
            const __m256i row = dither_ymm_broadcast(a + i * UNIT);
            sum[i][0] = (dither_s32x8)DITHER_VPDPBUSD((__m256i)sum[i][0], row, left);
            sum[i][1] = (dither_s32x8)DITHER_VPDPBUSD((__m256i)sum[i][1], row, right);
        }
        a += M * UNIT;
        b += N * UNIT;
    } while (--units);
}

static void tile_s32(const dither_tile *t)
{
    dither_s32x8 sum[M][V];
    multiply(t, sum);
    int32_t *c = t->c;
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++, c += t->stride) {
        dither_ymm_put_s32(c, t->accumulate, sum[i][0]);
        dither_ymm_put_s32(c + LANES, t->accumulate, sum[i][1]);
    }
}

static void tile_f32(const dither_tile *t)
{
    dither_s32x8 sum[M][V];
    multiply(t, sum);
    const __m256 left = _mm256_loadu_ps(t->b_scale), right = _mm256_loadu_ps(t->b_scale + LANES);
    float *c = t->c;
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++, c += t->stride) {
        dither_ymm_put_f32(c, t->accumulate, sum[i][0], t->a_scale[i], left);
        dither_ymm_put_f32(c + LANES, t->accumulate, sum[i][1], t->a_scale[i], right);
    }
}

static void sum_panel(size_t k, const void *panel, int32_t *sums)
{
    const int8_t *b = panel;
    const __m256i ones = _mm256_set1_epi8(1);
    __m256i left = _mm256_setzero_si256(), right = left;
    for (size_t p = 0; p < k; p += UNIT, b += N * UNIT) {
        left = DITHER_VPDPBUSD(left, ones, dither_ymm_load(b));
        right = DITHER_VPDPBUSD(right, ones, dither_ymm_load(b + LANES * UNIT));
    }
    dither_ymm_put_s32(sums, false, (dither_s32x8)left);
    dither_ymm_put_s32(sums + LANES, false, (dither_s32x8)right);
}

const dither_gemm_kernel dither_gemm_s8_avxvnni = {
    .isa = "avxvnni",
    .needs = DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C | DITHER_CPU_AVX_VNNI,
    .element = DITHER_ELEMENT_S8,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT, .flip = 0x80},
    .b = {.panel = N, .unit = UNIT},
    .sums = true,
    .f32 = tile_f32,
    .s32 = tile_s32,
    .sum = sum_panel,
};
