/*
 * bf16 x bf16 -> f32 on AVX2 and FMA: values widened to f32, which is exact, then fused multiply-adds.
 *
 * Order of a sum: k ascending, one rounding a step, denormals kept. With K k's:
 *
 *     |sum - exact| <= gamma_K sum |a b| + K 2^-150
 *
 * Of 16 registers 12 hold sums. Widening in registers would need more than the four that are left, so A is widened a
 * unit at once, four units ahead, into memory from where loads broadcast it; of B a shift and a mask give eight columns
 * of the even and of the odd k. Six rows leave no usual side with more than 3 % of padding from 64 on.
 */
#include "kernel/gemm_kernels.h"

#include <immintrin.h>

enum { M = 6, N = 16, UNIT = 2, AHEAD = 4, ROOM = 8 /* for the rows of a k, widened */ };

/* A list instead of a loop: compilers that leave the loop a loop put the sums into memory. */
#define ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5)

static const int32_t odd_half = (int32_t)0xffff0000;

/* One unit of A, [row][k], to f32, [k][row]; no byte behind its 24 is read. */
static inline void widen(float *wide, const uint16_t *a)
{
    const __m128i four = _mm_loadu_si128((const __m128i *)a), two = _mm_loadl_epi64((const __m128i *)(a + 4 * UNIT));
    const __m128i mask = _mm_set1_epi32(odd_half);
    _mm_store_si128((__m128i *)wide, _mm_slli_epi32(four, 16));
    _mm_store_si128((__m128i *)(wide + ROOM), _mm_and_si128(four, mask));
    _mm_storel_epi64((__m128i *)(wide + 4), _mm_slli_epi32(two, 16));
    _mm_storel_epi64((__m128i *)(wide + ROOM + 4), _mm_and_si128(two, mask));
}

static inline __m256 even_of(const uint16_t *b)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)b), 16));
}

static inline __m256 odd_of(const uint16_t *b)
{
    const __m256i mask = _mm256_set1_epi32(odd_half);
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256((const __m256i *)b), mask));
}

static inline void add_step(__m256 sum[2], float a, const __m256 b[2])
{
    sum[0] = _mm256_fmadd_ps(_mm256_set1_ps(a), b[0], sum[0]);
    sum[1] = _mm256_fmadd_ps(_mm256_set1_ps(a), b[1], sum[1]);
}

static inline void add_unit(__m256 sums[M][2], const float *wide, const uint16_t *b)
{
    const __m256 even[2] = {even_of(b), even_of(b + N)};
#define ADD_EVEN(i) add_step(sums[i], wide[i], even);
    ROWS(ADD_EVEN)
    const __m256 odd[2] = {odd_of(b), odd_of(b + N)};
#define ADD_ODD(i) add_step(sums[i], wide[ROOM + (i)], odd);
    ROWS(ADD_ODD)
}

/* One row: (c[j]) + sum[j] * (a_scale * b_scale[j]), every operation rounded. */
static inline void store_row(float *c, bool accumulate, const __m256 sum[2], float a_scale, const __m256 b_scale[2])
{
    const __m256 scale = _mm256_set1_ps(a_scale);
    __m256 left = _mm256_mul_ps(sum[0], _mm256_mul_ps(scale, b_scale[0]));
    __m256 right = _mm256_mul_ps(sum[1], _mm256_mul_ps(scale, b_scale[1]));
    if (accumulate) {
        left = _mm256_add_ps(_mm256_loadu_ps(c), left);
        right = _mm256_add_ps(_mm256_loadu_ps(c + 8), right);
    }
    _mm256_storeu_ps(c, left);
    _mm256_storeu_ps(c + 8, right);
}

static inline void store(const dither_tile *t, const __m256 sums[M][2])
{
    const __m256 b_scale[2] = {_mm256_loadu_ps(t->b_scale), _mm256_loadu_ps(t->b_scale + 8)};
    float *c = t->c;
    if (t->accumulate) {
#define ADD_ROW(i) store_row(c + i * t->stride, true, sums[i], t->a_scale[i], b_scale);
        ROWS(ADD_ROW)
    } else {
#define PUT_ROW(i) store_row(c + i * t->stride, false, sums[i], t->a_scale[i], b_scale);
        ROWS(PUT_ROW)
    }
}

static void tile_f32(const dither_tile *t)
{
    const uint16_t *a = t->a, *b = t->b;
    const size_t units = t->k / UNIT, first = units < AHEAD ? units : AHEAD;
    _Alignas(64) float wide[AHEAD][UNIT * ROOM];
    for (size_t u = 0; u < first; u++, a += M * UNIT)
        widen(wide[u], a);
    __m256 sums[M][2];
#define CLEAR(i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
    ROWS(CLEAR)
    size_t u = 0;
    for (; u < units - first; u++, a += M * UNIT, b += N * UNIT) {
        add_unit(sums, wide[u % AHEAD], b);
        widen(wide[u % AHEAD], a);
    }
    for (; u < units; u++, b += N * UNIT)
        add_unit(sums, wide[u % AHEAD], b);
    store(t, (const __m256(*)[2])sums);
}

const dither_gemm_kernel dither_gemm_bf16_avx2 = {
    .isa = "avx2",
    .needs = DITHER_CPU_AVX2 | DITHER_CPU_FMA,
    .element = DITHER_ELEMENT_BF16,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT},
    .b = {.panel = N, .unit = UNIT},
    .f32 = tile_f32,
};
