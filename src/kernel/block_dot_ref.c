/* Stored rows in portable C. What the other instruction sets must equal, bit for bit. */
#include "kernel/block_dots.h"

static float dot_f32(size_t n, const unsigned char *blocks, const float *x)
{
    float lanes[DITHER_LANES] = {0};
    for (; n >= DITHER_LANES; n -= DITHER_LANES, blocks += sizeof lanes, x += DITHER_LANES) {
        float w[DITHER_LANES];
        memcpy(w, blocks, sizeof w);
        for (size_t l = 0; l < DITHER_LANES; l++)
            lanes[l] += w[l] * x[l];
    }
    return dither_dot_rest(DITHER_BLOCK_F32, n, blocks, x, lanes);
}

const dither_block_dots dither_block_dots_ref = {.isa = "ref", .dot = {[DITHER_BLOCK_F32] = dot_f32}};
