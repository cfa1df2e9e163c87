#include "nn/head_norm.h"

#include <string.h>

#include "base/parallel.h"

enum { ROWS = 16 }; /* tokens of a piece of work, and of a partial sum of dq and dk */

typedef struct head_norm_job {
    const dither_rows *rows;
    const dither_head_norm *norm;
    size_t tokens, width; /* width: of the queries and keys of a row */
    float *x;             /* dx in backward */
    dither_kept kept;
    float *partial; /* [pieces][3][head_dim]: dq, dk, and a head's dx */
} head_norm_job;

static size_t pieces_of(size_t tokens)
{
    return (tokens + ROWS - 1) / ROWS;
}

static size_t piece_end(const head_norm_job *job, size_t index)
{
    return (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
}

static void forward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const head_norm_job *job = context;
    const dither_head_norm *norm = job->norm;
    const size_t dim = norm->head_dim;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        float *x = job->x + t * norm->stride;
        dither_kept_write(job->kept, job->rows, t * job->width, job->width, x);
        for (size_t h = 0; h < norm->heads + norm->kv_heads; h++)
            job->rows->norm(dim, norm->eps, x + h * dim, h < norm->heads ? norm->q : norm->k, x + h * dim);
    }
}

static void backward_head(const head_norm_job *job, size_t t, size_t h, float *partial)
{
    const dither_head_norm *norm = job->norm;
    const size_t dim = norm->head_dim, at = t * job->width + h * dim;
    const float *w = h < norm->heads ? norm->q : norm->k;
    float *dw = h < norm->heads ? partial : partial + dim, *sum = partial + 2 * dim;
    float *dx = job->x + t * norm->stride + h * dim;
    memset(sum, 0, dim * sizeof(float));
    if (job->kept.bf16)
        job->rows->norm_back_bf16(dim, norm->eps, (const uint16_t *)job->kept.at + at, w, dx, sum, dw);
    else
        job->rows->norm_back(dim, norm->eps, (const float *)job->kept.at + at, w, dx, sum, dw);
    memcpy(dx, sum, dim * sizeof(float));
}

static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const head_norm_job *job = context;
    float *partial = job->partial + index * 3 * job->norm->head_dim;
    memset(partial, 0, 2 * job->norm->head_dim * sizeof(float));
    for (size_t t = index * ROWS; t < piece_end(job, index); t++)
        for (size_t h = 0; h < job->norm->heads + job->norm->kv_heads; h++)
            backward_head(job, t, h, partial);
}

/* Each value is read and written once, beside what is kept. */
static void run(const dither_context *context, head_norm_job *job,
                void (*piece)(void *context, size_t index, int thread))
{
    const size_t values = job->tokens * job->width;
    const int64_t begun = dither_profile_begin(context->profile);
    job->rows = dither_rows_active();
    dither_parallel_for(context->threads, pieces_of(job->tokens), piece, job);
    const double bytes = (double)(2 * values * sizeof(float)) + dither_kept_bytes(job->kept, values);
    dither_profile_end(context->profile, DITHER_OP_NORM, begun, dither_work_pass(bytes));
}

static size_t width_of(const dither_head_norm *norm)
{
    return (norm->heads + norm->kv_heads) * norm->head_dim;
}

void dither_head_norm_forward(const dither_context *context, const dither_head_norm *norm, size_t tokens, float *x,
                              dither_kept kept)
{
    head_norm_job job = {.norm = norm, .tokens = tokens, .width = width_of(norm), .x = x, .kept = kept};
    if (!context->dry)
        run(context, &job, forward_piece);
}

void dither_head_norm_backward(const dither_context *context, const dither_head_norm *norm, size_t tokens,
                               dither_kept x, float *dx, float *dq, float *dk)
{
    const size_t pieces = pieces_of(tokens), dim = norm->head_dim, mark = dither_arena_mark(context->scratch);
    head_norm_job job = {.norm = norm, .tokens = tokens, .width = width_of(norm), .x = dx, .kept = x};
    job.partial = dither_arena_take(context->scratch, pieces, dither_multiply(3 * dim, sizeof(float)));
    if (!context->dry) {
        run(context, &job, backward_piece);
        for (size_t piece = 0; piece < pieces; piece++) {
            job.rows->add(dim, dq, job.partial + piece * 3 * dim);
            job.rows->add(dim, dk, job.partial + piece * 3 * dim + dim);
        }
    }
    dither_arena_rewind(context->scratch, mark);
}
