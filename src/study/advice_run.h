/* A run that is asked what it would take, in memory and in time, under one scheme and batch after another. */
#ifndef DITHER_STUDY_ADVICE_RUN_H
#define DITHER_STUDY_ADVICE_RUN_H

#include "train/run.h"

typedef struct dither_advice_run {
    dither_run run;
    uint64_t base;  /* bytes that are resident whatever the run: predicted peak less what is laid out */
    uint64_t limit; /* bytes that a run may take */
} dither_advice_run;

/** Open model and data as a dry run does. dither_advice_run_close() in any case. @param options  seq is not 0 */
DITHER_MUST_USE dither_status dither_advice_run_open(dither_advice_run *advice, const dither_train_options *options,
                                                     dither_error *error);
void dither_advice_run_close(dither_advice_run *advice);

/** How many sequences an epoch of the training data has. */
uint64_t dither_advice_run_sequences(const dither_advice_run *advice);

/** Predicted peak memory, as of a dry run. @return UINT64_MAX: too large to be counted */
uint64_t dither_advice_run_memory(dither_advice_run *advice, const dither_scheme *scheme, uint64_t batch);

/** The largest micro-batch up to `most` whose run fits the limit; 0: none does. */
uint64_t dither_advice_run_largest(dither_advice_run *advice, const dither_scheme *scheme, uint64_t most);

/* Medians. A step of k micro-batches takes k micro_s + update_s. */
typedef struct dither_advice_time {
    double micro_s;  /* forward and backward of a micro-batch */
    double update_s; /* what is done once a step: weights quantized, norm, optimizer */
} dither_advice_time;

enum { DITHER_ADVICE_STEPS = 25 /* timed at most */ };

/**
 * Time training steps of one micro-batch, from the model's weights and on the data, at a learning rate that moves
 * nothing; the first is not counted.
 * @param timing_s  steps end after so many seconds, or DITHER_ADVICE_STEPS; two are timed at least
 * @param step      called after each
 * @return DITHER_OK | DITHER_E_MEMORY | DITHER_E_NUMERIC | DITHER_E_IO | DITHER_E_FORMAT | DITHER_E_STOPPED
 */
DITHER_MUST_USE dither_status dither_advice_run_time(dither_advice_run *advice, const dither_scheme *scheme,
                                                     uint64_t batch, double timing_s, void (*step)(void *context),
                                                     void *context, const volatile sig_atomic_t *stop,
                                                     dither_advice_time *time, dither_error *error);

#endif
