/*
 * bf16 x bf16 -> f32 for every 64-bit Arm: values widen by a shift, and FMLA takes one lane of A for four columns.
 *
 * Order of a sum: k ascending, one rounding each. The product of two bf16 values is exact in f32, so FMLA rounds what a
 * multiplication and an addition round: the same bits as gemm_bf16_ref.c, unless a product is so small (below 2^-126)
 * or so large that it would have been rounded on its own.
 *
 * Tile: 8 x 8 divides every usual side; its 16 sums hide a latency of four at four FMLA a cycle, and 2 loads and 4
 * shifts feed 16 of them.
 */
#include "kernel/gemm_kernels.h"

#include "kernel/neon_quad.h"

enum { M = 8, N = 8 };

static inline float32x4_t widen_low(uint16x8_t bits)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(bits), 16));
}

static inline float32x4_t widen_high(uint16x8_t bits)
{
    return vreinterpretq_f32_u32(vshll_high_n_u16(bits, 16));
}

static void tile_f32(const dither_tile *t)
{
    const dither_tile at = *t;
    const uint16_t *a = t->a, *b = t->b;
    float32x4_t sums[M][2];
#define CLEAR(i) sums[i][0] = sums[i][1] = vdupq_n_f32(0);
    DITHER_EIGHT(CLEAR)
    for (size_t k = 0; k < t->k; k++, a += M, b += N) {
        const uint16x8_t rows = vld1q_u16(a), columns = vld1q_u16(b);
        const float32x4_t top = widen_low(rows), bottom = widen_high(rows);
        const float32x4_t left = widen_low(columns), right = widen_high(columns);
#define LANE(i)                                                        \
    sums[i][0] = vfmaq_laneq_f32(sums[i][0], left, top, i);            \
    sums[i][1] = vfmaq_laneq_f32(sums[i][1], right, top, i);           \
    sums[4 + i][0] = vfmaq_laneq_f32(sums[4 + i][0], left, bottom, i); \
    sums[4 + i][1] = vfmaq_laneq_f32(sums[4 + i][1], right, bottom, i);
        DITHER_FOUR(LANE)
    }
#define STORE(i)                            \
    dither_quad_f32(&at, i, 0, sums[i][0]); \
    dither_quad_f32(&at, i, 4, sums[i][1]);
    DITHER_EIGHT(STORE)
}

const dither_gemm_kernel dither_gemm_bf16_neon = {
    .isa = "neon",
    .needs = DITHER_CPU_NEON,
    .element = DITHER_ELEMENT_BF16,
    .m = M,
    .n = N,
    .k_step = 1,
    .a = {.panel = M, .unit = 1},
    .b = {.panel = N, .unit = 1},
    .f32 = tile_f32,
};
