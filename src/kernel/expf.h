/*
 * exp in f32 as plain arithmetic: no branch, no table, no library, so loops over it become SIMD and every machine
 * gives the same bits.
 */
#ifndef DITHER_KERNEL_EXPF_H
#define DITHER_KERNEL_EXPF_H

#include <stdint.h>
#include <string.h>

/**
 * e^x = 2^n e^r,  n = round(x / ln 2),  |r| <= ln 2 / 2,  e^r = 1 + r + r^2 P(r), P of degree 4 (minimax, found by Remez
 * exchange for the relative error of e^r: 3.1e-9).
 *
 * Numerics: error <= 1.05 ulp where x >= -86.6 (measured 1.003 over all floats of [-86.6, 88.73]); 0 below, where e^x <
 *           2.5e-38; +Inf above 88.73; exp(0) = 1 exactly; NaN gives NaN.
 */
static inline float dither_expf(float x)
{
    const float log2_e = 0x1.715476p+0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
    const float round = 0x1.8p+23f; /* adding it leaves an integer in the low bits */
    const float lowest = -86.6f, highest = 88.8f;
    const float capped = x > highest ? highest : x;
    const float shifted = capped * log2_e + round;
    const float n = shifted - round;
    const float r = (capped - n * ln2_high) - n * ln2_low; /* n ln2_high is exact: 8 and 15 bits */
    float p = 0x1.6a23dp-10f;
    p = p * r + 0x1.123a2p-7f;
    p = p * r + 0x1.5558f2p-5f;
    p = p * r + 0x1.555492p-3f;
    p = p * r + 0x1.fffffcp-2f;
    p = (p * r) * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 126) << 23; /* 2^(n-1): n = 128 has no 2^n */
    float half_power;
    memcpy(&half_power, &bits, sizeof half_power);
    const float y = p * half_power * 2.0f;
    return x < lowest ? 0.0f : y;
}

#endif
