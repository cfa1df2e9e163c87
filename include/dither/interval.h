/**
 * A measured figure and how well it is known.
 */
#ifndef DITHER_INTERVAL_H
#define DITHER_INTERVAL_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A 95 % confidence interval: of intervals made in this way, 95 in 100 hold the truth. low = -inf and high = inf where
 * the figure was seen once only; low = value = high where it is exact. NaN: it was not measured.
 */
typedef struct dither_interval {
    double value, low, high;
} dither_interval;

#ifdef __cplusplus
}
#endif
#endif
