/* What the benchmarks share: threads, peaks of one unit, medians, random numbers. */
#ifndef DITHER_BENCH_MACHINE_H
#define DITHER_BENCH_MACHINE_H

#include "base/profile.h"
#include "dither/bench.h"
#include "dither/cpu.h"

/** As many as asked for, or all cores. @return DITHER_OK | DITHER_E_USAGE (too many, or DITHER_CPU names no level) */
DITHER_MUST_USE dither_status dither_bench_threads(int asked, int *threads, dither_error *error);

DITHER_MUST_USE dither_status dither_unit_peak(dither_unit unit, int threads, dither_peak *peak, dither_error *error);
DITHER_MUST_USE dither_status dither_memory_peaks(int threads, dither_peak *read, dither_peak *copy,
                                                  dither_error *error);

typedef struct dither_timing {
    double median, best; /* seconds */
} dither_timing;

/** Call `body` once, then again for so many seconds, at least five and at most 400 times. */
dither_timing dither_bench_repeat(double seconds, void (*body)(void *context), void *context);

/** A number that looks random, one for each seed and index: splitmix64 (Steele, Lea and Flood 2014). */
static inline uint64_t dither_bench_random(uint64_t seed, uint64_t index)
{
    uint64_t x = seed * 0xD1B54A32D192ED03u + (index + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/** Uniform in -1..1, a multiple of 2^-23. */
static inline float dither_bench_uniform(uint64_t seed, uint64_t index)
{
    return (float)(int64_t)(dither_bench_random(seed, index) >> 40) * 0x1p-23f - 1;
}

#endif
