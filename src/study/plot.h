/* Plots with error bars as SVG, drawn by gnuplot: a child process that reads its script on standard input. */
#ifndef DITHER_STUDY_PLOT_H
#define DITHER_STUDY_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/status.h"

/* Points of one kind, joined by lines. What is not finite is left out. */
typedef struct dither_series {
    const char *label;
    size_t points;
    const double *x, *y;
    const double *low, *high; /* error bars; NULL: none */
} dither_series;

typedef struct dither_plot {
    const char *title, *x_label, *y_label; /* labels with their units */
    bool log2_x, log10_y;
    size_t count;
    const dither_series *series; /* [count] */
} dither_plot;

typedef enum dither_plot_shape {
    DITHER_PLOT_WIDE,  /* the legend to the right of the data */
    DITHER_PLOT_NARROW /* for a telephone: the legend below */
} dither_plot_shape;

/**
 * The SVG element, of the width that its surroundings give it.
 * @param id   a word, different for each drawing of a page
 * @param svg  receives a text on the heap
 * @return DITHER_OK | DITHER_E_IO (gnuplot is not installed, or did not draw; error says which) | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_plot_draw(const dither_plot *plot, dither_plot_shape shape, const char *id,
                                               char **svg, dither_error *error);

#endif
