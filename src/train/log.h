/* OUT/log.jsonl: every event of a run, one object a line. */
#ifndef DITHER_TRAIN_LOG_H
#define DITHER_TRAIN_LOG_H

#include "dither/train.h"

typedef struct dither_log {
    int fd; /* -1: none */
    char path[4096];
} dither_log;

/**
 * Open for appending.
 * @param keep  false: start empty; true: keep what lies before the first event of a step later than `step`
 */
DITHER_MUST_USE dither_status dither_log_open(dither_log *log, const char *out, bool keep, uint64_t step,
                                              dither_error *error);
DITHER_MUST_USE dither_status dither_log_write(dither_log *log, const dither_event *event, dither_error *error);
/** Whether the log says that the run ended at this step: not so where its last evaluation was stopped. */
bool dither_log_ended(const dither_log *log, uint64_t step);

void dither_log_close(dither_log *log);

#endif
