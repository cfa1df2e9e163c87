#include <immintrin.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

enum { ACCUMULATORS = 16, PRODUCTS = 32 };

static int32_t run(size_t rounds)
{
    __m512 sum[ACCUMULATORS];
    __m512i a = _mm512_set1_epi16(0x3f80), b = _mm512_set1_epi16(0x3f00); /* 1 and 0.5 */
#pragma GCC unroll 16
    for (int i = 0; i < ACCUMULATORS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < ACCUMULATORS; i++) {
            sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)a, (__m512bh)b);
            DITHER_OPAQUE("v", sum[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 1; i < ACCUMULATORS; i++)
        sum[0] = _mm512_max_ps(sum[0], sum[i]);
    return _mm_cvtsi128_si32(_mm_castps_si128(_mm512_castps512_ps128(sum[0])));
}

const dither_peak_loop dither_peak_bf16_avx512bf16 = {
    .isa = "avx512bf16",
    .needs = DITHER_CPU_AVX512 | DITHER_CPU_AVX512_BF16,
    .unit = DITHER_UNIT_BF16,
    .ops = 2.0 * ACCUMULATORS * PRODUCTS,
    .run = run,
};
