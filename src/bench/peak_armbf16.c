#include <arm_neon.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

enum { ACCUMULATORS = 16, PRODUCTS = 16 };

static int32_t run(size_t rounds)
{
    float32x4_t sum[ACCUMULATORS];
    uint16x8_t a = vdupq_n_u16(0x3f80), b = vdupq_n_u16(0x3f00); /* 1 and 0.5 */
#pragma GCC unroll 16
    for (int i = 0; i < ACCUMULATORS; i++)
        sum[i] = vdupq_n_f32((float)i);
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < ACCUMULATORS; i++) {
            sum[i] = vbfmmlaq_f32(sum[i], vreinterpretq_bf16_u16(a), vreinterpretq_bf16_u16(b));
            DITHER_OPAQUE("w", sum[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 1; i < ACCUMULATORS; i++)
        sum[0] = vmaxq_f32(sum[0], sum[i]);
    return vgetq_lane_s32(vreinterpretq_s32_f32(sum[0]), 0);
}

const dither_peak_loop dither_peak_bf16_armbf16 = {
    .isa = "armbf16",
    .needs = DITHER_CPU_BF16,
    .unit = DITHER_UNIT_BF16,
    .ops = 2.0 * ACCUMULATORS * PRODUCTS,
    .run = run,
};
