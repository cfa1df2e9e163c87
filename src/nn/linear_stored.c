#include "nn/linear_stored.h"

#include <assert.h>

#include "base/parallel.h"
#include "kernel/block_dot.h"
#include "kernel/gemm_f32.h"
#include "nn/context.h"

enum {
    UNIT = 32,                /* rows of a piece come in whole tiles of the products */
    PIECE_VALUES = 1 << 17,   /* half a MiB of f32: it is in the second cache when it is multiplied */
    PIECES_WANTED = 16,       /* of a part, so that many threads have some */
    ROW_PIECE_BYTES = 1 << 15 /* of W as it lies, in a piece of whole rows for few tokens */
};

typedef struct stored_job {
    const dither_linear *linear;
    size_t tokens;
    const float *x;
    float *y;
    float *scratch; /* [threads][scratch_rows][in] */
    size_t scratch_rows;
    size_t few_bytes; /* not 0: pieces for few tokens, of so many bytes */
    const dither_block_dots *dots;
} stored_job;

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Rows of W that are decoded at a time: the shape alone says it. */
static size_t piece_rows(size_t in, size_t rows)
{
    const size_t fitting = PIECE_VALUES / in / UNIT * UNIT;
    const size_t fair = round_up((rows + PIECES_WANTED - 1) / PIECES_WANTED, UNIT);
    const size_t most = fitting > UNIT ? fitting : UNIT;
    return fair < most ? fair : most;
}

static size_t rows_at_once(const stored_job *job, const dither_stored *part)
{
    if (!job->few_bytes)
        return piece_rows(part->cols, part->rows);
    const size_t rows = job->few_bytes / (part->stride ? part->stride : 1);
    return rows > 0 ? rows : 1;
}

/* A piece of one part. */
typedef struct piece {
    const dither_stored *part;
    size_t first, count; /* rows of the part */
    size_t row0;         /* number of its first row in W */
} piece;

static size_t pieces_of(const stored_job *job, const dither_stored *part)
{
    const size_t rows = rows_at_once(job, part);
    return (part->rows + rows - 1) / rows;
}

static piece piece_at(const stored_job *job, size_t index)
{
    size_t row0 = 0, i = 0;
    const dither_stored *parts = job->linear->parts;
    for (; index >= pieces_of(job, &parts[i]); i++) {
        index -= pieces_of(job, &parts[i]);
        row0 += parts[i].rows;
    }
    assert(i < job->linear->part_count);
    const size_t rows = rows_at_once(job, &parts[i]), first = index * rows;
    const size_t count = parts[i].rows - first < rows ? parts[i].rows - first : rows;
    return (piece){.part = &parts[i], .first = first, .count = count, .row0 = row0 + first};
}

static void run(const dither_context *context, stored_job *job, void (*body)(void *context, size_t index, int thread))
{
    size_t count = 0;
    for (size_t i = 0; i < job->linear->part_count; i++)
        count += pieces_of(job, &job->linear->parts[i]);
    dither_parallel_for(context->threads, count, body, job);
}

static float *scratch_of(const stored_job *job, int thread)
{
    return job->scratch + (size_t)thread * job->scratch_rows * job->linear->in;
}

static void multiply_piece(void *context, size_t index, int thread)
{
    const stored_job *job = context;
    const size_t in = job->linear->in, out = job->linear->out;
    const piece p = piece_at(job, index);
    float *w = scratch_of(job, thread);
    dither_stored_rows(p.part, p.first, p.count, w);
    dither_gemm_f32_block(DITHER_GEMM_NT, job->tokens, p.count, in, 1, job->x, in, w, in, 0, job->y + p.row0, out);
}

static void dot_piece(void *context, size_t index, int thread)
{
    const stored_job *job = context;
    const size_t in = job->linear->in, out = job->linear->out;
    const piece p = piece_at(job, index);
    float *values = scratch_of(job, thread);
    const bool whole = dither_stored_whole_rows(p.part);
    for (size_t r = 0; r < p.count; r++) {
        if (!whole)
            dither_stored_rows(p.part, p.first + r, 1, values);
        const unsigned char *decoded = (const unsigned char *)values;
        const unsigned char *row = whole ? dither_stored_row(p.part, p.first + r) : decoded;
        const dither_block_type type = whole ? p.part->type : DITHER_BLOCK_F32;
        for (size_t t = 0; t < job->tokens; t++)
            job->y[t * out + p.row0 + r] = dither_block_dot(job->dots, type, in, row, job->x + t * in, values);
    }
}

void dither_linear_stored_forward(const dither_context *context, const dither_linear *linear, size_t tokens,
                                  const float *x, float *y)
{
    stored_job job = {.linear = linear, .tokens = tokens, .x = x, .y = y};
    for (size_t i = 0; i < linear->part_count; i++) {
        const size_t rows = piece_rows(linear->in, linear->parts[i].rows);
        job.scratch_rows = rows > job.scratch_rows ? rows : job.scratch_rows;
    }
    const size_t mark = dither_arena_mark(context->scratch);
    const size_t values = dither_multiply(job.scratch_rows, linear->in);
    job.scratch = dither_arena_take(context->scratch, dither_multiply((size_t)context->threads, values), sizeof(float));
    if (!context->dry && tokens <= DITHER_STORED_FEW) {
        job.few_bytes = ROW_PIECE_BYTES;
        job.dots = dither_block_dots_active();
        run(context, &job, dot_piece);
    } else if (!context->dry) {
        run(context, &job, multiply_piece);
    }
    dither_arena_rewind(context->scratch, mark);
}

static void decode_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const stored_job *job = context;
    const piece p = piece_at(job, index);
    dither_stored_rows(p.part, p.first, p.count, job->y + p.row0 * job->linear->in);
}

void dither_linear_stored_decode(const dither_context *context, const dither_linear *linear, float *w)
{
    stored_job job = {.linear = linear, .y = w};
    run(context, &job, decode_piece);
}
