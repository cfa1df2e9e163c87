/* Sums over a row in sixteen chains: an order that is fixed and that SIMD can follow. */
#ifndef DITHER_KERNEL_LANES_H
#define DITHER_KERNEL_LANES_H

#include <math.h>
#include <stddef.h>

enum { DITHER_LANES = 16 };

/** The lanes added pairwise. */
static inline float dither_lanes_sum(const float *lanes)
{
    float half[DITHER_LANES / 2];
    for (size_t l = 0; l < 8; l++)
        half[l] = lanes[l] + lanes[l + 8];
    return ((half[0] + half[4]) + (half[1] + half[5])) + ((half[2] + half[6]) + (half[3] + half[7]));
}

/** sum of x[i] */
static inline float dither_lanes_total(size_t n, const float *x)
{
    float lanes[DITHER_LANES] = {0};
    size_t i = 0;
    for (; i + DITHER_LANES <= n; i += DITHER_LANES)
        for (size_t l = 0; l < DITHER_LANES; l++)
            lanes[l] += x[i + l];
    for (size_t l = 0; i + l < n; l++)
        lanes[l] += x[i + l];
    return dither_lanes_sum(lanes);
}

/** sum of x[i] y[i] */
static inline float dither_lanes_dot(size_t n, const float *x, const float *y)
{
    float lanes[DITHER_LANES] = {0};
    size_t i = 0;
    for (; i + DITHER_LANES <= n; i += DITHER_LANES)
        for (size_t l = 0; l < DITHER_LANES; l++)
            lanes[l] += x[i + l] * y[i + l];
    for (size_t l = 0; i + l < n; l++)
        lanes[l] += x[i + l] * y[i + l];
    return dither_lanes_sum(lanes);
}

/** largest x[i], -Inf for none; NaN is passed over */
static inline float dither_lanes_max(size_t n, const float *x)
{
    float lanes[DITHER_LANES];
    for (size_t l = 0; l < DITHER_LANES; l++)
        lanes[l] = -INFINITY;
    size_t i = 0;
    for (; i + DITHER_LANES <= n; i += DITHER_LANES)
        for (size_t l = 0; l < DITHER_LANES; l++)
            lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    for (size_t l = 0; i + l < n; l++)
        lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    float largest = lanes[0];
    for (size_t l = 1; l < DITHER_LANES; l++)
        largest = lanes[l] > largest ? lanes[l] : largest;
    return largest;
}

#endif
