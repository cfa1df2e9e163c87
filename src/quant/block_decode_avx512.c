/* The decoders of blocks in AVX-512. */
#define DITHER_DECODERS_NAME  dither_block_decoders_avx512
#define DITHER_DECODERS_ISA   "avx512"
#define DITHER_DECODERS_NEEDS (DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C | DITHER_CPU_AVX512)
#include "quant/block_decode_body.h"
