/* One line: the level of this processor, DITHER_CPU heeded, and the kernels that it chooses. */
#include <stdio.h>

#include "kernel/gemm_kernel.h"

int main(void)
{
    const dither_cpu *cpu = dither_cpu_active();
    printf("level %s, s8 %s, bf16 %s\n", cpu->level != NULL ? cpu->level : "none",
           dither_gemm_select(DITHER_ELEMENT_S8, cpu->features, 0)->isa,
           dither_gemm_select(DITHER_ELEMENT_BF16, cpu->features, 0)->isa);
    return 0;
}
