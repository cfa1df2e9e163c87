/* A curve in one line of text: block characters of eight heights. */
#ifndef DITHER_CLI_SPARKLINE_H
#define DITHER_CLI_SPARKLINE_H

#include <stddef.h>

enum {
    SPARKLINE_POINTS = 64, /* that are kept */
    SPARKLINE_WIDEST = 32, /* columns */
    SPARKLINE_TEXT = 3 * SPARKLINE_WIDEST + 1
};

/* The curve so far: means over stretches of equal length, of which the last may not be full. */
typedef struct dither_sparkline {
    double sum[SPARKLINE_POINTS];
    size_t points;  /* begun */
    size_t stretch; /* values in a full one; 0: empty */
    size_t last;    /* values in the last one */
} dither_sparkline;

/** Add a value; what is no number is left out. */
void dither_sparkline_add(dither_sparkline *line, double value);

/**
 * Draw the curve from its lowest to its highest point.
 * @param columns  at most; SPARKLINE_WIDEST is the most that is used
 * @param text     [SPARKLINE_TEXT] UTF-8, three bytes a column
 * @return columns drawn; 0 where there are fewer than two points or columns
 */
size_t dither_sparkline_draw(const dither_sparkline *line, size_t columns, char *text);

#endif
