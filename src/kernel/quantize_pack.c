/*
 * Around the row kernels: which scales need the whole matrix first, what a task is, and where blocks of codes go.
 *
 * A unit of work is a band of rows (whole regions of scales) of some columns. Its scales are found first, then blocks
 * of 64 x 256 are quantized for every target while they are near, and their codes written into the operands; meanwhile
 * the next unit of the task comes from memory. Tasks share maxima and counts alone, so that neither their cut nor the
 * number of threads shows in a result.
 */
#include "kernel/quantize_pack.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/pack_variance.h"
#include "kernel/quantize_rows.h"
#include "quant/scale.h"

enum {
    BAND_MOST = 512,        /* rows: regions of more are found in a pass of their own */
    CUT = 512,              /* columns of a unit where scales allow it */
    AHEAD_MOST = 384 << 10, /* bytes of a unit: two of them fit a second-level cache */
    TASKS_A_THREAD = 4,
    UNITS_MOST = 16,          /* of a task */
    SLACK = DITHER_PIECE_COLS /* floats behind a row of scales that blocks may read */
};

/* Scales within these bounds, or over zeros alone, are the fast kernels' (quantize_rows.h). */
static const float scale_least = 0x1p-64f, scale_most = 0x1p64f;

static const float one = 1.0f;

typedef struct target_work {
    const dither_pack_target *target;
    dither_quantize_plan plan[DITHER_PACK_OPERANDS];
    const dither_quantize_rows *kernel[DITHER_PACK_OPERANDS];
    dither_regions regions;
    bool scaled, local; /* local: a task finds its scales itself */
    uint32_t *amax;     /* [down][across], as the three below */
    float *scale;
    float *divisor;      /* scale 2^-fold, 1 for 0: s8 */
    float *inside;       /* E4M3 alone, without the scale of the tensor */
    float plain_divisor; /* of no scale */
    float tensor_scale;
    dither_variance *pieces; /* NULL: nobody asks */
    _Atomic uint32_t largest; /* of the whole matrix, where it is needed */
    _Atomic bool strange;     /* a scale found before the tasks is beyond the fast kernels' bounds */
} target_work;

typedef struct pack_job {
    const float *x;
    size_t rows, cols;
    size_t count;
    target_work work[DITHER_PACK_TARGETS];
    const dither_quantize_rows *fast;
    size_t band, cut; /* rows and columns of a unit */
    size_t cuts, units;
    size_t units_a_task;
    size_t current; /* target of a pass over one */
    _Atomic bool bad;
    _Atomic uint64_t clipped[DITHER_PACK_TARGETS];
} pack_job;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static size_t common_multiple(size_t a, size_t b)
{
    size_t x = a, y = b;
    while (y != 0) {
        const size_t rest = x % y;
        x = y;
        y = rest;
    }
    return dither_multiply(a / x, b);
}

/* ---- scratch --------------------------------------------------------------------------------------------------- */

/* Lay the scales of a target out; in a dry run only the bytes count. */
static void take_scales(dither_arena *arena, const dither_pack_target *target, size_t rows, size_t cols,
                        target_work *work)
{
    const dither_quantizer *quantizer = target->quantizer;
    work->regions = dither_regions_of(quantizer, target->axis, rows, cols);
    /* Blocks are whole vectors: the last one of a row reads on, and must not read what another task writes. */
    const size_t whole = (cols + DITHER_PIECE_COLS - 1) / DITHER_PIECE_COLS * DITHER_PIECE_COLS;
    work->regions.across = (whole + work->regions.width - 1) / work->regions.width;
    work->scaled = quantizer->shape != DITHER_SCALE_NONE;
    work->pieces = quantizer->rounding.mode == DITHER_ROUND_SR
                       ? dither_arena_take(arena, dither_variance_pieces(rows, cols), sizeof *work->pieces)
                       : NULL;
    if (!work->scaled)
        return;
    const size_t count = dither_multiply(work->regions.down, work->regions.across) + SLACK;
    work->amax = dither_arena_take(arena, count, sizeof *work->amax);
    work->scale = dither_arena_take(arena, count, sizeof *work->scale);
    work->divisor = dither_arena_take(arena, count, sizeof *work->divisor);
    if (quantizer->scale == DITHER_SCALE_E4M3)
        work->inside = dither_arena_take(arena, count, sizeof *work->inside);
}

size_t dither_quantize_pack_bytes(const dither_pack_target *targets, size_t count, size_t rows, size_t cols,
                                  int threads)
{
    (void)threads;
    dither_arena arena = dither_arena_dry();
    for (size_t t = 0; t < count; t++) {
        target_work work;
        take_scales(&arena, &targets[t], rows, cols, &work);
    }
    return arena.peak;
}

/* ---- scales ---------------------------------------------------------------------------------------------------- */

static dither_quantize_source source_of(const pack_job *job, const target_work *work, size_t row0, size_t row1,
                                        size_t col0, size_t col1)
{
    const dither_pack_target *target = work->target;
    return (dither_quantize_source){
        .x = job->x + row0 * job->cols + col0,
        .stride = job->cols,
        .rows = row1 - row0,
        .cols = col1 - col0,
        .row_factor = target->row_factor != NULL ? target->row_factor + row0 : NULL,
        .col_factor = target->col_factor != NULL ? target->col_factor + col0 : NULL,
    };
}

/* The end of the rows from `row` that one row of scales covers; all of them where every row has its own. */
static size_t run_end(const target_work *work, size_t row, size_t end)
{
    const size_t height = work->regions.height;
    return !work->scaled || height == 1 ? end : smaller(end, row / height * height + height);
}

static size_t region_at(const target_work *work, size_t row, size_t col)
{
    return row / work->regions.height * work->regions.across + col / work->regions.width;
}

/* Magnitudes of the regions of whole bands and whole widths. */
static void find_amax(const pack_job *job, const target_work *work, size_t row0, size_t row1, size_t col0, size_t col1)
{
    const dither_regions *regions = &work->regions;
    const size_t across = (col1 - col0 + regions->width - 1) / regions->width;
    for (size_t row = row0; row < row1; row += regions->height)
        memset(work->amax + region_at(work, row, col0), 0, across * sizeof *work->amax);
    for (size_t row = row0, end; row < row1; row = end) {
        end = run_end(work, row, row1);
        const dither_quantize_source source = source_of(job, work, row, end, col0, col1);
        uint32_t *amax = work->amax + region_at(work, row, col0);
        if (regions->height > 1 && regions->width == 1)
            job->fast->amax_cols(&source, amax);
        else
            job->fast->amax_rows(&source, regions->width, amax, regions->height == 1 ? regions->across : 0);
    }
}

/* One by one, by the definition. */
static void store_each(const dither_scale_job *job, const uint32_t *amax, size_t count, float *scale, float *inside)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t stored[sizeof(float)];
        dither_scale_store(job->type, dither_f32_from_bits(amax[i]), job->max, job->tensor, stored);
        scale[i] = dither_scale_load(job->type, job->tensor, stored);
        if (inside != NULL)
            inside[i] = dither_scale_load(job->type, 1.0f, stored);
    }
}

/* Scales of `count` regions from their magnitudes. Returns whether the fast kernels do them. */
static bool store_scales(pack_job *job, target_work *work, size_t first, size_t count)
{
    const dither_quantizer *quantizer = work->target->quantizer;
    const uint32_t *amax = work->amax + first;
    float *scale = work->scale + first, *divisor = work->divisor + first;
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = amax[i] > largest ? amax[i] : largest;
    if (largest >= DITHER_F32_INF) {
        atomic_store_explicit(&job->bad, true, memory_order_relaxed);
        return false;
    }
    float *inside = work->inside != NULL ? work->inside + first : NULL;
    const dither_scale_job scales = {
        .type = quantizer->scale, .max = quantizer->format.max, .tensor = work->tensor_scale};
    if (!job->fast->scales(&scales, amax, count, scale, inside))
        store_each(&scales, amax, count, scale, inside);
    bool plain = true;
    for (size_t i = 0; i < count; i++) {
        divisor[i] = (scale[i] != 0.0f ? scale[i] : 1.0f) * work->plain_divisor;
        const bool usual = scale[i] >= scale_least && scale[i] <= scale_most;
        plain = plain && (usual || amax[i] == 0); /* zeros alone stay zeros under any scale: E8M0's is 2^-127 */
    }
    return plain;
}

static bool find_scales(pack_job *job, target_work *work, size_t row0, size_t row1, size_t col0, size_t col1)
{
    find_amax(job, work, row0, row1, col0, col1);
    const size_t across = (col1 - col0 + work->regions.width - 1) / work->regions.width;
    bool plain = true;
    for (size_t row = row0; row < row1; row += work->regions.height)
        plain = store_scales(job, work, region_at(work, row, col0), across) && plain;
    return plain;
}

static void whole_amax_task(void *context, size_t index, int thread)
{
    (void)thread;
    pack_job *job = context;
    target_work *work = &job->work[job->current];
    const size_t row0 = index * DITHER_PIECE_ROWS, row1 = smaller(row0 + DITHER_PIECE_ROWS, job->rows);
    const dither_quantize_source source = source_of(job, work, row0, row1, 0, job->cols);
    uint32_t amax = 0;
    job->fast->amax_rows(&source, job->cols, &amax, 0);
    uint32_t seen = atomic_load_explicit(&work->largest, memory_order_relaxed);
    while (amax > seen && !atomic_compare_exchange_weak_explicit(&work->largest, &seen, amax, memory_order_relaxed,
                                                                 memory_order_relaxed)) {
    }
}

/* Columns of a task that finds scales of a band of its own. */
static size_t strip_of(const target_work *work)
{
    const size_t width = work->regions.width;
    return width < DITHER_ROWS_STEP ? round_up(DITHER_ROWS_STEP, width) : width;
}

static void global_scales_task(void *context, size_t index, int thread)
{
    (void)thread;
    pack_job *job = context;
    target_work *work = &job->work[job->current];
    const size_t strip = strip_of(work), strips = (job->cols + strip - 1) / strip;
    const size_t row0 = index / strips * work->regions.height, col0 = index % strips * strip;
    if (!find_scales(job, work, row0, smaller(row0 + work->regions.height, job->rows), col0,
                     smaller(col0 + strip, job->cols)))
        atomic_store_explicit(&work->strange, true, memory_order_relaxed);
}

/* Passes over the whole matrix that have to come first: maxima of it all, and regions of more rows than a task's. */
static void find_global_scales(pack_job *job, size_t t, int threads)
{
    job->current = t;
    target_work *work = &job->work[t];
    const dither_quantizer *quantizer = work->target->quantizer;
    if (!work->scaled)
        return;
    if (quantizer->shape == DITHER_SCALE_TENSOR || quantizer->scale == DITHER_SCALE_E4M3) {
        dither_parallel_for(threads, (job->rows + DITHER_PIECE_ROWS - 1) / DITHER_PIECE_ROWS, whole_amax_task, job);
        const uint32_t amax = atomic_load(&work->largest);
        if (amax >= DITHER_F32_INF) {
            atomic_store(&job->bad, true);
            return;
        }
        if (quantizer->scale == DITHER_SCALE_E4M3)
            work->tensor_scale = dither_scale_tensor(dither_f32_from_bits(amax), quantizer->format.max);
        if (quantizer->shape == DITHER_SCALE_TENSOR) {
            work->amax[0] = amax;
            atomic_store(&work->strange, !store_scales(job, work, 0, 1));
            return;
        }
    }
    if (!work->local) {
        const size_t strip = strip_of(work);
        dither_parallel_for(threads, work->regions.down * ((job->cols + strip - 1) / strip), global_scales_task, job);
    }
}

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

/* A block's columns filled up with zeros to a multiple of DITHER_ROWS_STEP, where they are not one. */
typedef struct block_edge {
    float x[DITHER_PIECE_ROWS * DITHER_PIECE_COLS];
    float factor[DITHER_PIECE_COLS];
} block_edge;

static void fill_edge(dither_quantize_source *source, block_edge *edge)
{
    const size_t cols = source->cols, padded = round_up(cols, DITHER_ROWS_STEP);
    for (size_t i = 0; i < source->rows; i++) {
        float *to = edge->x + i * DITHER_PIECE_COLS;
        memcpy(to, source->x + i * source->stride, cols * sizeof *to);
        memset(to + cols, 0, (padded - cols) * sizeof *to);
    }
    if (source->col_factor != NULL) {
        memcpy(edge->factor, source->col_factor, cols * sizeof *edge->factor);
        memset(edge->factor + cols, 0, (padded - cols) * sizeof *edge->factor);
        source->col_factor = edge->factor;
    }
    source->x = edge->x;
    source->ahead = 0;
    source->stride = DITHER_PIECE_COLS;
    source->cols = padded;
}

/* The rows of `block` from `row` on, `rows` of them. */
static dither_quantize_block part_of(const dither_quantize_block *block, size_t row, size_t rows)
{
    dither_quantize_block part = *block;
    const size_t element = block->plan->element == DITHER_ELEMENT_S8 ? sizeof(int8_t) : sizeof(uint16_t);
    part.source.x += row * part.source.stride;
    part.source.rows = rows;
    if (part.source.row_factor != NULL)
        part.source.row_factor += row;
    part.row0 += row;
    part.values = (unsigned char *)block->values + row * DITHER_PIECE_COLS * element;
    part.clipped = 0;
    part.bad = false;
    return part;
}

static void add_part(dither_quantize_block *block, const dither_quantize_block *part)
{
    block->clipped += part->clipped;
    block->bad = block->bad || part->bad;
}

/* A row whose regions are no power of two wide: their scales written out, column by column. */
static void quantize_spread(const target_work *work, const dither_quantize_rows *kernel, dither_quantize_block *block)
{
    float spread[3][DITHER_PIECE_COLS];
    for (size_t i = 0; i < block->source.rows; i++) {
        for (size_t j = 0; j < block->source.cols; j++) {
            const size_t region = region_at(work, block->row0 + i, block->col0 + j);
            spread[0][j] = work->scale[region];
            spread[1][j] = work->divisor[region];
            spread[2][j] = work->inside != NULL ? work->inside[region] : work->scale[region];
        }
        dither_quantize_block part = part_of(block, i, 1);
        part.scale = spread[0];
        part.divisor = spread[1];
        part.inside = spread[2];
        part.shift = 0;
        kernel->quantize(&part);
        add_part(block, &part);
    }
}

/* How columns find their scales in a row of them; false where a shift does not say it. */
static bool shift_of(const target_work *work, size_t cols, unsigned *shift)
{
    const size_t width = work->regions.width;
    *shift = 0;
    if (width >= cols || (width >= DITHER_PIECE_COLS && width % DITHER_PIECE_COLS == 0)) {
        *shift = DITHER_SHIFT_WHOLE;
        return true;
    }
    while (((size_t)1 << *shift) < width)
        ++*shift;
    return width == 1 || (width >= 16 && (size_t)1 << *shift == width && width < DITHER_PIECE_COLS);
}

static void quantize_block(const pack_job *job, const target_work *work, const dither_quantize_rows *kernel,
                           dither_quantize_block *block)
{
    block->scale = block->inside = &one;
    block->divisor = &work->plain_divisor;
    block->shift = DITHER_SHIFT_WHOLE;
    block->scale_step = 0;
    if (!work->scaled) {
        kernel->quantize(block);
        return;
    }
    if (!shift_of(work, job->cols, &block->shift)) {
        quantize_spread(work, kernel, block);
        return;
    }
    const size_t end = block->row0 + block->source.rows;
    for (size_t row = block->row0, next; row < end; row = next) {
        next = run_end(work, row, end);
        dither_quantize_block part = part_of(block, row - block->row0, next - row);
        const size_t region = region_at(work, row, block->col0);
        part.scale = work->scale + region;
        part.divisor = work->divisor + region;
        part.inside = work->inside != NULL ? work->inside + region : part.scale;
        part.scale_step = work->regions.height == 1 ? work->regions.across : 0;
        kernel->quantize(&part);
        add_part(block, &part);
    }
}

static bool same_values(const dither_quantize_plan *a, const dither_quantize_plan *b)
{
    return a->element == b->element && a->inside == b->inside;
}

/* One block of one target into all of its operands. `padded`: the block as kernels read it. */
static void pack_block(pack_job *job, size_t t, bool plain, const dither_quantize_source *padded, size_t row0,
                       size_t col0, size_t cols)
{
    target_work *work = &job->work[t];
    const dither_pack_target *target = work->target;
    _Alignas(64) uint16_t values[DITHER_PIECE_ROWS * DITHER_PIECE_COLS];
    const dither_quantize_plan *made = NULL;
    for (size_t o = 0; o < DITHER_PACK_OPERANDS; o++) {
        if (target->operand[o] == NULL)
            continue;
        if (made == NULL || !same_values(made, &work->plan[o])) {
            dither_quantize_block block = {
                .plan = &work->plan[o], .source = *padded, .row0 = row0, .col0 = col0, .values = values};
            quantize_block(job, work, plain ? work->kernel[o] : &dither_quantize_rows_ref, &block);
            if (made == NULL)
                atomic_fetch_add_explicit(&job->clipped[t], block.clipped, memory_order_relaxed);
            if (block.bad)
                atomic_store_explicit(&job->bad, true, memory_order_relaxed);
            made = &work->plan[o];
        }
        dither_operand_write(target->operand[o], target->operand_axis[o], row0, col0, padded->rows, cols, values,
                             DITHER_PIECE_COLS);
    }
}

static void find_variance(const pack_job *job, const target_work *work, size_t row0, size_t row1, size_t col0,
                          size_t col1)
{
    const dither_regions *regions = work->scaled ? &work->regions : NULL;
    const dither_pack_variance of = {job->x,    job->rows,           job->cols, work->target,
                                     job->fast, &work->plan[0].grid, regions,   work->scale, work->pieces};
    if (work->pieces != NULL && work->target->clips != NULL)
        dither_pack_variance_find(&of, row0, row1, col0, col1 - col0);
}

/* A band of some columns. `ahead`: elements from here to the next of the task. */
static void pack_unit(pack_job *job, size_t row0, size_t col0, size_t ahead)
{
    const size_t row1 = smaller(row0 + job->band, job->rows), col1 = smaller(col0 + job->cut, job->cols);
    bool plain[DITHER_PACK_TARGETS];
    for (size_t t = 0; t < job->count; t++) {
        target_work *work = &job->work[t];
        plain[t] = work->local ? find_scales(job, work, row0, row1, col0, col1) : !atomic_load(&work->strange);
    }
    if (atomic_load_explicit(&job->bad, memory_order_relaxed))
        return;
    block_edge edge;
    for (size_t row = row0; row < row1; row += DITHER_PIECE_ROWS) {
        for (size_t col = col0; col < col1; col += DITHER_PIECE_COLS) {
            const size_t row_end = smaller(row + DITHER_PIECE_ROWS, row1);
            const size_t col_end = smaller(col + DITHER_PIECE_COLS, col1);
            for (size_t t = 0; t < job->count; t++) {
                dither_quantize_source source = source_of(job, &job->work[t], row, row_end, col, col_end);
                source.ahead = t == 0 ? ahead : 0;
                if (source.cols % DITHER_ROWS_STEP != 0)
                    fill_edge(&source, &edge);
                pack_block(job, t, plain[t], &source, row, col, col_end - col);
                find_variance(job, &job->work[t], row, row_end, col, col_end);
            }
        }
    }
}

static void pack_task(void *context, size_t index, int thread)
{
    (void)thread;
    pack_job *job = context;
    const size_t first = index * job->units_a_task, end = smaller(first + job->units_a_task, job->units);
    const bool near = job->band * smaller(job->cut, job->cols) * sizeof(float) <= AHEAD_MOST;
    for (size_t unit = first; unit < end; unit++) {
        const size_t row0 = unit / job->cuts * job->band, col0 = unit % job->cuts * job->cut;
        const size_t next_row = (unit + 1) / job->cuts * job->band, next_col = (unit + 1) % job->cuts * job->cut;
        const size_t ahead = (next_row - row0) * job->cols + next_col - col0;
        pack_unit(job, row0, col0, near && unit + 1 < end ? ahead : 0);
    }
}

/* ---- scales of operands ---------------------------------------------------------------------------------------- */

static void fill_scales(const target_work *work, size_t o)
{
    dither_operand *operand = work->target->operand[o];
    if (operand == NULL)
        return;
    if (!work->scaled || work->target->bare[o] || work->plan[o].inside) {
        const bool tensor = work->plan[o].inside && work->target->quantizer->scale == DITHER_SCALE_E4M3;
        dither_operand_fill_scale(operand, tensor ? work->tensor_scale : 1.0f);
        return;
    }
    const bool along_cols = work->target->operand_axis[o] == DITHER_AXIS_COLS;
    const dither_regions *regions = &work->regions;
    const size_t same = along_cols ? regions->height : regions->width, step = along_cols ? regions->across : 1;
    for (size_t g = 0; g < operand->groups; g++) {
        float *scale = operand->scale + g * operand->padded_rows;
        const size_t k = g * operand->group;
        const float *from = work->scale + (along_cols ? region_at(work, 0, k) : region_at(work, k, 0));
        for (size_t r = 0; r < operand->rows; from += step)
            for (const size_t end = smaller(r + same, operand->rows); r < end; r++)
                scale[r] = *from;
        for (size_t r = operand->rows; r < operand->padded_rows; r++)
            scale[r] = 0.0f;
    }
}

static void fill_scales_task(void *context, size_t index, int thread)
{
    (void)thread;
    const pack_job *job = context;
    fill_scales(&job->work[index / DITHER_PACK_OPERANDS], index % DITHER_PACK_OPERANDS);
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

static void plan_operand(const pack_job *job, target_work *work, size_t o)
{
    const dither_pack_target *target = work->target;
    const dither_quantizer *quantizer = target->quantizer;
    const dither_element element = target->operand[o]->kernel->element;
    assert(dither_pack_fits(quantizer, target->axis, target->operand_axis[o], target->bare[o], element));
    assert(quantizer->rounding.mode != DITHER_ROUND_SR || target->draw != NULL);
    dither_quantize_plan *plan = &work->plan[o];
    *plan = (dither_quantize_plan){
        .quantizer = quantizer,
        .draw = target->draw,
        .element = element,
        .inside = dither_pack_inside(quantizer, target->bare[o], element),
        .grid = dither_grid_of(&quantizer->format),
    };
    dither_value_table_init(&plan->values, &quantizer->format);
    const bool folds = quantizer->rounding.mode == DITHER_ROUND_SR && quantizer->rounding.bits <= 16;
    plan->fold = folds ? quantizer->rounding.bits : 0;
    work->plain_divisor = ldexpf(1.0f, -plan->fold);
    work->kernel[o] = job->fast->can(plan) ? job->fast : &dither_quantize_rows_ref;
}

/* Bands hold whole regions, and a cut whole widths, of all scales that a unit finds itself. */
static void cut_tasks(pack_job *job, int threads)
{
    job->band = DITHER_PIECE_ROWS;
    bool narrow = true;
    for (size_t t = 0; t < job->count; t++) {
        target_work *work = &job->work[t];
        if (!work->scaled || work->target->quantizer->shape == DITHER_SCALE_TENSOR)
            continue;
        const size_t band = common_multiple(job->band, work->regions.height);
        work->local = band <= BAND_MOST;
        if (work->local) {
            job->band = band;
            narrow = narrow && CUT % work->regions.width == 0;
        }
    }
    job->cut = narrow ? CUT : round_up(job->cols, CUT);
    job->cuts = (job->cols + job->cut - 1) / job->cut;
    job->units = (job->rows + job->band - 1) / job->band * job->cuts;
    const size_t wanted = job->units / ((size_t)threads * TASKS_A_THREAD);
    job->units_a_task = wanted < 1 ? 1 : smaller(wanted, UNITS_MOST);
}

dither_status dither_quantize_pack_with(const dither_quantize_rows *kernels, const float *x, size_t rows, size_t cols,
                                        const dither_pack_target *targets, size_t count, void *scratch,
                                        dither_clips *clips, int threads)
{
    assert(count <= DITHER_PACK_TARGETS);
    if (rows == 0 || cols == 0)
        return DITHER_OK;
    pack_job job = {.x = x, .rows = rows, .cols = cols, .count = count, .fast = kernels};
    dither_arena arena = {.base = scratch, .size = dither_quantize_pack_bytes(targets, count, rows, cols, threads)};
    for (size_t t = 0; t < count; t++) {
        target_work *work = &job.work[t];
        work->target = &targets[t];
        work->tensor_scale = 1.0f;
        take_scales(&arena, &targets[t], rows, cols, work);
        for (size_t o = 0; o < DITHER_PACK_OPERANDS; o++)
            if (targets[t].operand[o] != NULL)
                plan_operand(&job, work, o);
    }
    cut_tasks(&job, threads);
    for (size_t t = 0; t < count && !atomic_load(&job.bad); t++)
        find_global_scales(&job, t, threads);
    if (!atomic_load(&job.bad))
        dither_parallel_for(threads, (job.units + job.units_a_task - 1) / job.units_a_task, pack_task, &job);
    if (atomic_load(&job.bad))
        return DITHER_E_NUMERIC;
    dither_parallel_for(threads, count * DITHER_PACK_OPERANDS, fill_scales_task, &job);
    for (size_t t = 0; t < count; t++) {
        const uint64_t clipped = atomic_load(&job.clipped[t]);
        dither_clips_add(clips, (uint64_t)rows * cols, clipped);
        dither_clips_add(targets[t].clips, (uint64_t)rows * cols, clipped);
        if (job.work[t].pieces != NULL && targets[t].clips != NULL)
            dither_variance_add(job.work[t].pieces, rows, cols, targets[t].clips);
    }
    return DITHER_OK;
}

dither_status dither_quantize_pack(const float *x, size_t rows, size_t cols, const dither_pack_target *targets,
                                   size_t count, void *scratch, dither_clips *clips, int threads)
{
    const dither_quantize_rows *kernels = dither_quantize_rows_select(dither_cpu_active()->features);
    return dither_quantize_pack_with(kernels, x, rows, cols, targets, count, scratch, clips, threads);
}
