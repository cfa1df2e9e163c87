/*
 * Powers fitted by least squares on logarithms, y = c u^p v^r, and how well independent repetitions agree on them.
 */
#ifndef DITHER_STUDY_FIT_H
#define DITHER_STUDY_FIT_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/interval.h"

typedef struct dither_fit {
    double constant, p, r; /* of 2^constant u^p v^r */
} dither_fit;

/**
 * The plane through log2 y over (log2_u, log2_v) with the least sum of squares.
 * @param y  [n]; those that are not above 0, or no numbers, are left out
 * @return false where fewer than three points, or points on a line, are left
 */
bool dither_fit_powers(size_t n, const double *log2_u, const double *log2_v, const double *y, dither_fit *fit);

/** Each power over repetitions: the mean and its 95 % interval, Student's t. NaN where count is 0. */
dither_interval dither_fit_p(const dither_fit *fits, size_t count);
dither_interval dither_fit_r(const dither_fit *fits, size_t count);
/** 2^(-p/r): by which v grows to make up for a doubled u; the interval is one of its logarithm. */
dither_interval dither_fit_trade(const dither_fit *fits, size_t count);

#endif
