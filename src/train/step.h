/* One step of training: gradients, micro-batch by micro-batch, their norm, the update. */
#ifndef DITHER_TRAIN_STEP_H
#define DITHER_TRAIN_STEP_H

#include "train/run.h"

typedef struct dither_step_result {
    double loss;    /* nats a trained token */
    double norm;    /* of the gradient, before clipping */
    double lr;
    double seconds;
} dither_step_result;

/** The micro-batch whose first sample this is, written to run->batch. */
typedef dither_batch_view (*dither_step_batch)(dither_run *run, uint64_t sample);

/** Micro-batches of the next step. */
uint64_t dither_step_accumulate(const dither_run *run);

/** Tokens of the next step. */
uint64_t dither_step_tokens(const dither_run *run);

/** Number of the first sample of the next step. */
uint64_t dither_step_sample(const dither_run *run);

/**
 * Take the next step: run->step is its number afterwards, and run->clips and roles what it clipped. Allocates nothing.
 * @param trained  how many targets of the whole step are trained on, at least one: the loss is their mean
 * @return DITHER_OK | DITHER_E_NUMERIC (NaN or Inf; error says where; the weights are those of the step before)
 */
DITHER_MUST_USE dither_status dither_step_run(dither_run *run, dither_step_batch batch, uint64_t trained,
                                              dither_step_result *result, dither_error *error);

#endif
