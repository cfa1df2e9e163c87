/*
 * bf16 x bf16 -> f32 on AVX-512 without a bf16 unit: values widened to f32, which is exact, then fused multiply-adds.
 *
 * Order of a sum: k ascending, one rounding a step, denormals kept. With K k's:
 *
 *     |sum - exact| <= gamma_K sum |a b| + K 2^-150
 *
 * The processors that stop here have two ports for 512-bit arithmetic and need both for the multiply-adds, so widening
 * must cost few instructions: of B a shift and a mask give 16 columns of the even and of the odd k; of A a unit of
 * eight rows is widened at once, four units ahead, into memory from where loads broadcast it. That is 38 instructions
 * for 32 multiply-adds, where widening each row of A after its broadcast takes 52.
 */
#include "kernel/gemm_kernels.h"

#include <immintrin.h>

#include "kernel/tile_8x32.h"

enum { M = 8, N = 32, UNIT = 2, AHEAD = 4 };

static const int32_t odd_half = (int32_t)0xffff0000;

/* One unit of A, [row][k], to f32, [k][row]. */
static inline void widen(float *wide, const uint16_t *a)
{
    const __m256i pairs = _mm256_loadu_si256((const __m256i *)a);
    _mm256_store_ps(wide, _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)));
    _mm256_store_ps(wide + M, _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(odd_half))));
}

static inline void add_step(__m512 sum[2], float a, const __m512 b[2])
{
    sum[0] = _mm512_fmadd_ps(_mm512_set1_ps(a), b[0], sum[0]);
    sum[1] = _mm512_fmadd_ps(_mm512_set1_ps(a), b[1], sum[1]);
}

static inline void add_unit(__m512 sums[M][2], const float *wide, const uint16_t *b)
{
    const __m512i left = _mm512_loadu_si512(b), right = _mm512_loadu_si512(b + N), mask = _mm512_set1_epi32(odd_half);
    const __m512 even[2] = {_mm512_castsi512_ps(_mm512_slli_epi32(left, 16)),
                            _mm512_castsi512_ps(_mm512_slli_epi32(right, 16))};
    const __m512 odd[2] = {_mm512_castsi512_ps(_mm512_and_si512(left, mask)),
                           _mm512_castsi512_ps(_mm512_and_si512(right, mask))};
#define ADD_EVEN(i) add_step(sums[i], wide[i], even);
    DITHER_EIGHT_ROWS(ADD_EVEN)
#define ADD_ODD(i) add_step(sums[i], wide[M + (i)], odd);
    DITHER_EIGHT_ROWS(ADD_ODD)
}

static void tile_f32(const dither_tile *t)
{
    const uint16_t *a = t->a, *b = t->b;
    const size_t units = t->k / UNIT, first = units < AHEAD ? units : AHEAD;
    _Alignas(64) float wide[AHEAD][UNIT * M];
    for (size_t u = 0; u < first; u++, a += M * UNIT)
        widen(wide[u], a);
    __m512 sums[M][2];
#define CLEAR(i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
    DITHER_EIGHT_ROWS(CLEAR)
    size_t u = 0;
    for (; u < units - first; u++, a += M * UNIT, b += N * UNIT) {
        add_unit(sums, wide[u % AHEAD], b);
        widen(wide[u % AHEAD], a);
    }
    for (; u < units; u++, b += N * UNIT)
        add_unit(sums, wide[u % AHEAD], b);
    dither_store_8x32(t, (const __m512(*)[2])sums);
}

const dither_gemm_kernel dither_gemm_bf16_avx512 = {
    .isa = "avx512",
    .needs = DITHER_CPU_AVX512,
    .element = DITHER_ELEMENT_BF16,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT},
    .b = {.panel = N, .unit = UNIT},
    .f32 = tile_f32,
};
