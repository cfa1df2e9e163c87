#include "nn/norm.h"

#include <string.h>

#include "base/parallel.h"

enum { ROWS = 32 }; /* tokens of a piece of work, and of a partial sum of dw and dbias */

typedef struct norm_job {
    const dither_rows *rows;
    const dither_norm *norm;
    size_t tokens;
    const float *x, *h, *dy;
    float *sum; /* x again, where h is added to it */
    float *y, *dx;
    dither_kept kept; /* written by forward, read by backward unless x is there */
    float *partial;   /* [pieces][vectors][dim] */
    size_t vectors;   /* dw, and dbias where there is one */
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
    const dither_norm *norm = job->norm;
    const size_t dim = norm->dim;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const size_t at = t * dim;
        if (job->h)
            job->rows->add(dim, job->sum + at, job->h + at);
        dither_kept_write(job->kept, job->rows, at, dim, job->x + at);
        if (norm->layer)
            job->rows->layer_norm(dim, norm->eps, job->x + at, norm->w, norm->bias, job->y + at);
        else
            job->rows->norm(dim, norm->eps, job->x + at, norm->w, job->y + at);
    }
}

static void forward(const dither_context *context, norm_job *job)
{
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    const size_t n = job->tokens * job->norm->dim, passes = job->h ? 4 : 2; /* x and y, and h and x again */
    job->rows = dither_rows_active();
    dither_parallel_for(context->threads, pieces_of(job->tokens), forward_piece, job);
    const double bytes = (double)(passes * n * sizeof(float)) + dither_kept_bytes(job->kept, n);
    dither_profile_end(context->profile, DITHER_OP_NORM, begun, dither_work_pass(bytes));
}

void dither_norm_forward(const dither_context *context, const dither_norm *norm, size_t tokens, const float *x,
                         float *y)
{
    dither_norm_forward_keep(context, norm, tokens, x, y, (dither_kept){0});
}

void dither_norm_forward_keep(const dither_context *context, const dither_norm *norm, size_t tokens, const float *x,
                              float *y, dither_kept kept)
{
    norm_job job = {.norm = norm, .tokens = tokens, .x = x, .y = y, .kept = kept};
    forward(context, &job);
}

void dither_norm_add_forward(const dither_context *context, const dither_norm *norm, size_t tokens, float *x,
                             const float *h, float *y, dither_kept kept)
{
    norm_job job = {.norm = norm, .tokens = tokens, .x = x, .sum = x, .h = h, .y = y, .kept = kept};
    forward(context, &job);
}

static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const norm_job *job = context;
    const dither_norm *norm = job->norm;
    const size_t dim = norm->dim;
    float *dw = job->partial + index * job->vectors * dim, *dbias = dw + dim;
    memset(dw, 0, job->vectors * dim * sizeof(float));
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const float *x = job->x ? job->x + t * dim : NULL, *dy = job->dy + t * dim;
        const uint16_t *bits = job->x ? NULL : (const uint16_t *)job->kept.at + t * dim;
        float *dx = job->dx + t * dim;
        if (norm->layer && x)
            job->rows->layer_norm_back(dim, norm->eps, x, norm->w, dy, dx, dw, dbias);
        else if (norm->layer)
            job->rows->layer_norm_back_bf16(dim, norm->eps, bits, norm->w, dy, dx, dw, dbias);
        else if (x)
            job->rows->norm_back(dim, norm->eps, x, norm->w, dy, dx, dw);
        else
            job->rows->norm_back_bf16(dim, norm->eps, bits, norm->w, dy, dx, dw);
    }
}

static void backward(const dither_context *context, norm_job *job, float *dw, float *dbias)
{
    const size_t pieces = pieces_of(job->tokens), dim = job->norm->dim, mark = dither_arena_mark(context->scratch);
    job->vectors = job->norm->layer ? 2 : 1;
    job->partial = dither_arena_take(context->scratch, pieces, dither_multiply(job->vectors * dim, sizeof(float)));
    if (!context->dry) {
        const int64_t begun = dither_profile_begin(context->profile);
        const size_t n = job->tokens * dim;
        job->rows = dither_rows_active();
        dither_parallel_for(context->threads, pieces, backward_piece, job);
        for (size_t piece = 0; piece < pieces; piece++) {
            const float *partial = job->partial + piece * job->vectors * dim;
            job->rows->add(dim, dw, partial);
            if (job->norm->layer)
                job->rows->add(dim, dbias, partial + dim);
        }
        const double x_bytes = job->x ? (double)(n * sizeof(float)) : dither_kept_bytes(job->kept, n);
        dither_profile_end(context->profile, DITHER_OP_NORM, begun,
                           dither_work_pass(x_bytes + (double)(3 * n * sizeof(float)))); /* dy, and dx twice */
    }
    dither_arena_rewind(context->scratch, mark);
}

void dither_norm_backward(const dither_context *context, const dither_norm *norm, size_t tokens, const float *x,
                          const float *dy, float *dx, float *dw, float *dbias)
{
    norm_job job = {.norm = norm, .tokens = tokens, .x = x, .dy = dy, .dx = dx};
    backward(context, &job, dw, dbias);
}

void dither_norm_backward_kept(const dither_context *context, const dither_norm *norm, size_t tokens, dither_kept x,
                               const float *dy, float *dx, float *dw, float *dbias)
{
    norm_job job = {.norm = norm, .tokens = tokens, .dy = dy, .dx = dx};
    if (x.bf16)
        job.kept = x;
    else
        job.x = x.at;
    backward(context, &job, dw, dbias);
}
