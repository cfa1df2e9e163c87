/* The table of microkernels, fastest first within an element, portable C last. A new kernel is a row here. */
#include "kernel/gemm_kernels.h"

static const dither_gemm_kernel *const kernels[] = {
#if defined(__x86_64__)
#elif defined(__aarch64__)
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
