/* The decoders of blocks in what every processor of the architecture has: SSE2, NEON. */
#define DITHER_DECODERS_NAME  dither_block_decoders_ref
#define DITHER_DECODERS_ISA   "ref"
#define DITHER_DECODERS_NEEDS 0
#include "quant/block_decode_body.h"
