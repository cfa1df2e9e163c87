#include "kernel/pack_variance.h"

#include <assert.h>

static_assert((int)DITHER_VARIANCE_COLS == (int)DITHER_PIECE_COLS && DITHER_VARIANCE_ROWS % DITHER_PIECE_ROWS == 0,
              "a piece is one of columns, and whole blocks of rows");

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The scales of columns of one row, each written out. */
static void spread_scales(const dither_pack_variance *of, size_t row, size_t col0, size_t count, float *scale)
{
    static const float one = 1.0f;
    const dither_regions *regions = of->regions;
    const size_t width = regions != NULL ? regions->width : of->cols;
    const float *from =
        regions != NULL ? of->scale + row / regions->height * regions->across + col0 / width : &one;
    for (size_t j = 0, left = width - col0 % width; j < count; left = width, from++)
        for (const size_t end = smaller(count, j + left); j < end; j++)
            scale[j] = *from;
}

void dither_pack_variance_find(const dither_pack_variance *of, size_t row0, size_t row1, size_t col0, size_t count)
{
    const dither_pack_target *target = of->target;
    const size_t first = row0 / DITHER_VARIANCE_ROWS * DITHER_VARIANCE_ROWS;
    const size_t row = dither_variance_row(target->draw, first, smaller(DITHER_VARIANCE_ROWS, of->rows - first));
    if (row < row0 || row >= row1)
        return;
    const float *from = of->x + row * of->cols + col0;
    const float factor = target->row_factor != NULL ? target->row_factor[row] : 1.0f;
    float x[DITHER_VARIANCE_COLS], scale[DITHER_VARIANCE_COLS];
    for (size_t j = 0; j < count; j++)
        x[j] = from[j] * factor;
    for (size_t j = 0; target->col_factor != NULL && j < count; j++)
        x[j] *= target->col_factor[col0 + j];
    spread_scales(of, row, col0, count, scale);
    const size_t across = (of->cols + DITHER_VARIANCE_COLS - 1) / DITHER_VARIANCE_COLS;
    of->pieces[row / DITHER_VARIANCE_ROWS * across + col0 / DITHER_VARIANCE_COLS] =
        of->rows_of->variance(of->grid, count, x, scale);
}
