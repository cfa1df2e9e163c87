/* The rows in AVX-512. */
#define DITHER_ROWS_NAME  dither_rows_avx512
#define DITHER_ROWS_ISA   "avx512"
#define DITHER_ROWS_NEEDS (DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C | DITHER_CPU_AVX512)
#include "kernel/rows_body.h"
