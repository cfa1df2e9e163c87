/* Loops that do nothing but arithmetic, out of registers: what a unit can do at most. One file an instruction set. */
#ifndef DITHER_BENCH_PEAK_LOOP_H
#define DITHER_BENCH_PEAK_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "base/profile.h"

typedef struct dither_peak_loop {
    const char *isa;
    uint32_t needs; /* DITHER_CPU_* */
    dither_unit unit;
    double ops;     /* multiplications and additions of a round */
    int32_t (*run)(size_t rounds); /* the result keeps the compiler from leaving the work out */
} dither_peak_loop;

#if defined(__x86_64__)
extern const dither_peak_loop dither_peak_s8_amx, dither_peak_bf16_amx, dither_peak_s8_avx512vnni,
    dither_peak_bf16_avx512bf16, dither_peak_f32_avx512, dither_peak_s8_avxvnni, dither_peak_s8_avx2,
    dither_peak_f32_avx2;
#elif defined(__aarch64__)
extern const dither_peak_loop dither_peak_s8_i8mm, dither_peak_s8_dotprod, dither_peak_bf16_armbf16,
    dither_peak_f32_neon;
#endif
extern const dither_peak_loop dither_peak_s8_ref, dither_peak_f32_ref;

/*
 * A value in a register, and another one for all that the compiler can tell: it may not compute once what is used
 * twice, nor take sums that began alike for one. The letter is the kind of register.
 */
#define DITHER_OPAQUE(letter, x) __asm__ volatile("" : "+" letter(x))

#endif
