#include <immintrin.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

enum { ACCUMULATORS = 12, PRODUCTS = 32 };

static int32_t run(size_t rounds)
{
    __m256i sum[ACCUMULATORS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5);
#pragma GCC unroll 12
    for (int i = 0; i < ACCUMULATORS; i++)
        sum[i] = _mm256_setzero_si256();
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < ACCUMULATORS; i++) {
            sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, b);
            DITHER_OPAQUE("x", sum[i]);
        }
    }
#pragma GCC unroll 12
    for (int i = 1; i < ACCUMULATORS; i++)
        sum[0] = _mm256_xor_si256(sum[0], sum[i]);
    return _mm_cvtsi128_si32(_mm256_castsi256_si128(sum[0]));
}

const dither_peak_loop dither_peak_s8_avxvnni = {
    .isa = "avxvnni",
    .needs = DITHER_CPU_AVX2 | DITHER_CPU_AVX_VNNI,
    .unit = DITHER_UNIT_S8,
    .ops = 2.0 * ACCUMULATORS * PRODUCTS,
    .run = run,
};
