/*
 * s8 x s8 -> s32 with SDOT: 16 registers of sums, each four columns of one row. A unit holds four k's, so one register
 * of A holds four rows of it, and SDOT takes one of its lanes for all columns.
 *
 * Tile: 8 x 8 divides every usual side, 64 of attention's blocks among them; 16 sums hide the latency of three or four
 * at four SDOT a cycle, and 4 loads feed 16 of them.
 */
#include "kernel/gemm_kernels.h"

#include "kernel/neon_quad.h"

enum { M = 8, N = 8, UNIT = 4 };

/* sums[i][h] = sum over k of a[i][k] b[4 h + 0..3][k] */
static inline void multiply(const dither_tile *t, int32x4_t sums[M][2])
{
    const int8_t *a = t->a, *b = t->b;
#define CLEAR(i) sums[i][0] = sums[i][1] = vdupq_n_s32(0);
    DITHER_EIGHT(CLEAR)
    for (size_t k = 0; k < t->k; k += UNIT, a += M * UNIT, b += N * UNIT) {
        const int8x16_t top = vld1q_s8(a), bottom = vld1q_s8(a + 16), left = vld1q_s8(b), right = vld1q_s8(b + 16);
#define LANE(i)                                                        \
    sums[i][0] = vdotq_laneq_s32(sums[i][0], left, top, i);            \
    sums[i][1] = vdotq_laneq_s32(sums[i][1], right, top, i);           \
    sums[4 + i][0] = vdotq_laneq_s32(sums[4 + i][0], left, bottom, i); \
    sums[4 + i][1] = vdotq_laneq_s32(sums[4 + i][1], right, bottom, i);
        DITHER_FOUR(LANE)
    }
}

static void tile_f32(const dither_tile *t)
{
    const dither_tile at = *t;
    int32x4_t sums[M][2];
    multiply(t, sums);
#define STORE_F32(i)                                       \
    dither_quad_f32(&at, i, 0, vcvtq_f32_s32(sums[i][0])); \
    dither_quad_f32(&at, i, 4, vcvtq_f32_s32(sums[i][1]));
    DITHER_EIGHT(STORE_F32)
}

static void tile_s32(const dither_tile *t)
{
    const dither_tile at = *t;
    int32x4_t sums[M][2];
    multiply(t, sums);
#define STORE_S32(i)                        \
    dither_quad_s32(&at, i, 0, sums[i][0]); \
    dither_quad_s32(&at, i, 4, sums[i][1]);
    DITHER_EIGHT(STORE_S32)
}

const dither_gemm_kernel dither_gemm_s8_dotprod = {
    .isa = "dotprod",
    .needs = DITHER_CPU_NEON | DITHER_CPU_DOTPROD,
    .element = DITHER_ELEMENT_S8,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT},
    .b = {.panel = N, .unit = UNIT},
    .f32 = tile_f32,
    .s32 = tile_s32,
};
