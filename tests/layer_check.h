/* What the tests of the layers share: a context with memory, numbers to feed, and gradients by central differences. */
#ifndef DITHER_TESTS_LAYER_CHECK_H
#define DITHER_TESTS_LAYER_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "nn/context.h"

static const int layer_threads[] = {1, 2, 3, 7};
enum { LAYER_THREADS = sizeof layer_threads / sizeof *layer_threads };

/* Numbers in [-1, 1) that depend on seed and index alone (splitmix64). */
static inline float layer_number(uint64_t seed, size_t index)
{
    uint64_t z = (seed << 32) + (uint64_t)index * 0x9e3779b97f4a7c15u + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (float)(int32_t)(uint32_t)((z ^ (z >> 31)) >> 32) * 0x1p-31f;
}

static inline void *layer_new(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

static inline float *layer_random(uint64_t seed, size_t count, float factor)
{
    float *x = layer_new(count, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = factor * layer_number(seed, i);
    return x;
}

static inline double *layer_double(size_t count, const float *x)
{
    double *y = layer_new(count, sizeof *y);
    for (size_t i = 0; i < count; i++)
        y[i] = (double)x[i];
    return y;
}

/*
 * Run `body` on a scratch arena that holds exactly what its own dry run asked for, so that a dry run that counts too
 * little fails, and check that it gave everything back.
 */
static inline void layer_run(int threads, void (*body)(const dither_context *context, void *data), void *data)
{
    dither_arena counted = dither_arena_dry();
    dither_context context = {.scratch = &counted, .seed = 1, .threads = threads, .dry = true};
    body(&context, data);
    assert_int_equal(counted.used, 0);
    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, counted.peak ? counted.peak : DITHER_ALIGN), DITHER_OK);
    memset(arena.base, 0xff, arena.size); /* NaN: nothing may count on zeros */
    context.scratch = &arena;
    context.dry = false;
    body(&context, data);
    assert_int_equal(arena.used, 0);
    assert_int_equal(arena.peak, counted.peak);
    dither_arena_close(&arena);
}

static inline double layer_largest(size_t count, const double *x)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fabs(x[i]) > largest ? fabs(x[i]) : largest;
    return largest;
}

/* |x - y| <= tolerance * (largest |y|) for each element */
static inline void layer_near(size_t count, const float *x, const double *y, double tolerance)
{
    const double bound = tolerance * layer_largest(count, y);
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)x[i] - y[i]) <= bound))
            fail_msg("element %zu of %zu is %.9g, should be %.9g within %.3g", i, count, (double)x[i], y[i], bound);
}

/*
 * (f(x + h) - f(x - h)) / 2h at element i. With h = 2^-14 and values and third derivatives of order 1 the error is
 * about h^2/6 = 6e-10 plus 2^-52/h = 4e-12: far below what f32 gradients are held to.
 */
static inline double layer_slope(double (*f)(const void *data, const double *x), const void *data, double *x, size_t i)
{
    const double at = x[i], h = 0x1p-14;
    x[i] = at + h;
    const double above = f(data, x);
    x[i] = at - h;
    const double below = f(data, x);
    x[i] = at;
    return (above - below) / (2 * h);
}

static inline double *layer_slopes(size_t count, double (*f)(const void *data, const double *x), const void *data,
                                   const float *x)
{
    double *at = layer_double(count, x), *slopes = layer_new(count, sizeof *slopes);
    for (size_t i = 0; i < count; i++)
        slopes[i] = layer_slope(f, data, at, i);
    free(at);
    return slopes;
}

#endif
