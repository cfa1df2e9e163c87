#include "model/export_rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/parallel.h"

enum { PIECE_VALUES = 1 << 14, THREAD_PIECES = 4 }; /* at least a row; of a chunk, which is handed over at once */

/* A parameter inside of the tensor: rows [from, from + stored.rows). */
typedef struct part {
    dither_stored stored;
    size_t from;
    size_t heads; /* whose rows the target has interleaved */
} part;

typedef struct job {
    const dither_export_tensor *tensor;
    part parts[DITHER_EXPORT_PARTS];
    size_t count;
    bool minus_one;
    const dither_draw *draw;
    size_t row_bytes;
    size_t first, end;  /* rows of this chunk */
    size_t piece;       /* rows of a piece */
    size_t chunk;       /* rows of a chunk */
    float *scratch;     /* [threads][piece][cols] */
    bool *unfit;        /* [threads] a value does not fit the type */
    unsigned char *out; /* of the chunk */
} job;

static const part *part_of(const job *j, size_t row)
{
    size_t i = 0;
    while (row >= j->parts[i].from + j->parts[i].stored.rows)
        i++;
    assert(i < j->count && row >= j->parts[i].from);
    return &j->parts[i];
}

/* Row 2 k + half of a head in the target is row k + half d / 2 of ours. */
static size_t our_row(const part *p, size_t row)
{
    row -= p->from;
    if (p->heads == 0)
        return row;
    const size_t d = p->stored.rows / p->heads, within = row % d;
    return row - within + within / 2 + within % 2 * (d / 2);
}

static bool copies(const job *j, const part *p)
{
    return p->stored.type == j->tensor->type && dither_stored_whole_rows(&p->stored) && !j->minus_one;
}

static void encode_rows(const job *j, size_t row, size_t count, float *x, int thread)
{
    const size_t cols = j->tensor->cols;
    for (size_t i = 0; j->minus_one && i < count * cols; i++)
        x[i] -= 1;
    if (j->tensor->type != DITHER_BLOCK_F32 && !dither_block_fits(j->tensor->type, count * cols, x))
        j->unfit[thread] = true;
    for (size_t i = 0; i < count; i++)
        dither_block_encode(j->tensor->type, cols, x + i * cols, j->out + (row + i - j->first) * j->row_bytes, j->draw,
                            row + i);
}

static void make_piece(void *context, size_t index, int thread)
{
    const job *j = context;
    float *x = j->scratch + (size_t)thread * j->piece * j->tensor->cols;
    size_t row = j->first + index * j->piece;
    const size_t end = j->end - row < j->piece ? j->end : row + j->piece;
    while (row < end) {
        const part *p = part_of(j, row);
        const size_t left = p->from + p->stored.rows - row;
        size_t count = end - row < left ? end - row : left;
        if (copies(j, p)) {
            for (size_t i = 0; i < count; i++)
                memcpy(j->out + (row + i - j->first) * j->row_bytes, dither_stored_row(&p->stored, our_row(p, row + i)),
                       j->row_bytes);
        } else {
            if (p->heads > 0)
                for (size_t i = 0; i < count; i++)
                    dither_stored_rows(&p->stored, our_row(p, row + i), 1, x + i * j->tensor->cols);
            else
                dither_stored_rows(&p->stored, our_row(p, row), count, x);
            encode_rows(j, row, count, x, thread);
        }
        row += count;
    }
}

static dither_status make_chunks(job *j, int threads, const dither_export_sink *sink, dither_error *error)
{
    const dither_export_tensor *tensor = j->tensor;
    dither_status status = DITHER_OK;
    for (j->first = 0; j->first < tensor->rows && status == DITHER_OK; j->first = j->end) {
        j->end = tensor->rows - j->first < j->chunk ? tensor->rows : j->first + j->chunk;
        const size_t rows = j->end - j->first;
        dither_parallel_for(threads, (rows + j->piece - 1) / j->piece, make_piece, j);
        for (int thread = 0; thread < threads; thread++)
            if (j->unfit[thread])
                return dither_fail(error, DITHER_E_NUMERIC, tensor->name, "a value that %s cannot hold: NaN, infinite "
                                   "or too large", dither_block_info_of(tensor->type)->name);
        status = sink->put(sink->context, j->out, rows * j->row_bytes, (uint64_t)rows * tensor->cols, error);
    }
    return status;
}

static dither_status run(job *j, int threads, const dither_export_sink *sink, dither_error *error)
{
    const size_t cols = j->tensor->cols;
    j->piece = PIECE_VALUES / cols > 0 ? PIECE_VALUES / cols : 1;
    j->chunk = j->piece * (size_t)threads * THREAD_PIECES;
    j->row_bytes = dither_block_row_bytes(j->tensor->type, cols);
    assert(j->row_bytes != SIZE_MAX);
    j->scratch = malloc((size_t)threads * j->piece * cols * sizeof *j->scratch);
    j->unfit = calloc((size_t)threads, sizeof *j->unfit);
    j->out = malloc(j->chunk * j->row_bytes);
    dither_status status = DITHER_E_MEMORY;
    if (j->scratch != NULL && j->unfit != NULL && j->out != NULL)
        status = make_chunks(j, threads, sink, error);
    else
        (void)dither_fail(error, status, j->tensor->name, "no memory for rows of %zu values", cols);
    free(j->scratch);
    free(j->unfit);
    free(j->out);
    return status;
}

/* matrix[cols of a part][all] = the parts side by side, transposed; 64 rows at a time, whose columns lie together. */
static void turn(const job *j, size_t all, float *matrix, float *rows)
{
    enum { TOGETHER = 64 };
    for (size_t n = 0; n < j->count; n++) {
        const part *p = &j->parts[n];
        for (size_t first = 0; first < p->stored.rows; first += TOGETHER) {
            const size_t count = p->stored.rows - first < TOGETHER ? p->stored.rows - first : TOGETHER;
            dither_stored_rows(&p->stored, first, count, rows);
            for (size_t k = 0; k < p->stored.cols; k++)
                for (size_t i = 0; i < count; i++)
                    matrix[k * all + p->from + first + i] = rows[i * p->stored.cols + k];
        }
    }
}

/* A column of the parameters is a row of the file: the whole tensor in f32, then as any other. */
static dither_status run_transposed(job *j, int threads, const dither_export_sink *sink, dither_error *error)
{
    const dither_export_tensor *tensor = j->tensor;
    const size_t values = dither_multiply(tensor->rows, tensor->cols);
    float *matrix = NULL, *rows = NULL;
    if (values < SIZE_MAX / sizeof *matrix) {
        matrix = malloc(values * sizeof *matrix);
        rows = malloc(64 * tensor->rows * sizeof *rows);
    }
    dither_status status = DITHER_E_MEMORY;
    if (matrix != NULL && rows != NULL) {
        turn(j, tensor->cols, matrix, rows);
        j->parts[0] = (part){.stored = dither_stored_f32(matrix, tensor->rows, tensor->cols)};
        j->count = 1;
        status = run(j, threads, sink, error);
    } else {
        (void)dither_fail(error, status, tensor->name, "no memory for %zu values", values);
    }
    free(matrix);
    free(rows);
    return status;
}

dither_status dither_export_rows(const dither_export_plan *plan, size_t index, const dither_draw *draw, int threads,
                                 const dither_export_sink *sink, dither_error *error)
{
    const dither_export_tensor *tensor = &plan->tensor[index];
    dither_draw own = draw != NULL ? *draw : (dither_draw){.seed = 0};
    own.tensor = (uint32_t)(index & 0xffff);
    own.microbatch = (uint32_t)(index >> 16);
    job j = {.tensor = tensor, .count = tensor->parts, .draw = draw != NULL ? &own : NULL};
    for (size_t i = 0; i < tensor->parts; i++) {
        const dither_parameter_place *place = dither_export_place(plan, tensor->part[i]);
        j.parts[i] = (part){.stored = plan->stored[tensor->part[i]], .from = place->from, .heads = place->heads};
        /* What both files hold less 1 stays as it is: adding it would cost bits. */
        const bool plus_one = j.parts[i].stored.plus_one;
        j.minus_one = place->plus_one && !plus_one;
        j.parts[i].stored.plus_one = plus_one && !place->plus_one;
    }
    if (tensor->parts == 0) {
        j.parts[0] = (part){.stored = dither_stored_f32(tensor->made, tensor->rows, 1)};
        j.count = 1;
    }
    return tensor->transposed ? run_transposed(&j, threads, sink, error) : run(&j, threads, sink, error);
}
