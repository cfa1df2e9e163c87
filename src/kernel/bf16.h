/* Rounding f32 values to bf16 in place of a conversion: integer arithmetic that loops over it can turn into SIMD. */
#ifndef DITHER_KERNEL_BF16_H
#define DITHER_KERNEL_BF16_H

#include <stdint.h>
#include <string.h>

/** The bf16 value nearest to x, ties to even; beyond the largest one Inf; NaN stays NaN. */
static inline float dither_bf16_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
    float rounded;
    memcpy(&rounded, &bits, sizeof rounded);
    return x == x ? rounded : x;
}

#endif
