/* What the instruction sets have to read stored blocks with, and what their loops share. */
#ifndef DITHER_KERNEL_BLOCK_DOTS_H
#define DITHER_KERNEL_BLOCK_DOTS_H

#include <string.h>

#include "kernel/block_dot.h"
#include "kernel/lanes.h"

#if defined(__x86_64__)
extern const dither_block_dots dither_block_dots_avx512, dither_block_dots_avx2;
#endif
extern const dither_block_dots dither_block_dots_ref;

enum { DITHER_DOT_BLOCK = 32 }; /* values of a turn of the loops: a block, or as many single values */

static inline uint16_t dither_dot_u16(const unsigned char *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* What is left of a row of single values behind its last whole turn, fewer than one. @param lanes  the sums so far */
static inline float dither_dot_rest(dither_block_type type, size_t n, const unsigned char *blocks, const float *x,
                                    float *lanes)
{
    float rest[DITHER_DOT_BLOCK];
    dither_block_decode(type, n, blocks, rest);
    for (size_t i = 0; i < n; i++)
        lanes[i % DITHER_LANES] += rest[i] * x[i];
    return dither_lanes_sum(lanes);
}

#endif
