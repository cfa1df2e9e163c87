/* Every microkernel by name: for the table and for the tests. Which are there depends on the architecture built for. */
#ifndef DITHER_KERNEL_GEMM_KERNELS_H
#define DITHER_KERNEL_GEMM_KERNELS_H

#include "kernel/gemm_kernel.h"

extern const dither_gemm_kernel dither_gemm_s8_ref, dither_gemm_bf16_ref;

#if defined(__x86_64__)
extern const dither_gemm_kernel dither_gemm_s8_amx, dither_gemm_s8_avx512vnni, dither_gemm_s8_avxvnni,
    dither_gemm_s8_avx2;
extern const dither_gemm_kernel dither_gemm_bf16_amx, dither_gemm_bf16_avx512bf16, dither_gemm_bf16_avx512,
    dither_gemm_bf16_avx2;
#elif defined(__aarch64__)
extern const dither_gemm_kernel dither_gemm_s8_i8mm, dither_gemm_s8_dotprod, dither_gemm_s8_neon;
extern const dither_gemm_kernel dither_gemm_bf16_armbf16, dither_gemm_bf16_neon;
#endif

#endif
