#include "quant/variance.h"

#include "base/arena.h"
#include "base/philox.h"
#include "quant/variance_loop.h"

static size_t pieces_across(size_t cols)
{
    return (cols + DITHER_VARIANCE_COLS - 1) / DITHER_VARIANCE_COLS;
}

size_t dither_variance_pieces(size_t rows, size_t cols)
{
    return dither_multiply((rows + DITHER_VARIANCE_ROWS - 1) / DITHER_VARIANCE_ROWS, pieces_across(cols));
}

size_t dither_variance_row(const dither_draw *draw, size_t row0, size_t count)
{
    /* A block of columns that no matrix reaches: these bits are no element's. */
    const uint32_t key[2] = {(uint32_t)draw->seed, (uint32_t)(draw->seed >> 32)};
    const uint32_t counter[4] = {UINT32_MAX, draw->row0 + (uint32_t)row0,
                                 draw->tensor << 16 | draw->role << 12 | draw->microbatch, draw->step};
    uint32_t random[4];
    dither_philox(key, counter, random);
    return row0 + (size_t)((uint64_t)random[0] * count >> 32);
}

dither_variance dither_variance_span(const dither_grid *grid, size_t count, const float *x, const float *scale)
{
    return dither_loop_variance(grid, count, x, scale);
}

void dither_variance_add(const dither_variance *pieces, size_t rows, size_t cols, dither_clips *clips)
{
    dither_variance sums = {0};
    for (size_t row = 0; row < rows; row += DITHER_VARIANCE_ROWS) {
        const double count = (double)(rows - row < DITHER_VARIANCE_ROWS ? rows - row : DITHER_VARIANCE_ROWS);
        for (size_t k = 0; k < pieces_across(cols); k++, pieces++) {
            sums.variance += count * pieces->variance;
            sums.square += count * pieces->square;
        }
    }
    clips->variance += sums.variance;
    clips->square += sums.square;
}

void dither_clips_add(dither_clips *clips, uint64_t elements, uint64_t clipped)
{
    if (clips == NULL)
        return;
    clips->elements += elements;
    clips->clipped += clipped;
}
