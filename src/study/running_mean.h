/*
 * The mean of independent observations and its confidence interval, kept as they come (Welford 1962):
 *
 *     mean_n = mean_(n-1) + (x - mean_(n-1)) / n        square_n = square_(n-1) + (x - mean_(n-1)) (x - mean_n)
 *
 *     interval: mean +- t sqrt(square / ((n - 1) n)), t the 0.975 quantile of Student's t with n - 1 degrees
 */
#ifndef DITHER_STUDY_RUNNING_MEAN_H
#define DITHER_STUDY_RUNNING_MEAN_H

#include <stdint.h>

#include "dither/interval.h"

typedef struct dither_running_mean {
    uint64_t count;
    double mean, square; /* square: sum of the squared distances from the mean */
} dither_running_mean;

void dither_running_mean_add(dither_running_mean *running, double x);

/** The 0.975 quantile of Student's t, within 1e-5 of itself. @param degrees  at least 1 */
double dither_student_t(uint64_t degrees);

/** The mean with its 95 % interval; NaN where nothing was observed. */
dither_interval dither_running_mean_interval(const dither_running_mean *running);

#endif
