/* f16 and bf16 codes of f32 values and back, without a branch on the values where a loop is to be SIMD. */
#ifndef DITHER_QUANT_HALF_H
#define DITHER_QUANT_HALF_H

#include <stdint.h>

#include "quant/bits.h"

/** Exact; NaN stays NaN. */
static inline float dither_f32_from_f16(uint16_t code)
{
    const uint32_t magnitude = (uint32_t)(code & 0x7fff) << 13, sign = (uint32_t)(code & 0x8000) << 16;
    const uint32_t normal = magnitude + (112u << 23);
    const uint32_t special = magnitude + (224u << 23); /* infinity and NaN: the exponent's ones in all of f32's bits */
    /* Subnormal: the fraction of a number in [2^-14, 2^-13), less 2^-14, exact. */
    const uint32_t small = dither_f32_bits(dither_f32_from_bits((113u << 23) + magnitude) - 0x1p-14f);
    /* Masks, since compilers turn conditions on floats back into branches. */
    const uint32_t is_small = 0u - (uint32_t)(magnitude < 1u << 23);
    const uint32_t is_special = 0u - (uint32_t)(magnitude >= 31u << 23);
    const uint32_t chosen = (small & is_small) | (special & is_special) | (normal & ~(is_small | is_special));
    return dither_f32_from_bits(chosen | sign);
}

/** To nearest even; beyond 65504 infinity from 65520 on; a NaN stays one, and quiet. */
static inline uint16_t dither_f16_from_f32(float x)
{
    const uint32_t bits = dither_f32_bits(x), magnitude = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;
    if (magnitude > DITHER_F32_INF)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    if (magnitude >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 113u << 23) /* f16 is subnormal: in [0.5, 1), f32 has its step */
        return (uint16_t)(sign | (dither_f32_bits(dither_f32_from_bits(magnitude) + 0.5f) - (126u << 23)));
    return (uint16_t)(sign | (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

static inline float dither_f32_from_bf16(uint16_t code)
{
    return dither_f32_from_bits((uint32_t)code << 16);
}

/** To nearest even; a NaN stays one, and quiet, where rounding would make it infinite. */
static inline uint16_t dither_bf16_from_f32(float x)
{
    const uint32_t bits = dither_f32_bits(x);
    if ((bits & 0x7fffffff) > DITHER_F32_INF)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
