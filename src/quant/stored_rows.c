#include "quant/stored_rows.h"

#include <assert.h>

enum { TILE = 64 }; /* rows that are read together where the file has them as columns: a few cache lines */

dither_stored dither_stored_f32(const float *x, size_t rows, size_t cols)
{
    return (dither_stored){.type = DITHER_BLOCK_F32,
                           .data = (const unsigned char *)x,
                           .rows = rows,
                           .cols = cols,
                           .stride = cols * sizeof *x};
}

bool dither_stored_whole_rows(const dither_stored *stored)
{
    return !stored->transposed && !stored->plus_one;
}

const unsigned char *dither_stored_row(const dither_stored *stored, size_t row)
{
    assert(row < stored->rows && !stored->transposed);
    if (stored->interleaved) {
        const size_t head_rows = stored->rows / stored->interleaved, half = head_rows / 2;
        const size_t head = row / head_rows, within = row % head_rows;
        row = head * head_rows + 2 * (within % half) + within / half;
    }
    return stored->data + row * stored->stride;
}

/* A column of the file at a time: its values of these rows stand side by side. */
static void read_transposed(const dither_stored *stored, size_t first, size_t count, float *x)
{
    const size_t width = dither_block_info_of(stored->type)->bytes;
    float tile[TILE];
    for (size_t i = 0; i < count; i += TILE) {
        const size_t rows = count - i < TILE ? count - i : TILE;
        for (size_t j = 0; j < stored->cols; j++) {
            dither_block_decode(stored->type, rows, stored->data + j * stored->stride + (first + i) * width, tile);
            for (size_t k = 0; k < rows; k++)
                x[(i + k) * stored->cols + j] = tile[k];
        }
    }
}

void dither_stored_rows(const dither_stored *stored, size_t first, size_t count, float *x)
{
    assert(first <= stored->rows && count <= stored->rows - first);
    if (stored->transposed)
        read_transposed(stored, first, count, x);
    else
        for (size_t i = 0; i < count; i++)
            dither_block_decode(stored->type, stored->cols, dither_stored_row(stored, first + i), x + i * stored->cols);
    for (size_t i = 0; stored->plus_one && i < count * stored->cols; i++)
        x[i] += 1;
}
