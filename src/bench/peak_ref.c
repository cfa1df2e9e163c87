/* Portable C on vectors of the compiler's own choice: what a processor does of which no instruction set is known. */
#include <string.h>

#include "bench/peak_loop.h"

enum { LANES = 32 };

/* Lanes that the compiler cannot know, and keeps in memory at most for this one moment. */
static void hide(void *lanes)
{
    __asm__ volatile("" : : "r"(lanes) : "memory");
}

static int32_t run_s8(size_t rounds)
{
    int16_t a[LANES], b[LANES];
    uint32_t sum[LANES] = {0};
    for (int i = 0; i < LANES; i++) {
        a[i] = (int16_t)(i - 7);
        b[i] = (int16_t)(9 - i);
    }
    hide(a);
    hide(b);
    for (size_t round = 0; round < rounds; round++) {
        hide(a);
        for (int i = 0; i < LANES; i++)
            sum[i] += (uint32_t)((int32_t)a[i] * b[i]);
    }
    uint32_t all = 0;
    for (int i = 0; i < LANES; i++)
        all ^= sum[i];
    return (int32_t)(all & INT32_MAX);
}

static int32_t run_f32(size_t rounds)
{
    float a[LANES], b[LANES], sum[LANES] = {0};
    for (int i = 0; i < LANES; i++) {
        a[i] = 0.5f;
        b[i] = (float)i;
    }
    hide(a);
    hide(b);
    for (size_t round = 0; round < rounds; round++) {
        hide(a);
        for (int i = 0; i < LANES; i++)
            sum[i] += a[i] * b[i];
    }
    hide(sum);
    int32_t bits;
    memcpy(&bits, sum, sizeof bits);
    return bits;
}

const dither_peak_loop dither_peak_s8_ref = {
    .isa = "ref",
    .unit = DITHER_UNIT_S8,
    .ops = 2.0 * LANES,
    .run = run_s8,
};

const dither_peak_loop dither_peak_f32_ref = {
    .isa = "ref",
    .unit = DITHER_UNIT_F32,
    .ops = 2.0 * LANES,
    .run = run_f32,
};
