/*
 * A row of stored blocks (quant/block.h), where it lies, times a vector. Writing one token costs reading the weights
 * once: it is memory that must be kept busy, and unpacking has to be faster than that.
 */
#ifndef DITHER_KERNEL_BLOCK_DOT_H
#define DITHER_KERNEL_BLOCK_DOT_H

#include "quant/block.h"

/** sum of w[i] x[i]: the very bits of dither_lanes_dot on what dither_block_decode gives. */
typedef float dither_block_dot_fn(size_t n, const unsigned char *blocks, const float *x);

typedef struct dither_block_dots {
    const char *isa;
    uint32_t needs;                               /* DITHER_CPU_* */
    dither_block_dot_fn *dot[DITHER_BLOCK_TYPES]; /* NULL: rows of this type are decoded first */
} dither_block_dots;

const dither_block_dots *dither_block_dots_select(uint32_t features);
/** Those of this processor, as DITHER_CPU lowers it. */
const dither_block_dots *dither_block_dots_active(void);
/** All that this program was built with, fastest first, portable C last. NULL past the end. */
const dither_block_dots *dither_block_dots_at(size_t index);

/**
 * @param n       a multiple of the type's block
 * @param blocks  may be unaligned
 * @param values  [n] of scratch, for types that have no loop of their own
 */
float dither_block_dot(const dither_block_dots *dots, dither_block_type type, size_t n, const unsigned char *blocks,
                       const float *x, float *values);

#endif
