/* What a processor's features make of the tables of kernels, for people. */
#include "dither/cpu.h"
#include "kernel/gemm_f32_kernel.h"
#include "kernel/gemm_kernel.h"
#include "kernel/quantize_rows.h"
#include "kernel/rows.h"
#include "kernel/softmax.h"
#include "quant/block_decode.h"

bool dither_cpu_kernel_at(const dither_cpu *cpu, size_t index, dither_cpu_kernel *kernel)
{
    const uint32_t features = cpu->features;
    const size_t large = 1024;
    const dither_cpu_kernel kernels[] = {
        {"s8 products", dither_gemm_select(DITHER_ELEMENT_S8, features, 0)->isa},
        {"bf16 products", dither_gemm_select(DITHER_ELEMENT_BF16, features, 0)->isa},
        {"f32 products", dither_gemm_f32_select(features, DITHER_GEMM_NT, large, large, large)->isa},
        {"quantizers", dither_quantize_rows_select(features)->isa},
        {"attention", dither_softmax_select(features)->isa},
        {"other passes", dither_rows_select(features)->isa},
        {"GGUF blocks", dither_block_decoders_select(features)->isa},
    };
    if (index >= sizeof kernels / sizeof kernels[0])
        return false;
    *kernel = kernels[index];
    return true;
}
