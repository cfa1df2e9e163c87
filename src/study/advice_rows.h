/* What follows from measured variances: factors of the batch, its shape, times, SGD's excess loss. */
#ifndef DITHER_STUDY_ADVICE_ROWS_H
#define DITHER_STUDY_ADVICE_ROWS_H

#include "dither/advice.h"

/**
 * (s2 + a q2) / (s2 + c q2) with the interval that the two intervals allow together. Monotone in q2 / s2, so that its
 * ends are at the ends of the quotient.
 */
dither_interval dither_advice_factor(dither_interval s2, dither_interval q2, double a, double c);

/** noise, factor, bit_factor, sgd_lr and sgd_excess of a row whose q2 is there, at `batch` sequences a step. */
void dither_advice_row_noise(dither_advice_row *row, dither_interval s2, double batch, double lr, double momentum);

/**
 * A step of about `sequences` in micro-batches of at most `most`: as few as there can be, all of one size.
 * @param sequences  at least 1
 */
void dither_advice_row_shape(dither_advice_row *row, double sequences, uint64_t most);

/** seconds and steps of a row whose step takes step_s. @param hours  0: not said */
void dither_advice_row_time(dither_advice_row *row, uint64_t batch, uint64_t steps, double hours);

/** The row to take: the shortest time of those that fit and whose bias may be below DITHER_ADVICE_BIAS. */
size_t dither_advice_best(const dither_advice_row *rows, size_t count);

#endif
