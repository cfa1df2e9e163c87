/*
 * s8 x s8 -> s32 with TDPBSSD, which takes both operands with their signs: 16 x 16 sums of 64 products in 16 cycles.
 *
 * A block of 32 x 32 is the largest square that leaves tiles for the operands. What f32 costs beside the products: 64
 * registers of sums through 4 KiB of stack, 64 conversions, 128 multiplications and 64 additions.
 */
#include "kernel/gemm_kernels.h"

#include "kernel/tiles_amx.h"

static void s8_s32(const dither_tile *t)
{
    tiles_configure();
    if (t->accumulate)
        tiles_load(t->c, t->stride);
    else
        tiles_zero();
    tiles_add_products(t, DITHER_ELEMENT_S8);
    tiles_store(t->c, t->stride);
}

static void s8_f32(const dither_tile *t)
{
    _Alignas(64) int32_t sums[BLOCK_M][BLOCK_N];
    tiles_configure();
    tiles_zero();
    tiles_add_products(t, DITHER_ELEMENT_S8);
    tiles_store(sums, BLOCK_N);
    block_store(t, sums, DITHER_ELEMENT_S8);
}

const dither_gemm_kernel dither_gemm_s8_amx = {
    .isa = "amx",
    .needs = DITHER_CPU_AVX512 | DITHER_CPU_AMX_INT8,
    .element = DITHER_ELEMENT_S8,
    .m = BLOCK_M,
    .n = BLOCK_N,
    .k_step = 64,
    .a = {.panel = BLOCK_M, .unit = 64},
    .b = {.panel = BLOCK_N, .unit = 4},
    .f32 = s8_f32,
    .s32 = s8_s32,
};
