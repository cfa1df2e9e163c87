/* f32 as its bits and back. */
#ifndef DITHER_QUANT_BITS_H
#define DITHER_QUANT_BITS_H

#include <stdint.h>
#include <string.h>

#define DITHER_F32_INF UINT32_C(0x7f800000)

static inline uint32_t dither_f32_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float dither_f32_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
