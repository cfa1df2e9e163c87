/* dither study NAME: the studies, one file each, and what they print alike. */
#ifndef DITHER_CLI_CMD_STUDY_H
#define DITHER_CLI_CMD_STUDY_H

#include <signal.h>
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

/**
 * The claims with their verdicts, and where the files are; or the error.
 * @param signal  what stopped the study; 0: none
 * @return the exit code
 */
int dither_study_display_end(dither_study_display *display, dither_status status, const dither_claims *claims,
                             const char *out, sig_atomic_t signal, const dither_error *error);

/** `dither` and these words as one command line, on the heap; NULL: no memory. */
char *dither_study_command_line(int count, char **words);

#endif
