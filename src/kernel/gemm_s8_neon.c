/*
 * s8 x s8 -> s32 for every 64-bit Arm: 16 registers of sums, one for each element of C, four k's apart in its lanes.
 *
 * Codes are within +-127, so two products fit s16 (2 * 127^2 = 32258): SMULL and SMLAL2 make eight sums of two, SADALP
 * adds neighbours into s32. Three instructions for 16 multiply-adds, against four for SMLAL in s16 with the codes
 * widened beforehand; 8 loads feed 48 of them.
 */
#include "kernel/gemm_kernels.h"

#include "kernel/neon_quad.h"

enum { M = 4, N = 4, UNIT = 16 };

static inline int32x4_t dot(int32x4_t sum, int8x16_t a, int8x16_t b)
{
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    return vpadalq_s16(sum, vmlal_high_s8(low, a, b));
}

static inline int32x4_t across(const int32x4_t sums[N])
{
    return vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
}

/* rows[i][j] = sum over k of a[i][k] b[j][k] */
static inline void multiply(const dither_tile *t, int32x4_t rows[M])
{
    const int8_t *a = t->a, *b = t->b;
    int32x4_t sums[M][N];
#define CLEAR(i) sums[i][0] = sums[i][1] = sums[i][2] = sums[i][3] = vdupq_n_s32(0);
    DITHER_FOUR(CLEAR)
    for (size_t k = 0; k < t->k; k += UNIT, a += M * UNIT, b += N * UNIT) {
        int8x16_t x[M] = {vld1q_s8(a), vld1q_s8(a + UNIT), vld1q_s8(a + 2 * UNIT), vld1q_s8(a + 3 * UNIT)};
#define COLUMN(j)                                   \
    {                                               \
        const int8x16_t y = vld1q_s8(b + j * UNIT); \
        sums[0][j] = dot(sums[0][j], x[0], y);      \
        sums[1][j] = dot(sums[1][j], x[1], y);      \
        sums[2][j] = dot(sums[2][j], x[2], y);      \
        sums[3][j] = dot(sums[3][j], x[3], y);      \
    }
        COLUMN(0)
        COLUMN(1)
        /* Nothing, but it holds two columns back until two are done: all at once they need too many registers. */
        __asm__(""
                : "+w"(x[0]), "+w"(x[1]), "+w"(x[2]), "+w"(x[3])
                : "w"(sums[0][0]), "w"(sums[1][0]), "w"(sums[2][0]), "w"(sums[3][0]), "w"(sums[0][1]),
                  "w"(sums[1][1]), "w"(sums[2][1]), "w"(sums[3][1]));
        COLUMN(2)
        COLUMN(3)
    }
#define ACROSS(i) rows[i] = across(sums[i]);
    DITHER_FOUR(ACROSS)
}

static void tile_f32(const dither_tile *t)
{
    const dither_tile at = *t;
    int32x4_t rows[M];
    multiply(t, rows);
#define STORE_F32(i) dither_quad_f32(&at, i, 0, vcvtq_f32_s32(rows[i]));
    DITHER_FOUR(STORE_F32)
}

static void tile_s32(const dither_tile *t)
{
    const dither_tile at = *t;
    int32x4_t rows[M];
    multiply(t, rows);
#define STORE_S32(i) dither_quad_s32(&at, i, 0, rows[i]);
    DITHER_FOUR(STORE_S32)
}

const dither_gemm_kernel dither_gemm_s8_neon = {
    .isa = "neon",
    .needs = DITHER_CPU_NEON,
    .element = DITHER_ELEMENT_S8,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT},
    .b = {.panel = N, .unit = UNIT},
    .f32 = tile_f32,
    .s32 = tile_s32,
};
