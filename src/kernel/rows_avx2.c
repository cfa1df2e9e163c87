/* The rows in AVX2. */
#define DITHER_ROWS_NAME  dither_rows_avx2
#define DITHER_ROWS_ISA   "avx2"
#define DITHER_ROWS_NEEDS (DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C)
#include "kernel/rows_body.h"
