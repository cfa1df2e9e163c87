/* The loops of repeat_rows.h in what every processor of the architecture has: SSE2, NEON. */
#define DITHER_REPEAT_NAME  dither_repeat_rows_ref
#define DITHER_REPEAT_ISA   "ref"
#define DITHER_REPEAT_NEEDS 0
#include "kernel/repeat_rows_body.h"
