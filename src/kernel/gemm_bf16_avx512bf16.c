/*
 * bf16 x bf16 -> f32 with VDPBF16PS: 16 registers of sums, one dot product of two k's into each of them a unit.
 *
 * Order of a sum: k = 1, 0, 3, 2, 5, 4, ...: within a unit the odd k first, each product added with one rounding to
 * nearest (VDPBF16PS in Intel's instruction set reference); a processor that rounds the pair's sum in between keeps the
 * bound below as well. The instruction takes denormals for 0, rounds results below 2^-126 to 0, and looks at no control
 * register. With K k's, e = 2^-126:
 *
 *     |sum - exact| <= gamma_K sum |a b| + K e + sum of |a b| over the terms with a denormal factor
 *
 * Tile: 8 x 32 divides every usual side, 64 of attention's blocks among them; 16 sums hide the latency of 6, and 10
 * loads feed 16 dot products, 160 bytes in 16 cycles, which a second-level cache delivers. Larger tiles gain nothing.
 */
#include "kernel/gemm_kernels.h"

#include <immintrin.h>
#include <string.h>

#include "kernel/tile_8x32.h"

enum { M = 8, N = 32, UNIT = 2 };

/* Two k's of one row of A, for all columns. */
static inline __m512bh pair(const uint16_t *a)
{
    int32_t both;
    memcpy(&both, a, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

static inline void add_pair(__m512 sum[2], __m512bh a, const __m512bh b[2])
{
    sum[0] = _mm512_dpbf16_ps(sum[0], a, b[0]);
    sum[1] = _mm512_dpbf16_ps(sum[1], a, b[1]);
}

static void tile_f32(const dither_tile *t)
{
    const uint16_t *a = t->a, *b = t->b;
    __m512 sums[M][2];
#define CLEAR(i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
    DITHER_EIGHT_ROWS(CLEAR)
    for (size_t k = 0; k < t->k; k += UNIT, a += M * UNIT, b += N * UNIT) {
        const __m512bh columns[2] = {(__m512bh)_mm512_loadu_si512(b), (__m512bh)_mm512_loadu_si512(b + N)};
#define ADD(i) add_pair(sums[i], pair(a + (i) * UNIT), columns);
        DITHER_EIGHT_ROWS(ADD)
    }
    dither_store_8x32(t, (const __m512(*)[2])sums);
}

const dither_gemm_kernel dither_gemm_bf16_avx512bf16 = {
    .isa = "avx512bf16",
    .needs = DITHER_CPU_AVX512 | DITHER_CPU_AVX512_BF16,
    .element = DITHER_ELEMENT_BF16,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT},
    .b = {.panel = N, .unit = UNIT},
    .f32 = tile_f32,
};
