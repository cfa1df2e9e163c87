/*
 * exp in f32 as plain arithmetic: no branch, no table, no library, so loops over it become SIMD and every machine
 * gives the same bits.
 */
#ifndef DITHER_KERNEL_EXPF_H
#define DITHER_KERNEL_EXPF_H

#include <stdint.h>
#include <string.h>

/**
 * e^x = 2^n e^r,  n = round(x / ln 2),  |r| <= ln 2 / 2,  e^r = 1 + r + r^2 P(r), P of degree 4 (minimax, found by
 * Remez exchange for the relative error of e^r: 3.1e-9).
 *
 * Numerics: error <= 1 ulp where -86.98 <= x <= 88.72 (measured over all floats: 0.9916 ulp); 0 below -86.98, where
 *           e^x < 1.7e-38; +Inf from 88.73 on; exp(0) = 1 exactly; NaN gives NaN.
 */
static inline float dither_expf(float x)
{
    const float log2_e = 0x1.715476p+0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
    const float round = 0x1.8p+23f; /* adding it leaves an integer in the low bits */
    const float lowest = -86.98f, highest = 88.75f;
    const float shifted = x * log2_e + round;
    const float n = shifted - round;
    const float r = (x - n * ln2_high) - n * ln2_low; /* n ln2_high is exact: 8 and 15 bits */
    float p = 0x1.6a23dp-10f;
    p = p * r + 0x1.123a2p-7f;
    p = p * r + 0x1.5558f2p-5f;
    p = p * r + 0x1.555492p-3f;
    p = p * r + 0x1.fffffcp-2f;
    p = (p * r) * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 126) << 23; /* of 2^(n-1): n = 128 has no 2^n */
    float power;
    memcpy(&power, &bits, sizeof power);
    const float inside = (p + p) * power;
    /* Masks, not ?: - compilers would turn that into branches, and then the loop around it into no SIMD. */
    const uint32_t above = (uint32_t)(x > highest), below = (uint32_t)(x < lowest);
    memcpy(&bits, &inside, sizeof bits);
    bits = (bits & (above + below - 1u)) | ((0u - above) & 0x7f800000u);
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

#endif
