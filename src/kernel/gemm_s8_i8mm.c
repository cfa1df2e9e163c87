/*
 * s8 x s8 -> s32 with SMMLA: one instruction multiplies two rows of A by two of B over a unit of eight k's and adds the
 * 2 x 2 products to one register, {c00, c01, c10, c11}.
 *
 * Tile: 8 x 8 divides every usual side; its 16 sums hide a latency of three or four at four SMMLA a cycle, and 8 loads
 * feed 16 of them.
 */
#include "kernel/gemm_kernels.h"

#include "kernel/neon_quad.h"

enum { M = 8, N = 8, UNIT = 8 };

/* The upper or the lower rows of two neighbouring blocks. */
static inline int32x4_t upper(int32x4_t left, int32x4_t right)
{
    return vcombine_s32(vget_low_s32(left), vget_low_s32(right));
}

static inline int32x4_t lower(int32x4_t left, int32x4_t right)
{
    return vcombine_s32(vget_high_s32(left), vget_high_s32(right));
}

/* blocks[p][q] = rows 2 p, 2 p + 1 by columns 2 q, 2 q + 1 */
static inline void multiply(const dither_tile *t, int32x4_t blocks[M / 2][N / 2])
{
    const int8_t *a = t->a, *b = t->b;
#define CLEAR(p) blocks[p][0] = blocks[p][1] = blocks[p][2] = blocks[p][3] = vdupq_n_s32(0);
    DITHER_FOUR(CLEAR)
    for (size_t k = 0; k < t->k; k += UNIT, a += M * UNIT, b += N * UNIT) {
        const int8x16_t y[N / 2] = {vld1q_s8(b), vld1q_s8(b + 16), vld1q_s8(b + 32), vld1q_s8(b + 48)};
#define PAIR(p)                                           \
    {                                                     \
        const int8x16_t x = vld1q_s8(a + 16 * p);         \
        blocks[p][0] = vmmlaq_s32(blocks[p][0], x, y[0]); \
        blocks[p][1] = vmmlaq_s32(blocks[p][1], x, y[1]); \
        blocks[p][2] = vmmlaq_s32(blocks[p][2], x, y[2]); \
        blocks[p][3] = vmmlaq_s32(blocks[p][3], x, y[3]); \
    }
        DITHER_FOUR(PAIR)
    }
}

static void tile_f32(const dither_tile *t)
{
    const dither_tile at = *t;
    int32x4_t blocks[M / 2][N / 2];
    multiply(t, blocks);
#define STORE_F32(p)                                                                      \
    dither_quad_f32(&at, 2 * p, 0, vcvtq_f32_s32(upper(blocks[p][0], blocks[p][1])));     \
    dither_quad_f32(&at, 2 * p, 4, vcvtq_f32_s32(upper(blocks[p][2], blocks[p][3])));     \
    dither_quad_f32(&at, 2 * p + 1, 0, vcvtq_f32_s32(lower(blocks[p][0], blocks[p][1]))); \
    dither_quad_f32(&at, 2 * p + 1, 4, vcvtq_f32_s32(lower(blocks[p][2], blocks[p][3])));
    DITHER_FOUR(STORE_F32)
}

static void tile_s32(const dither_tile *t)
{
    const dither_tile at = *t;
    int32x4_t blocks[M / 2][N / 2];
    multiply(t, blocks);
#define STORE_S32(p)                                                       \
    dither_quad_s32(&at, 2 * p, 0, upper(blocks[p][0], blocks[p][1]));     \
    dither_quad_s32(&at, 2 * p, 4, upper(blocks[p][2], blocks[p][3]));     \
    dither_quad_s32(&at, 2 * p + 1, 0, lower(blocks[p][0], blocks[p][1])); \
    dither_quad_s32(&at, 2 * p + 1, 4, lower(blocks[p][2], blocks[p][3]));
    DITHER_FOUR(STORE_S32)
}

const dither_gemm_kernel dither_gemm_s8_i8mm = {
    .isa = "i8mm",
    .needs = DITHER_CPU_NEON | DITHER_CPU_I8MM,
    .element = DITHER_ELEMENT_S8,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT},
    .b = {.panel = N, .unit = UNIT},
    .f32 = tile_f32,
    .s32 = tile_s32,
};
