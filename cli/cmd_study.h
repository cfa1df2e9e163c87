/* dither study NAME: the studies, one file each, and what they print alike. */
#ifndef DITHER_CLI_CMD_STUDY_H
#define DITHER_CLI_CMD_STUDY_H

#include <stdbool.h>

#include "arguments.h"
#include "dither/study.h"
#include "terminal.h"

extern const dither_command dither_command_study_mnist;
extern const dither_command dither_command_study_scaling;

typedef struct dither_study_display {
    dither_terminal terminal;
    bool json;
} dither_study_display;

void dither_study_display_init(dither_study_display *display, bool json);

/** Progress: a dither_study_listener. */
void dither_study_display_event(void *context, const dither_study_event *event);

/** The claims with their verdicts, and where the files are. */
void dither_study_display_end(dither_study_display *display, const dither_claims *claims, const char *out);

/** `dither` and these words as one command line, on the heap; NULL: no memory. */
char *dither_study_command_line(int count, char **words);

#endif
