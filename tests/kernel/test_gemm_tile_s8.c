/*
 * Every s8 microkernel that this processor runs, one tile at a time: s32 against a plain triple loop byte for byte, f32
 * to the bit against the formula in gemm_kernel.h, with every operand next to a page that may not be touched.
 */
#include "dither/cpu.h"
#include "kernel/gemm_kernels.h"

#include "guarded.h"
#include "layer_check.h"

/*
 * AVX-VNNI is on few processors. Its kernel is also compiled here for AVX-512 VNNI, whose VPDPBUSD on 256 bits does the
 * same; only the encoding stays untried.
 */
#if defined(__x86_64__)
#include <immintrin.h>
#define DITHER_VPDPBUSD _mm256_dpbusd_epi32
#define dither_gemm_s8_avxvnni avxvnni_on_avx512
#define __AVX2__ 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,avx512vl,avx512vnni")
#endif
extern const dither_gemm_kernel avxvnni_on_avx512;
#include "kernel/gemm_s8_avxvnni.c"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
