#include <arm_neon.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

enum { ACCUMULATORS = 16, PRODUCTS = 4 };

static int32_t run(size_t rounds)
{
    float32x4_t sum[ACCUMULATORS], a = vdupq_n_f32(0.5f), b = vdupq_n_f32(0.25f);
#pragma GCC unroll 16
    for (int i = 0; i < ACCUMULATORS; i++)
        sum[i] = vdupq_n_f32((float)i);
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < ACCUMULATORS; i++) {
            sum[i] = vfmaq_f32(sum[i], a, b);
            DITHER_OPAQUE("w", sum[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 1; i < ACCUMULATORS; i++)
        sum[0] = vmaxq_f32(sum[0], sum[i]);
    return vgetq_lane_s32(vreinterpretq_s32_f32(sum[0]), 0);
}

const dither_peak_loop dither_peak_f32_neon = {
    .isa = "neon",
    .needs = DITHER_CPU_NEON,
    .unit = DITHER_UNIT_F32,
    .ops = 2.0 * ACCUMULATORS * PRODUCTS,
    .run = run,
};
