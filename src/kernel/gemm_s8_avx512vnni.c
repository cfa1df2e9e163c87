/*
 * s8 x s8 -> s32 with AVX-512 VNNI. VPDPBUSD multiplies unsigned by signed bytes, so A is stored as code + 128 and
 * every sum starts at -128 sum_k b[j][k]; lanes wrap modulo 2^32, so what comes out is exact whatever happened on the
 * way.
 *
 * The tile of 6 x 64 keeps 24 sums, 4 vectors of B and one of A in registers: 24 multiplications for 10 loads. Rows of
 * four whole cache lines are also kind to C, whose rows in a wide matrix compete for few sets of the L1 cache.
 */
#include "kernel/gemm_kernels.h"

#include <immintrin.h>
#include <string.h>

enum { M = 6, V = 4, LANES = 16, N = V * LANES, UNIT = 4 };

/*
 * Sums are of this type, not __m512i: gcc 12 takes the lanes of an intrinsic's result and the __m512i that goes round
 * the loop for two values, gives each a register and runs out of them.
 */
typedef int32_t s32x16 __attribute__((vector_size(64)));

static inline __m512i broadcast(const uint8_t *unit)
{
    int32_t codes;
    memcpy(&codes, unit, sizeof codes);
    return _mm512_set1_epi32(codes);
}

/* C is read or written only at the end; far rows arrive until then. */
static inline void prefetch_c(const dither_tile *t)
{
    const int32_t *c = t->c;
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++)
#pragma GCC unroll 8
        for (size_t v = 0; v < V; v++)
            _mm_prefetch((const char *)(c + i * t->stride + v * LANES), _MM_HINT_T0);
}

__attribute__((always_inline)) static inline void multiply(const dither_tile *t, s32x16 sum[M][V])
{
    prefetch_c(t);
#pragma GCC unroll 8
    for (size_t v = 0; v < V; v++) {
        const __m512i offset = _mm512_slli_epi32(_mm512_loadu_si512(t->sums + v * LANES), 7);
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++)
            sum[i][v] = (s32x16)_mm512_sub_epi32(_mm512_setzero_si512(), offset);
    }
    const uint8_t *a = t->a;
    const int8_t *b = t->b;
    size_t units = t->k / UNIT;
    do {
        __m512i column[V];
#pragma GCC unroll 8
        for (size_t v = 0; v < V; v++)
            column[v] = _mm512_loadu_si512(b + v * LANES * UNIT);
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++) {
            const __m512i row = broadcast(a + i * UNIT);
#pragma GCC unroll 8
            for (size_t v = 0; v < V; v++)
                sum[i][v] = (s32x16)_mm512_dpbusd_epi32((__m512i)sum[i][v], row, column[v]);
        }
        a += M * UNIT;
        b += N * UNIT;
    } while (--units);
}

static void tile_s32(const dither_tile *t)
{
    s32x16 sum[M][V];
    multiply(t, sum);
    int32_t *c = t->c;
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++, c += t->stride) {
#pragma GCC unroll 8
        for (size_t v = 0; v < V; v++) {
            __m512i value = (__m512i)sum[i][v];
            if (t->accumulate)
                value = _mm512_add_epi32(_mm512_loadu_si512(c + v * LANES), value);
            _mm512_storeu_si512(c + v * LANES, value);
        }
    }
}

/* c[i][j] (+)= (float)sum[i][j] * (a_scale[i] * b_scale[j]) */
__attribute__((always_inline)) static inline void store_f32(const dither_tile *t, s32x16 sum[M][V], bool accumulate)
{
    __m512 b_scale[V];
#pragma GCC unroll 8
    for (size_t v = 0; v < V; v++)
        b_scale[v] = _mm512_loadu_ps(t->b_scale + v * LANES);
    float *c = t->c;
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++, c += t->stride) {
        const __m512 a_scale = _mm512_set1_ps(t->a_scale[i]);
#pragma GCC unroll 8
        for (size_t v = 0; v < V; v++) {
            const __m512 scale = _mm512_mul_ps(a_scale, b_scale[v]);
            __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps((__m512i)sum[i][v]), scale);
            if (accumulate)
                value = _mm512_add_ps(_mm512_loadu_ps(c + v * LANES), value);
            _mm512_storeu_ps(c + v * LANES, value);
        }
    }
}

static void tile_f32(const dither_tile *t)
{
    s32x16 sum[M][V];
    multiply(t, sum);
    if (t->accumulate)
        store_f32(t, sum, true);
    else
        store_f32(t, sum, false);
}

static void sum_panel(size_t k, const void *panel, int32_t *sums)
{
    const int8_t *b = panel;
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum[V] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (size_t p = 0; p < k; p += UNIT, b += N * UNIT)
        for (size_t v = 0; v < V; v++)
            sum[v] = _mm512_dpbusd_epi32(sum[v], ones, _mm512_loadu_si512(b + v * LANES * UNIT));
    for (size_t v = 0; v < V; v++)
        _mm512_storeu_si512(sums + v * LANES, sum[v]);
}

const dither_gemm_kernel dither_gemm_s8_avx512vnni = {
    .isa = "avx512vnni",
    .needs = DITHER_CPU_AVX512 | DITHER_CPU_AVX512_VNNI,
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
