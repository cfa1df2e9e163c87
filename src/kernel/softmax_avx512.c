/* Attention's row loops, compiled for AVX-512. */
#define DITHER_SOFTMAX_THIS dither_softmax_avx512
#define DITHER_SOFTMAX_ISA "avx512"
#define DITHER_SOFTMAX_NEEDS (DITHER_CPU_AVX512)
#include "kernel/softmax_body.h"
