#include <immintrin.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

/* As many sums as registers hold beside what a product needs. */
enum { S8_ACCUMULATORS = 8, S8_PRODUCTS = 32, ACCUMULATORS = 12, F32_PRODUCTS = 8 };

/* Pairs into s16, pairs of these into s32: two products and an addition. */
static int32_t run_s8(size_t rounds)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum[S8_ACCUMULATORS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5);
#pragma GCC unroll 8
    for (int i = 0; i < S8_ACCUMULATORS; i++)
        sum[i] = _mm256_setzero_si256();
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 8
        for (int i = 0; i < S8_ACCUMULATORS; i++) {
            DITHER_OPAQUE("x", a);
            DITHER_OPAQUE("x", b);
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        }
    }
#pragma GCC unroll 8
    for (int i = 1; i < S8_ACCUMULATORS; i++)
        sum[0] = _mm256_xor_si256(sum[0], sum[i]);
    return _mm_cvtsi128_si32(_mm256_castsi256_si128(sum[0]));
}

static int32_t run_f32(size_t rounds)
{
    __m256 sum[ACCUMULATORS], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
#pragma GCC unroll 12
    for (int i = 0; i < ACCUMULATORS; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < ACCUMULATORS; i++) {
            sum[i] = _mm256_fmadd_ps(a, b, sum[i]);
            DITHER_OPAQUE("x", sum[i]);
        }
    }
#pragma GCC unroll 12
    for (int i = 1; i < ACCUMULATORS; i++)
        sum[0] = _mm256_max_ps(sum[0], sum[i]);
    return _mm_cvtsi128_si32(_mm_castps_si128(_mm256_castps256_ps128(sum[0])));
}

const dither_peak_loop dither_peak_s8_avx2 = {
    .isa = "avx2",
    .needs = DITHER_CPU_AVX2,
    .unit = DITHER_UNIT_S8,
    .ops = 2.0 * S8_ACCUMULATORS * S8_PRODUCTS,
    .run = run_s8,
};

const dither_peak_loop dither_peak_f32_avx2 = {
    .isa = "avx2",
    .needs = DITHER_CPU_AVX2 | DITHER_CPU_FMA,
    .unit = DITHER_UNIT_F32,
    .ops = 2.0 * ACCUMULATORS * F32_PRODUCTS,
    .run = run_f32,
};
