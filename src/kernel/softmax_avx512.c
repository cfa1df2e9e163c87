/* Attention's row loops, compiled for AVX-512. */
#include "kernel/softmax_body.h"

const dither_softmax dither_softmax_avx512 = DITHER_SOFTMAX_ENTRY("avx512", DITHER_CPU_AVX512);
