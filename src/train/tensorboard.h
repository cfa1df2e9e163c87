/* OUT/events.out.tfevents.*: the figures of a run as TensorBoard reads them, a new file for each process. */
#ifndef DITHER_TRAIN_TENSORBOARD_H
#define DITHER_TRAIN_TENSORBOARD_H

#include "dither/train.h"

typedef struct dither_tensorboard {
    int fd; /* -1: none */
    char path[4096];
} dither_tensorboard;

/**
 * Create the file, with the version and, where a run goes on, the step it goes on from: what an interrupted process
 * wrote of later steps is then left out of the plots.
 * @param step  the last step that is done; 0: a new run
 */
DITHER_MUST_USE dither_status dither_tensorboard_open(dither_tensorboard *board, const char *out, uint64_t step,
                                                      dither_error *error);

/** What an event has of figures, at its step; other events write nothing. Allocates nothing. */
DITHER_MUST_USE dither_status dither_tensorboard_write(dither_tensorboard *board, const dither_event *event,
                                                       dither_error *error);

void dither_tensorboard_close(dither_tensorboard *board);

/** Close, and remove the file. */
void dither_tensorboard_discard(dither_tensorboard *board);

#endif
