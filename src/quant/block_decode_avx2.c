/* The decoders of blocks in AVX2. */
#define DITHER_DECODERS_NAME  dither_block_decoders_avx2
#define DITHER_DECODERS_ISA   "avx2"
#define DITHER_DECODERS_NEEDS (DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C)
#include "quant/block_decode_body.h"
