#include <immintrin.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

enum { ACCUMULATORS = 16, PRODUCTS = 16 };

static int32_t run(size_t rounds)
{
    __m512 sum[ACCUMULATORS], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
#pragma GCC unroll 16
    for (int i = 0; i < ACCUMULATORS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < ACCUMULATORS; i++) {
            sum[i] = _mm512_fmadd_ps(a, b, sum[i]);
            DITHER_OPAQUE("v", sum[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 1; i < ACCUMULATORS; i++)
        sum[0] = _mm512_max_ps(sum[0], sum[i]);
    return _mm_cvtsi128_si32(_mm_castps_si128(_mm512_castps512_ps128(sum[0])));
}

const dither_peak_loop dither_peak_f32_avx512 = {
    .isa = "avx512",
    .needs = DITHER_CPU_AVX512,
    .unit = DITHER_UNIT_F32,
    .ops = 2.0 * ACCUMULATORS * PRODUCTS,
    .run = run,
};
