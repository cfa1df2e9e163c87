/* The decoders of block.h, compiled once for each instruction set: the same bits from all of them. */
#ifndef DITHER_QUANT_BLOCK_DECODE_H
#define DITHER_QUANT_BLOCK_DECODE_H

#include "quant/block.h"

typedef struct dither_block_decoders {
    const char *isa;
    uint32_t needs; /* features of the processor, dither/cpu.h */
    void (*decode[DITHER_BLOCK_TYPES])(size_t blocks, const unsigned char *restrict at, float *restrict x);
} dither_block_decoders;

/** Fastest first, the portable one last; NULL beyond. */
const dither_block_decoders *dither_block_decoders_at(size_t index);
/** The first that these features allow. */
const dither_block_decoders *dither_block_decoders_select(uint32_t features);

#endif
