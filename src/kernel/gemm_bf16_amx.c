/*
 * bf16 x bf16 -> f32 with TDPBF16PS: 16 x 16 sums of 32 products in 16 cycles.
 *
 * Order of a sum: each 32 k's by themselves, the even ones from 0 with fused multiply-adds in their order, the odd ones
 * likewise, then even + odd; these sums of 32 are added one after the other (TDPBF16PS in Intel's instruction set
 * reference). All roundings are to nearest even; denormal factors count as 0, results below 2^-126 become 0, and no
 * control register matters. With K k's in S = ceil(K / 32) steps, e = 2^-126:
 *
 *     |sum - exact| <= gamma_(17 + S) sum |a b| + (K + 2 S) e + sum of |a b| over the terms with a denormal factor
 */
#include "kernel/gemm_kernels.h"

#include "kernel/tiles_amx.h"

static void bf16_f32(const dither_tile *t)
{
    _Alignas(64) float sums[BLOCK_M][BLOCK_N];
    tiles_configure();
    tiles_zero();
    tiles_add_products(t, DITHER_ELEMENT_BF16);
    tiles_store(sums, BLOCK_N);
    block_store(t, sums, DITHER_ELEMENT_BF16);
}

const dither_gemm_kernel dither_gemm_bf16_amx = {
    .isa = "amx",
    .needs = DITHER_CPU_AVX512 | DITHER_CPU_AMX_BF16,
    .element = DITHER_ELEMENT_BF16,
    .m = BLOCK_M,
    .n = BLOCK_N,
    .k_step = 32,
    .a = {.panel = BLOCK_M, .unit = 32},
    .b = {.panel = BLOCK_N, .unit = 2},
    .f32 = bf16_f32,
};
