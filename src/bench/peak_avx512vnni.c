#include <immintrin.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

enum { ACCUMULATORS = 16, PRODUCTS = 64 };

static int32_t run(size_t rounds)
{
    __m512i sum[ACCUMULATORS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5);
#pragma GCC unroll 16
    for (int i = 0; i < ACCUMULATORS; i++)
        sum[i] = _mm512_setzero_si512();
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < ACCUMULATORS; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
            DITHER_OPAQUE("v", sum[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 1; i < ACCUMULATORS; i++)
        sum[0] = _mm512_xor_si512(sum[0], sum[i]);
    return _mm_cvtsi128_si32(_mm512_castsi512_si128(sum[0]));
}

const dither_peak_loop dither_peak_s8_avx512vnni = {
    .isa = "avx512vnni",
    .needs = DITHER_CPU_AVX512 | DITHER_CPU_AVX512_VNNI,
    .unit = DITHER_UNIT_S8,
    .ops = 2.0 * ACCUMULATORS * PRODUCTS,
    .run = run,
};
