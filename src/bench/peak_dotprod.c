#include <arm_neon.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

enum { ACCUMULATORS = 16, PRODUCTS = 16 };

static int32_t run(size_t rounds)
{
    int32x4_t sum[ACCUMULATORS];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
#pragma GCC unroll 16
    for (int i = 0; i < ACCUMULATORS; i++)
        sum[i] = vdupq_n_s32(i);
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < ACCUMULATORS; i++) {
            sum[i] = vdotq_s32(sum[i], a, b);
            DITHER_OPAQUE("w", sum[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 1; i < ACCUMULATORS; i++)
        sum[0] = veorq_s32(sum[0], sum[i]);
    return vgetq_lane_s32(sum[0], 0);
}

const dither_peak_loop dither_peak_s8_dotprod = {
    .isa = "dotprod",
    .needs = DITHER_CPU_DOTPROD,
    .unit = DITHER_UNIT_S8,
    .ops = 2.0 * ACCUMULATORS * PRODUCTS,
    .run = run,
};
