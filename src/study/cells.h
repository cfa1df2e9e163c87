/*
 * The independent runs of a study, cells: in parallel, one thread each, the longest first; each finished one is kept as
 * a file FOLDER/cells/NAME.json, so that a killed study goes on where it was and ends with the same numbers.
 */
#ifndef DITHER_STUDY_CELLS_H
#define DITHER_STUDY_CELLS_H

#include <signal.h>

#include "dither/study.h"

enum { DITHER_CELL_NAME = 128, DITHER_CELL_VALUES = 1024 };

typedef struct dither_cell {
    char name[DITHER_CELL_NAME]; /* of its file: letters, digits, '-', '_', '.' */
    double cost;                 /* of the run, in any unit */
    size_t values;
    double value[DITHER_CELL_VALUES]; /* the results; NaN: the run diverged */
    double seconds;              /* of processor time */
    bool done;
} dither_cell;

typedef struct dither_cells_run dither_cells_run;

typedef struct dither_cells {
    const char *folder;   /* of the study */
    const char *identity; /* what the values depend on beside the name: cells of another identity are refused */
    dither_cell *cell;    /* [count] */
    size_t count;
    int threads;
    /**
     * Fill cell->value. Runs in several threads at once.
     * @return DITHER_OK | DITHER_E_NUMERIC (diverged: all values become NaN) | anything else ends the study
     */
    dither_status (*run)(void *context, dither_cell *cell, dither_cells_run *progress, dither_error *error);
    void *context;
} dither_cells;

/**
 * Read what is there, run what is not.
 * @param stop  may be NULL
 * @return DITHER_OK | DITHER_E_STOPPED (what was finished is kept) | DITHER_E_FORMAT (a kept cell of another study, or
 *         damaged) | DITHER_E_IO | DITHER_E_MEMORY | what a cell returned
 */
DITHER_MUST_USE dither_status dither_cells_complete(const dither_cells *cells, dither_study_listener listener,
                                                    void *listener_context, const volatile sig_atomic_t *stop,
                                                    dither_error *error);

/** To be called now and then by a running cell. @return whether it should give up: return DITHER_E_STOPPED then */
bool dither_cells_tick(dither_cells_run *run, const dither_cell *cell, double fraction);

#endif
