/*
 * Measuring the noise of stochastic rounding while a run goes on: two gradients of one micro-batch with independent
 * draws, where the optimizer has left the gradient's memory free. The second one is computed with the loss's gradient
 * negated and added to the first, for backward is linear in it: their difference needs no memory of its own.
 */
#ifndef DITHER_TRAIN_NOISE_PROBE_H
#define DITHER_TRAIN_NOISE_PROBE_H

#include "train/run.h"

/** Whether anything is drawn anew for each micro-batch under this scheme. */
bool dither_probe_exists(const dither_scheme *scheme);

/** Steps between probes now; 0: none. */
uint64_t dither_probe_interval(const dither_run *run);

/**
 * q of the micro-batch from `sample` on, weights as they are: its run->network.gradients are overwritten, its draws are
 * none of training's. Allocates nothing.
 * @param roles     bits of the roles that draw anew; 0: all
 * @param variance  of the gradient of the sum of its losses
 * @param tokens    trained in it; 0: variance is 0
 * @return DITHER_OK | DITHER_E_NUMERIC
 */
DITHER_MUST_USE dither_status dither_probe_measure(dither_run *run, uint64_t sample, uint32_t roles, double *variance,
                                                   uint64_t *tokens);

/** What a step adds to run->noise, a probe where it is time for one. @return whether it was */
bool dither_probe_after_step(dither_run *run, double norm);

/** After a probe: give the alarm where it is time for it, with what would help; under --auto-batch do that. */
DITHER_MUST_USE dither_status dither_probe_judge(dither_run *run, uint64_t trained, dither_error *error);

#endif
