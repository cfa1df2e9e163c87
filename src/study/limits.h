/*
 * When a statistic is out of bounds. Each is a sum of independent draws whose law is known but for the fault looked
 * for, so that its tail has a bound for every n, not only in the limit. A score is what a normal variable would have to
 * be for the same bound: the exponent E of the two-sided bound 2 exp(-E), as sqrt(2 E) sigmas.
 */
#ifndef DITHER_STUDY_LIMITS_H
#define DITHER_STUDY_LIMITS_H

#include <stdint.h>

/* Statistics that a self-test may ask for at most; each is given the same share of the false alarms (Bonferroni). */
#define DITHER_LIMIT_TESTS 1048576.0
#define DITHER_LIMIT_ALARMS 1e-9

/** What a score may be: 2 exp(-limit^2 / 2) = DITHER_LIMIT_ALARMS / DITHER_LIMIT_TESTS. */
double dither_limit(void);

/**
 * `successes` among n draws of probability 1/2 each: Chernoff's bound,
 *
 *     P(|S/n - 1/2| >= d) <= 2 exp(-n KL(1/2 + d || 1/2))
 */
double dither_score_even(uint64_t successes, uint64_t n);

/**
 * A sum of independent terms of mean 0, none beyond `most` in magnitude: Bernstein's bound,
 *
 *     P(|sum| >= t) <= 2 exp(-t^2 / (2 (variance + most t / 3)))
 *
 * @param variance  of the sum
 */
double dither_score_sum(double sum, double variance, double most);

#endif
