/* Attention's row loops, compiled for AVX2. */
#include "kernel/softmax_body.h"

const dither_softmax dither_softmax_avx2 =
    DITHER_SOFTMAX_ENTRY("avx2", DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C);
