/* The rows in what every processor of the architecture has: SSE2, NEON. What the other ones must equal, bit for bit. */
#define DITHER_ROWS_NAME  dither_rows_ref
#define DITHER_ROWS_ISA   "ref"
#define DITHER_ROWS_NEEDS 0
#include "kernel/rows_body.h"
