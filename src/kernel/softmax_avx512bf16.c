/* Attention's row loops, compiled for AVX-512 with its conversions to bf16. */
#define DITHER_SOFTMAX_THIS dither_softmax_avx512bf16
#define DITHER_SOFTMAX_ISA "avx512bf16"
#define DITHER_SOFTMAX_NEEDS (DITHER_CPU_AVX512 | DITHER_CPU_AVX512_BF16)
#include "kernel/softmax_body.h"
