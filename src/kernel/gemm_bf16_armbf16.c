/*
 * bf16 x bf16 -> f32 with BFMMLA: one instruction multiplies two rows of A by two of B over a unit of four k's and adds
 * the 2 x 2 products to one register, {c00, c01, c10, c11}.
 *
 * Order of a sum: unit by unit, ((sum + (a0 b0 + a1 b1)) + (a2 b2 + a3 b3)). The products are exact. Each of the four
 * additions rounds to odd, takes denormals for 0 and makes 0 of results below 2^-126, whatever FPCR says, its bit EBF
 * apart, which Linux starts programs without (BFMMLA in the Arm Architecture Reference Manual, DDI 0487). Rounding to
 * odd errs by less than a unit in the last place, twice as much as rounding to nearest, but a product passes through
 * K / 2 + 1 additions only. With K k's, u = 2^-24, e = 2^-126:
 *
 *     |sum - exact| <= gamma_(K + 2) sum |a b| + 2 K e + sum of |a b| over the terms with a denormal factor
 *
 * With FPCR.EBF each pair of products is summed with one rounding of FPCR's own, within the same bound.
 *
 * Tile: 8 x 8 divides every usual side; its 16 sums hide a latency of five at three BFMMLA a cycle, and 8 loads feed 16
 * of them.
 */
#include "kernel/gemm_kernels.h"

#include "kernel/neon_quad.h"

enum { M = 8, N = 8, UNIT = 4 };

/* Two rows of a unit. The values lie in memory as uint16_t. */
static inline bfloat16x8_t pair_at(const uint16_t *bits)
{
    return vreinterpretq_bf16_u16(vld1q_u16(bits));
}

/* The upper or the lower rows of two neighbouring blocks. */
static inline float32x4_t upper(float32x4_t left, float32x4_t right)
{
    return vcombine_f32(vget_low_f32(left), vget_low_f32(right));
}

static inline float32x4_t lower(float32x4_t left, float32x4_t right)
{
    return vcombine_f32(vget_high_f32(left), vget_high_f32(right));
}

static void tile_f32(const dither_tile *t)
{
    const dither_tile at = *t;
    const uint16_t *a = t->a, *b = t->b;
    float32x4_t blocks[M / 2][N / 2]; /* [p][q]: rows 2 p, 2 p + 1 by columns 2 q, 2 q + 1 */
#define CLEAR(p) blocks[p][0] = blocks[p][1] = blocks[p][2] = blocks[p][3] = vdupq_n_f32(0);
    DITHER_FOUR(CLEAR)
    for (size_t k = 0; k < t->k; k += UNIT, a += M * UNIT, b += N * UNIT) {
        const bfloat16x8_t y[N / 2] = {pair_at(b), pair_at(b + 8), pair_at(b + 16), pair_at(b + 24)};
#define PAIR(p)                                             \
    {                                                       \
        const bfloat16x8_t x = pair_at(a + 8 * p);          \
        blocks[p][0] = vbfmmlaq_f32(blocks[p][0], x, y[0]); \
        blocks[p][1] = vbfmmlaq_f32(blocks[p][1], x, y[1]); \
        blocks[p][2] = vbfmmlaq_f32(blocks[p][2], x, y[2]); \
        blocks[p][3] = vbfmmlaq_f32(blocks[p][3], x, y[3]); \
    }
        DITHER_FOUR(PAIR)
    }
#define STORE(p)                                                           \
    dither_quad_f32(&at, 2 * p, 0, upper(blocks[p][0], blocks[p][1]));     \
    dither_quad_f32(&at, 2 * p, 4, upper(blocks[p][2], blocks[p][3]));     \
    dither_quad_f32(&at, 2 * p + 1, 0, lower(blocks[p][0], blocks[p][1])); \
    dither_quad_f32(&at, 2 * p + 1, 4, lower(blocks[p][2], blocks[p][3]));
    DITHER_FOUR(STORE)
}

const dither_gemm_kernel dither_gemm_bf16_armbf16 = {
    .isa = "armbf16",
    .needs = DITHER_CPU_NEON | DITHER_CPU_BF16,
    .element = DITHER_ELEMENT_BF16,
    .m = M,
    .n = N,
    .k_step = UNIT,
    .a = {.panel = M, .unit = UNIT},
    .b = {.panel = N, .unit = UNIT},
    .f32 = tile_f32,
};
