/* The loops of repeat_rows.h in AVX-512. */
#define DITHER_REPEAT_NAME  dither_repeat_rows_avx512
#define DITHER_REPEAT_ISA   "avx512"
#define DITHER_REPEAT_NEEDS (DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C | DITHER_CPU_AVX512)
#include "kernel/repeat_rows_body.h"
