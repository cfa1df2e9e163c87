/* Options of a measurement of noise, checked. */
#ifndef DITHER_STUDY_NOISE_OPTIONS_H
#define DITHER_STUDY_NOISE_OPTIONS_H

#include "dither/noise.h"
#include "train/run.h"

/** Whether numbers and the scheme can be. @param scheme  receives it. @return DITHER_OK | DITHER_E_USAGE */
DITHER_MUST_USE dither_status dither_noise_options_check(const dither_noise_options *options, dither_scheme *scheme,
                                                         dither_error *error);

/**
 * Open what the options name, as a training run of the same model, data and seed would: its samples from 0 on are the
 * sequences. Fills options->seq and options->samples where they are 0.
 * @param run  dither_run_close() it in any case
 */
DITHER_MUST_USE dither_status dither_noise_options_open(dither_noise_options *options, dither_run *run,
                                                        dither_error *error);

#endif
