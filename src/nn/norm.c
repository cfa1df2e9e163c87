#include "nn/norm.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/lanes.h"

enum { ROWS = 32 }; /* tokens of a piece of work, and of a partial sum of dw */

typedef struct norm_job {
    size_t tokens, dim;
    float eps;
    const float *x, *w, *dy;
    float *y, *dx;
    float *partial; /* [pieces][dim] */
} norm_job;

static float inverse_rms(const norm_job *job, const float *x)
{
    return 1.0f / sqrtf(dither_lanes_dot(job->dim, x, x) / (float)job->dim + job->eps);
}

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
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const float *x = job->x + t * job->dim;
        const float *restrict w = job->w;
        float *y = job->y + t * job->dim;
        const float inverse = inverse_rms(job, x);
#pragma omp simd
        for (size_t i = 0; i < job->dim; i++)
            y[i] = x[i] * inverse * w[i];
    }
}

void dither_rmsnorm_forward(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                            const float *w, float *y)
{
    if (context->dry)
        return;
    norm_job job = {.tokens = tokens, .dim = dim, .eps = eps, .x = x, .w = w, .y = y};
    dither_parallel_for(context->threads, pieces_of(tokens), forward_piece, &job);
}

/*
 *     n = x / rms,  g = dy w
 *     dx += (g - n mean(g n)) / rms,  dw += dy n
 */
static void backward_row(size_t dim, float inverse, const float *restrict x, const float *restrict w,
                         const float *restrict dy, float *restrict dx, float *restrict dw)
{
    float lanes[DITHER_LANES] = {0};
    size_t i = 0;
    for (; i + DITHER_LANES <= dim; i += DITHER_LANES)
        for (size_t l = 0; l < DITHER_LANES; l++)
            lanes[l] += dy[i + l] * w[i + l] * x[i + l];
    for (size_t l = 0; i + l < dim; l++)
        lanes[l] += dy[i + l] * w[i + l] * x[i + l];
    const float mean = dither_lanes_sum(lanes) * inverse / (float)dim;
    for (i = 0; i < dim; i++) {
        const float n = x[i] * inverse;
        dx[i] += (dy[i] * w[i] - n * mean) * inverse;
        dw[i] += dy[i] * n;
    }
}

static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const norm_job *job = context;
    float *partial = job->partial + index * job->dim;
    memset(partial, 0, job->dim * sizeof(float));
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const float *x = job->x + t * job->dim;
        backward_row(job->dim, inverse_rms(job, x), x, job->w, job->dy + t * job->dim, job->dx + t * job->dim, partial);
    }
}

void dither_rmsnorm_backward(const dither_context *context, size_t tokens, size_t dim, float eps, const float *x,
                             const float *w, const float *dy, float *dx, float *dw)
{
    const size_t pieces = pieces_of(tokens), mark = dither_arena_mark(context->scratch);
    float *partial = dither_arena_take(context->scratch, pieces, dither_multiply(dim, sizeof(float)));
    if (!context->dry) {
        norm_job job = {
            .tokens = tokens, .dim = dim, .eps = eps, .x = x, .w = w, .dy = dy, .dx = dx, .partial = partial};
        dither_parallel_for(context->threads, pieces, backward_piece, &job);
        for (size_t piece = 0; piece < pieces; piece++)
            for (size_t i = 0; i < dim; i++)
                dw[i] += partial[piece * dim + i];
    }
    dither_arena_rewind(context->scratch, mark);
}
