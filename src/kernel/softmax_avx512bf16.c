/* Attention's row loops, compiled for AVX-512 with its conversions to bf16. */
#include "kernel/softmax_body.h"

const dither_softmax dither_softmax_avx512bf16 =
    DITHER_SOFTMAX_ENTRY("avx512bf16", DITHER_CPU_AVX512 | DITHER_CPU_AVX512_BF16);
