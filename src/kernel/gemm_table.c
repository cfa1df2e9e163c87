/* The table of microkernels, fastest first within an element, portable C last. A new kernel is a row here. */
#include "kernel/gemm_kernels.h"

static const dither_gemm_kernel *const kernels[] = {
#if defined(__x86_64__)
    &dither_gemm_s8_amx,
    &dither_gemm_bf16_amx,
    &dither_gemm_s8_avx512vnni,
    &dither_gemm_s8_avxvnni,
    &dither_gemm_s8_avx2,
    &dither_gemm_bf16_avx512bf16,
    &dither_gemm_bf16_avx512,
    &dither_gemm_bf16_avx2,
#elif defined(__aarch64__)
    &dither_gemm_s8_i8mm, &dither_gemm_s8_dotprod, &dither_gemm_s8_neon,
    &dither_gemm_bf16_armbf16, &dither_gemm_bf16_neon,
#endif
    &dither_gemm_s8_ref, &dither_gemm_bf16_ref,
};

const dither_gemm_kernel *dither_gemm_kernel_at(size_t index)
{
    return index < sizeof kernels / sizeof kernels[0] ? kernels[index] : NULL;
}

const dither_gemm_kernel *dither_gemm_select(dither_element element, uint32_t features, size_t group)
{
    for (size_t i = 0;; i++) {
        const dither_gemm_kernel *kernel = kernels[i];
        if (kernel->element == element && (kernel->needs & features) == kernel->needs && group % kernel->k_step == 0)
            return kernel;
    }
}
