/*
 * The options of a run as a table of fields, so that the checkpoint, the start event and the comparison of a resumed
 * run with what it resumes never disagree about what there is.
 */
#ifndef DITHER_TRAIN_TRAIN_OPTIONS_H
#define DITHER_TRAIN_TRAIN_OPTIONS_H

#include <cjson/cJSON.h>

#include "dither/train.h"

enum { DITHER_ACCUMULATE_MAX = 4095 }; /* micro-batches of a step: each has a number in the address of its draws */

/** Whether every value can be: counts, rates, fractions. @return DITHER_OK | DITHER_E_USAGE (error names the option) */
DITHER_MUST_USE dither_status dither_train_options_check(const dither_train_options *options, dither_error *error);

/** The fields that decide a run's result, as an object; cJSON_Delete it. NULL: no memory. */
cJSON *dither_train_options_json(const dither_train_options *options);

/**
 * Read such an object.
 * @param storage  one block that the texts live in; free() it
 */
DITHER_MUST_USE dither_status dither_train_options_read(const cJSON *object, const char *path,
                                                        dither_train_options *options, void **storage,
                                                        dither_error *error);

/**
 * Whether a run with `options` may go on from a checkpoint made with `saved`: everything that decides the result must
 * be equal, but for the number of steps.
 * @return DITHER_OK | DITHER_E_USAGE (error names the first difference)
 */
DITHER_MUST_USE dither_status dither_train_options_compare(const dither_train_options *options,
                                                           const dither_train_options *saved, dither_error *error);

#endif
