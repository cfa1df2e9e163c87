/* Attention's row loops, compiled for AVX2. */
#define DITHER_SOFTMAX_THIS dither_softmax_avx2
#define DITHER_SOFTMAX_ISA "avx2"
#define DITHER_SOFTMAX_NEEDS (DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C)
#include "kernel/softmax_body.h"
