/* A training run for people: what begins, how it goes, what came out. */
#ifndef DITHER_CLI_TRAIN_DISPLAY_H
#define DITHER_CLI_TRAIN_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "dither/train.h"
#include "sparkline.h"
#include "terminal.h"

typedef struct dither_train_display {
    dither_terminal terminal;
    bool json;            /* events as they are, for programs, instead */
    bool verbose;         /* every row of the plan, not the sums alone */
    const char *out;      /* the run's folder; NULL in a dry run */
    double begun;         /* when the display was set up */
    dither_sparkline losses;
    double val_loss;      /* of the newest evaluation; NaN before the first */
    bool ended, finished; /* what the end event said */
    bool chats;           /* what the data are, and the model can be talked with */
    uint64_t start_step;
    double token_s; /* seconds a token takes, smoothed; 0 before the first step */
    uint64_t predicted_bytes;
    uint64_t plan_bytes; /* of the rows shown so far */
    bool plan_begun;
} dither_train_display;

void dither_train_display_init(dither_train_display *display, const char *out, bool json, bool verbose);

/** A dither_event_fn; context is the display. */
void dither_train_display_event(void *context, const dither_event *event);

/** After dither_train returned: the last words. */
void dither_train_display_end(dither_train_display *display);

#endif
