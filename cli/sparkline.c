#include "sparkline.h"

#include <math.h>
#include <string.h>

enum { HEIGHTS = 8 };

/* Two stretches become one. */
static void halve(dither_sparkline *line)
{
    for (size_t i = 0; i < SPARKLINE_POINTS / 2; i++)
        line->sum[i] = line->sum[2 * i] + line->sum[2 * i + 1];
    line->points = SPARKLINE_POINTS / 2;
    line->stretch *= 2;
    line->last = line->stretch;
}

void dither_sparkline_add(dither_sparkline *line, double value)
{
    if (!isfinite(value))
        return;
    if (line->stretch == 0)
        line->stretch = 1;
    if (line->points == SPARKLINE_POINTS && line->last == line->stretch)
        halve(line);
    if (line->points == 0 || line->last == line->stretch) {
        line->sum[line->points++] = 0;
        line->last = 0;
    }
    line->sum[line->points - 1] += value;
    line->last++;
}

/* Mean of the points of column c of `columns`. */
static double mean_at(const dither_sparkline *line, size_t c, size_t columns)
{
    const size_t first = c * line->points / columns, end = (c + 1) * line->points / columns;
    double sum = 0, count = 0;
    for (size_t i = first; i < end; i++) {
        sum += line->sum[i];
        count += (double)(i + 1 < line->points ? line->stretch : line->last);
    }
    return sum / count;
}

size_t dither_sparkline_draw(const dither_sparkline *line, size_t columns, char *text)
{
    if (columns > SPARKLINE_WIDEST)
        columns = SPARKLINE_WIDEST;
    if (columns > line->points)
        columns = line->points;
    text[0] = 0;
    if (columns < 2)
        return 0;
    double mean[SPARKLINE_WIDEST], low = INFINITY, high = -INFINITY;
    for (size_t c = 0; c < columns; c++) {
        mean[c] = mean_at(line, c, columns);
        low = fmin(low, mean[c]);
        high = fmax(high, mean[c]);
    }
    for (size_t c = 0; c < columns; c++) {
        const double share = high > low ? (mean[c] - low) / (high - low) : 0;
        const int height = (int)fmin(share * HEIGHTS, HEIGHTS - 1);
        const char block[] = {'\xe2', '\x96', (char)('\x81' + height)}; /* U+2581 to U+2588 */
        memcpy(text + 3 * c, block, sizeof block);
    }
    text[3 * columns] = 0;
    return columns;
}
