#include "nn/norm.h"

#include <string.h>

#include "base/parallel.h"

enum { ROWS = 32 }; /* tokens of a piece of work, and of a partial sum of dw */

typedef struct norm_job {
    const dither_rows *rows;
    size_t tokens, dim;
    float eps;
    const float *x, *h, *w, *dy;
    float *sum; /* x again, where h is added to it */
    float *y, *dx;
    dither_kept kept; /* written by forward, read by backward unless x is there */
    float *partial;   /* [pieces][dim] */
} norm_job;

static size_t pieces_of(size_t tokens)
{
    return (tokens + ROWS - 1) / ROWS;
}

static size_t piece_end(const norm_job *job, size_t index)
{
    return (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
}

static void forward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const norm_job *job = context;
    const size_t dim = job->dim;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const size_t at = t * dim;
        if (job->h)
            job->rows->add(dim, job->sum + at, job->h + at);
        dither_kept_write(job->kept, job->rows, at, dim, job->x + at);
        job->rows->norm(dim, job->eps, job->x + at, job->w, job->y + at);
    }
}

static void forward(const dither_context *context, norm_job *job)
{
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    const size_t n = job->tokens * job->dim, passes = job->h ? 4 : 2; /* x and y, and h and x again */
    job->rows = dither_rows_active();
    dither_parallel_for(context->threads, pieces_of(job->tokens), forward_piece, job);
    const double bytes = (double)(passes * n * sizeof(float)) + dither_kept_bytes(job->kept, n);
    dither_profile_end(context->profile, DITHER_OP_NORM, begun, dither_work_pass(bytes));
}

void dither_rmsnorm_forward(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                            const float *w, float *y)
{
    dither_rmsnorm_forward_keep(context, tokens, dim, eps, x, w, y, (dither_kept){0});
}

void dither_rmsnorm_forward_keep(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                                 const float *w, float *y, dither_kept kept)
{
    norm_job job = {.tokens = tokens, .dim = dim, .eps = eps, .x = x, .w = w, .y = y, .kept = kept};
    forward(context, &job);
}

void dither_rmsnorm_add_forward(const dither_context *context, size_t tokens, size_t dim, float eps, float *x,
                                const float *h, const float *w, float *y, dither_kept kept)
{
    norm_job job = {
        .tokens = tokens, .dim = dim, .eps = eps, .x = x, .sum = x, .h = h, .w = w, .y = y, .kept = kept};
    forward(context, &job);
}

static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const norm_job *job = context;
    const size_t dim = job->dim;
    float *partial = job->partial + index * dim;
    memset(partial, 0, dim * sizeof(float));
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const size_t at = t * dim;
        const float *dy = job->dy + at;
        if (job->x)
            job->rows->norm_back(dim, job->eps, job->x + at, job->w, dy, job->dx + at, partial);
        else
            job->rows->norm_back_bf16(dim, job->eps, (const uint16_t *)job->kept.at + at, job->w, dy, job->dx + at,
                                      partial);
    }
}

static void backward(const dither_context *context, norm_job *job, float *dw)
{
    const size_t pieces = pieces_of(job->tokens), dim = job->dim, mark = dither_arena_mark(context->scratch);
    job->partial = dither_arena_take(context->scratch, pieces, dither_multiply(dim, sizeof(float)));
    if (!context->dry) {
        const int64_t begun = dither_profile_begin(context->profile);
        const size_t n = job->tokens * dim;
        job->rows = dither_rows_active();
        dither_parallel_for(context->threads, pieces, backward_piece, job);
        for (size_t piece = 0; piece < pieces; piece++)
            job->rows->add(dim, dw, job->partial + piece * dim);
        const double x_bytes = job->x ? (double)(n * sizeof(float)) : dither_kept_bytes(job->kept, n);
        dither_profile_end(context->profile, DITHER_OP_NORM, begun,
                           dither_work_pass(x_bytes + (double)(3 * n * sizeof(float)))); /* dy, and dx twice */
    }
    dither_arena_rewind(context->scratch, mark);
}

void dither_rmsnorm_backward(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                             const float *w, const float *dy, float *dx, float *dw)
{
    norm_job job = {.tokens = tokens, .dim = dim, .eps = eps, .x = x, .w = w, .dy = dy, .dx = dx};
    backward(context, &job, dw);
}

void dither_rmsnorm_backward_kept(const dither_context *context, size_t tokens, size_t dim, float eps, dither_kept x,
                                  const float *w, const float *dy, float *dx, float *dw)
{
    norm_job job = {.tokens = tokens, .dim = dim, .eps = eps, .w = w, .dy = dy, .dx = dx};
    if (x.bf16)
        job.kept = x;
    else
        job.x = x.at;
    backward(context, &job, dw);
}
