#include "quant/hadamard.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/philox.h"

enum { STRIP = 128 }; /* columns a task takes: with a block of 128 rows, 64 KiB, which a core's own cache holds */

typedef struct transform {
    const float *x;
    size_t rows, cols, block;
    dither_draw draw;
    float *y;
} transform;

size_t dither_hadamard_rows(size_t rows, size_t block)
{
    return (rows / block + (rows % block != 0)) * block;
}

/* y's rows begin as D x, zero below the last row of x. */
static void load_signed(const transform *t, size_t row0, size_t col0, size_t width)
{
    for (size_t i = row0; i < row0 + t->block; i++) {
        float *y = t->y + i * t->cols + col0;
        if (i >= t->rows) {
            memset(y, 0, width * sizeof *y);
            continue;
        }
        const float *x = t->x + i * t->cols + col0;
        const float sign = (dither_draw_u32(&t->draw, i, 0) & 1) != 0 ? -1.0f : 1.0f;
        for (size_t j = 0; j < width; j++) {
            y[j] = sign * x[j];
        }
    }
}

static void butterfly(float *a, float *b, size_t width)
{
    for (size_t j = 0; j < width; j++) {
        const float sum = a[j] + b[j];
        b[j] = a[j] - b[j];
        a[j] = sum;
    }
}

static void strip(void *context, size_t index, int thread)
{
    (void)thread;
    const transform *t = context;
    const size_t strips = (t->cols + STRIP - 1) / STRIP;
    const size_t row0 = index / strips * t->block;
    const size_t col0 = index % strips * STRIP;
    const size_t width = t->cols - col0 < STRIP ? t->cols - col0 : STRIP;
    load_signed(t, row0, col0, width);
    float *base = t->y + row0 * t->cols + col0;
    for (size_t half = 1; half < t->block; half *= 2) {
        for (size_t i = 0; i < t->block; i++) {
            if ((i & half) == 0) {
                butterfly(base + i * t->cols, base + (i + half) * t->cols, width);
            }
        }
    }
    const float norm = (float)(1.0 / sqrt((double)t->block));
    for (size_t i = 0; i < t->block; i++) {
        for (size_t j = 0; j < width; j++) {
            base[i * t->cols + j] *= norm;
        }
    }
}

void dither_hadamard(const float *x, size_t rows, size_t cols, size_t block, const dither_draw *draw, float *y,
                     int threads)
{
    assert(block > 0 && (block & (block - 1)) == 0);
    transform t = {.x = x, .rows = rows, .cols = cols, .block = block, .draw = *draw, .y = y};
    t.draw.role = DITHER_FIELD_HADAMARD;
    const size_t blocks = dither_hadamard_rows(rows, block) / block;
    const size_t strips = (cols + STRIP - 1) / STRIP;
    dither_parallel_for(threads, blocks * strips, strip, &t);
}
