/*
 * f32 to codes, the definition of truth: first every scale, then every code. Tasks are fixed pieces of the matrix, and
 * what they share is a maximum and two counts, so that the number of threads shows nowhere.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "base/philox.h"
#include "quant/bits.h"
#include "quant/pack.h"
#include "quant/round.h"
#include "quant/scale.h"
#include "quant/span.h"
#include "quant/variance.h"

enum { STRIP = 256 }; /* columns of a task where each column has a scale of its own */

typedef struct job {
    dither_codes *codes;
    dither_regions regions;
    dither_grid grid;
    const float *x, *row_factor, *col_factor;
    const dither_draw *draw;
    _Atomic uint32_t amax; /* f32 bits, which are ordered as the magnitudes are, NaN above all */
    _Atomic bool bad;      /* x' holds NaN or Inf */
    _Atomic uint64_t clipped;
} job;

static float factor_at(const job *work, size_t i)
{
    return work->row_factor != NULL ? work->row_factor[i] : 1.0f;
}

/* Largest magnitude of a span of row i of x', as f32 bits. */
static uint32_t span_amax(const job *work, size_t i, size_t first, size_t count)
{
    const float *x = work->x + i * work->codes->cols + first;
    const float factor = factor_at(work, i);
    uint32_t amax = 0;
    if (work->col_factor == NULL) {
        for (size_t j = 0; j < count; j++) {
            const uint32_t bits = dither_f32_bits(x[j] * factor) & 0x7fffffffu;
            amax = bits > amax ? bits : amax;
        }
        return amax;
    }
    const float *col = work->col_factor + first;
    for (size_t j = 0; j < count; j++) {
        const uint32_t bits = dither_f32_bits(x[j] * factor * col[j]) & 0x7fffffffu;
        amax = bits > amax ? bits : amax;
    }
    return amax;
}

static void store_scale(job *work, size_t region, uint32_t amax)
{
    const dither_quantizer *quantizer = &work->codes->quantizer;
    if (amax >= DITHER_F32_INF) {
        atomic_store_explicit(&work->bad, true, memory_order_relaxed);
        amax = 0;
    }
    dither_scale_store(quantizer->scale, dither_f32_from_bits(amax), quantizer->format.max, work->codes->tensor_scale,
                       work->codes->scale + region * dither_scale_bytes(quantizer->scale));
}

static void tensor_amax_task(void *context, size_t index, int thread)
{
    (void)thread;
    job *work = context;
    const size_t rows = work->codes->rows;
    const size_t row0 = index * DITHER_SPAN_ROWS;
    const size_t end = rows - row0 < DITHER_SPAN_ROWS ? rows : row0 + DITHER_SPAN_ROWS;
    uint32_t amax = 0;
    for (size_t i = row0; i < end; i++) {
        const uint32_t row = span_amax(work, i, 0, work->codes->cols);
        amax = row > amax ? row : amax;
    }
    uint32_t seen = atomic_load_explicit(&work->amax, memory_order_relaxed);
    while (amax > seen && !atomic_compare_exchange_weak_explicit(&work->amax, &seen, amax, memory_order_relaxed,
                                                                 memory_order_relaxed)) {
    }
}

/* Regions wider than a column: a task is a band of them, or as many flat bands as fill a task's rows. */
static size_t bands_a_task(const job *work)
{
    return work->regions.height < DITHER_SPAN_ROWS ? DITHER_SPAN_ROWS / work->regions.height : 1;
}

static void band_scales_task(void *context, size_t index, int thread)
{
    (void)thread;
    job *work = context;
    const dither_regions *regions = &work->regions;
    const size_t rows = work->codes->rows, cols = work->codes->cols;
    const size_t band0 = index * bands_a_task(work);
    for (size_t band = band0; band < band0 + bands_a_task(work) && band < regions->down; band++) {
        const size_t row0 = band * regions->height;
        const size_t end = rows - row0 < regions->height ? rows : row0 + regions->height;
        for (size_t region = 0; region < regions->across; region++) {
            const size_t first = region * regions->width;
            const size_t count = cols - first < regions->width ? cols - first : regions->width;
            uint32_t amax = 0;
            for (size_t i = row0; i < end; i++) {
                const uint32_t row = span_amax(work, i, first, count);
                amax = row > amax ? row : amax;
            }
            store_scale(work, band * regions->across + region, amax);
        }
    }
}

/* Regions of one column: a task is a band of a strip of them, read row by row. */
static void column_scales_task(void *context, size_t index, int thread)
{
    (void)thread;
    job *work = context;
    const size_t rows = work->codes->rows, cols = work->codes->cols, height = work->regions.height;
    const size_t strips = (cols + STRIP - 1) / STRIP;
    const size_t band = index / strips, first = index % strips * STRIP;
    const size_t count = cols - first < STRIP ? cols - first : STRIP;
    const size_t row0 = band * height;
    const size_t end = rows - row0 < height ? rows : row0 + height;
    uint32_t amax[STRIP] = {0};
    for (size_t i = row0; i < end; i++) {
        const float *x = work->x + i * cols + first;
        const float factor = factor_at(work, i);
        for (size_t j = 0; j < count; j++) {
            const float scaled = x[j] * factor * (work->col_factor != NULL ? work->col_factor[first + j] : 1.0f);
            const uint32_t bits = dither_f32_bits(scaled) & 0x7fffffffu;
            amax[j] = bits > amax[j] ? bits : amax[j];
        }
    }
    for (size_t j = 0; j < count; j++) {
        store_scale(work, band * cols + first + j, amax[j]);
    }
}

static void find_scales(job *work, int threads)
{
    dither_codes *codes = work->codes;
    const dither_quantizer *quantizer = &codes->quantizer;
    const dither_regions *regions = &work->regions;
    codes->tensor_scale = 1.0f;
    if (quantizer->shape == DITHER_SCALE_NONE) {
        return;
    }
    const size_t row_tasks = (codes->rows + DITHER_SPAN_ROWS - 1) / DITHER_SPAN_ROWS;
    if (quantizer->scale == DITHER_SCALE_E4M3 || quantizer->shape == DITHER_SCALE_TENSOR) {
        dither_parallel_for(threads, row_tasks, tensor_amax_task, work);
    }
    const uint32_t amax = atomic_load(&work->amax);
    if (amax >= DITHER_F32_INF) {
        atomic_store(&work->bad, true);
        return;
    }
    if (quantizer->scale == DITHER_SCALE_E4M3) {
        codes->tensor_scale = dither_scale_tensor(dither_f32_from_bits(amax), quantizer->format.max);
    }
    if (quantizer->shape == DITHER_SCALE_TENSOR) {
        if (codes->scales > 0) {
            store_scale(work, 0, amax);
        }
    } else if (regions->width == 1 && codes->axis == DITHER_AXIS_ROWS) {
        dither_parallel_for(threads, regions->down * ((codes->cols + STRIP - 1) / STRIP), column_scales_task, work);
    } else {
        const size_t bands = bands_a_task(work);
        dither_parallel_for(threads, (regions->down + bands - 1) / bands, band_scales_task, work);
    }
}

/* y = x' of a span. */
static void load_span(const job *work, size_t i, size_t first, size_t count, float *y)
{
    const float *x = work->x + i * work->codes->cols + first;
    const float factor = factor_at(work, i);
    for (size_t j = 0; j < count; j++) {
        y[j] = x[j] * factor;
    }
    if (work->col_factor != NULL) {
        for (size_t j = 0; j < count; j++) {
            y[j] *= work->col_factor[first + j];
        }
    }
}

static bool all_finite(const float *y, size_t count)
{
    uint32_t amax = 0;
    for (size_t j = 0; j < count; j++) {
        const uint32_t bits = dither_f32_bits(y[j]) & 0x7fffffffu;
        amax = bits > amax ? bits : amax;
    }
    return amax < DITHER_F32_INF;
}

/* A scale of 0 stands over zeros alone; their codes are 0, the sign of a -0 included. No branch: vector code. */
static void divide_span(float *y, const float *scales, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        const uint32_t some = scales[j] != 0.0f;
        const float quotient = y[j] / (scales[j] + (float)(int32_t)(some ^ 1));
        y[j] = dither_f32_from_bits(dither_f32_bits(quotient) & (0u - some));
    }
}

static size_t encode_span(const job *work, size_t i, size_t first, size_t count, const float *y)
{
    const dither_quantizer *quantizer = &work->codes->quantizer;
    const dither_format *format = &quantizer->format;
    const size_t offset = first / (size_t)format->group_codes * (size_t)format->group_bytes;
    uint8_t *packed = work->codes->packed + i * work->codes->row_bytes + offset;
    if (format->bits == 32 && format->kind == DITHER_KIND_FLOAT) { /* f32 is its own code */
        memcpy(packed, y, count * sizeof *y);
        return 0;
    }
    uint32_t random[DITHER_SPAN], codes[DITHER_SPAN];
    if (quantizer->rounding.mode == DITHER_ROUND_SR) {
        dither_draw_fill(work->draw, i, first, count, quantizer->rounding.bits, random);
    }
    const size_t clipped = dither_round_span(&work->grid, quantizer->rounding, y, random, count, codes);
    dither_pack(format, codes, count, packed);
    return clipped;
}

static void encode_task(void *context, size_t index, int thread)
{
    (void)thread;
    job *work = context;
    const size_t rows = work->codes->rows, cols = work->codes->cols;
    const size_t row0 = index * DITHER_SPAN_ROWS;
    const size_t end = rows - row0 < DITHER_SPAN_ROWS ? rows : row0 + DITHER_SPAN_ROWS;
    const bool scaled = work->codes->quantizer.shape != DITHER_SCALE_NONE;
    float y[DITHER_SPAN], scales[DITHER_SPAN];
    uint64_t clipped = 0;
    bool finite = true;
    for (size_t first = 0; first < cols; first += DITHER_SPAN) {
        const size_t count = cols - first < DITHER_SPAN ? cols - first : DITHER_SPAN;
        for (size_t i = row0; i < end; i++) {
            load_span(work, i, first, count, y);
            if (scaled) {
                if (i == row0 || i % work->regions.height == 0) {
                    dither_span_scales(work->codes, &work->regions, i, first, count, scales);
                }
                divide_span(y, scales, count);
            } else {
                finite = finite && all_finite(y, count);
            }
            clipped += encode_span(work, i, first, count, y);
        }
    }
    atomic_fetch_add_explicit(&work->clipped, clipped, memory_order_relaxed);
    if (!finite) {
        atomic_store_explicit(&work->bad, true, memory_order_relaxed);
    }
}

/* Piece by piece, in the order of dither_variance_add. */
static void add_variance(const job *work, dither_clips *clips)
{
    const dither_codes *codes = work->codes;
    dither_variance sums = {0};
    for (size_t row0 = 0; row0 < codes->rows; row0 += DITHER_VARIANCE_ROWS) {
        const size_t rows = codes->rows - row0 < DITHER_VARIANCE_ROWS ? codes->rows - row0 : DITHER_VARIANCE_ROWS;
        const size_t row = dither_variance_row(work->draw, row0, rows);
        for (size_t first = 0; first < codes->cols; first += DITHER_VARIANCE_COLS) {
            const size_t rest = codes->cols - first;
            const size_t count = rest < DITHER_VARIANCE_COLS ? rest : DITHER_VARIANCE_COLS;
            float x[DITHER_VARIANCE_COLS], scale[DITHER_VARIANCE_COLS];
            load_span(work, row, first, count, x);
            for (size_t j = 0; j < count; j++)
                scale[j] = dither_codes_scale(codes, row, first + j);
            const dither_variance piece = dither_variance_span(&work->grid, count, x, scale);
            sums.variance += (double)rows * piece.variance;
            sums.square += (double)rows * piece.square;
        }
    }
    clips->variance += sums.variance;
    clips->square += sums.square;
}

dither_status dither_quantize(dither_codes *codes, const float *x, const float *row_factor, const float *col_factor,
                              const dither_draw *draw, dither_clips *clips, int threads)
{
    assert(draw != NULL || codes->quantizer.rounding.mode != DITHER_ROUND_SR);
    job work = {.codes = codes,
                .regions = dither_regions_of(&codes->quantizer, codes->axis, codes->rows, codes->cols),
                .grid = dither_grid_of(&codes->quantizer.format),
                .x = x,
                .row_factor = row_factor,
                .col_factor = col_factor,
                .draw = draw};
    find_scales(&work, threads);
    if (atomic_load(&work.bad)) {
        return DITHER_E_NUMERIC;
    }
    dither_parallel_for(threads, (codes->rows + DITHER_SPAN_ROWS - 1) / DITHER_SPAN_ROWS, encode_task, &work);
    if (atomic_load(&work.bad)) {
        return DITHER_E_NUMERIC;
    }
    if (clips != NULL) {
        clips->elements += (uint64_t)codes->rows * codes->cols;
        clips->clipped += atomic_load(&work.clipped);
        if (codes->quantizer.rounding.mode == DITHER_ROUND_SR)
            add_variance(&work, clips);
    }
    return DITHER_OK;
}
