/*
 * s8 x s8 -> s32 with AVX2, exact. VPMADDUBSW multiplies unsigned by signed bytes and adds two products in 16 bits:
 * with |b| <= 127 and -128 <= a <= 127 they fit. A negative b hands its sign to a by an exclusive or with -1, which
 * makes -a - 1 of a, and what that takes away does not depend on a:
 *
 *     a b = |b| (a ^ sign) + (b < 0 ? |b| : 0),    sign = b < 0 ? -1 : 0
 *
 * so every sum starts at sum_k max(-b[j][k], 0), which is what `sum` finds. VPSIGNB would need no such start, but waits
 * for the multipliers' ports: 21 multiply-adds a cycle on Zen 4, where this reaches 26. Two multiplications and two
 * operations that any of four ports takes for 32 multiply-adds bound it at 32.
 */
#include "kernel/gemm_kernels.h"

#include "kernel/gemm_s8_ymm.h"

/* GROUP: rows at a time, so that a multiplication need not wait for the one before. */
enum { M = 10, GROUP = 2, N = 8, UNIT = 4 };

__attribute__((always_inline)) static inline void multiply(const dither_tile *t, dither_s32x8 sum[M])
{
    const dither_s32x8 start = (dither_s32x8)dither_ymm_load(t->sums);
#pragma GCC unroll 10
    for (size_t i = 0; i < M; i++)
        sum[i] = start;
    const int8_t *a = t->a, *b = t->b;
    const __m256i ones = _mm256_set1_epi16(1);
    size_t units = t->k / UNIT;
    do {
        const __m256i column = dither_ymm_load(b);
        const __m256i sign = _mm256_cmpgt_epi8(_mm256_setzero_si256(), column);
        const __m256i size = _mm256_abs_epi8(column);
#pragma GCC unroll 10
        for (size_t first = 0; first < M; first += GROUP) {
            __m256i product[GROUP];
#pragma GCC unroll 10
            for (size_t i = 0; i < GROUP; i++)
                product[i] = _mm256_xor_si256(dither_ymm_broadcast(a + (first + i) * UNIT), sign);
#pragma GCC unroll 10
            for (size_t i = 0; i < GROUP; i++)
                product[i] = _mm256_maddubs_epi16(size, product[i]);
#pragma GCC unroll 10
            for (size_t i = 0; i < GROUP; i++)
                sum[first + i] += (dither_s32x8)_mm256_madd_epi16(product[i], ones);
        }
        a += M * UNIT;
        b += N * UNIT;
    } while (--units);
}

static void tile_s32(const dither_tile *t)
{
    dither_s32x8 sum[M];
    multiply(t, sum);
    int32_t *c = t->c;
#pragma GCC unroll 10
    for (size_t i = 0; i < M; i++, c += t->stride)
        dither_ymm_put_s32(c, t->accumulate, sum[i]);
}

static void tile_f32(const dither_tile *t)
{
    dither_s32x8 sum[M];
    multiply(t, sum);
    const __m256 b_scale = _mm256_loadu_ps(t->b_scale);
    float *c = t->c;
#pragma GCC unroll 10
    for (size_t i = 0; i < M; i++, c += t->stride)
        dither_ymm_put_f32(c, t->accumulate, sum[i], t->a_scale[i], b_scale);
}

static void sum_panel(size_t k, const void *panel, int32_t *sums)
{
    const int8_t *b = panel;
    const __m256i zero = _mm256_setzero_si256();
    dither_s32x8 sum = (dither_s32x8)zero;
    for (size_t p = 0; p < k; p += UNIT, b += N * UNIT) {
        const __m256i negative = _mm256_max_epi8(_mm256_sub_epi8(zero, dither_ymm_load(b)), zero);
        const __m256i pairs = _mm256_maddubs_epi16(negative, _mm256_set1_epi8(1));
        sum += (dither_s32x8)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
    dither_ymm_put_s32(sums, false, sum);
}

const dither_gemm_kernel dither_gemm_s8_avx2 = {
    .isa = "avx2",
    .needs = DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C,
    .element = DITHER_ELEMENT_S8,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT},
    .b = {.panel = N, .unit = UNIT},
    .sums = true,
    .f32 = tile_f32,
    .s32 = tile_s32,
    .sum = sum_panel,
};
