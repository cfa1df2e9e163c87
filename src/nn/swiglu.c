#include "nn/swiglu.h"

#include "base/parallel.h"
#include "kernel/expf.h"

enum { ROWS = 16 }; /* tokens of a piece of work */

typedef struct swiglu_job {
    size_t tokens, ffn;
    const float *gu, *da;
    float *a, *dgu;
} swiglu_job;

static size_t piece_end(const swiglu_job *job, size_t index)
{
    return (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
}

static void forward_row(size_t ffn, const float *restrict g, const float *restrict u, float *restrict a)
{
    for (size_t i = 0; i < ffn; i++)
        a[i] = g[i] / (1.0f + dither_expf(-g[i])) * u[i];
}

/* silu'(g) = s (1 + g (1 - s)), s = 1 / (1 + exp(-g)) */
static void backward_row(size_t ffn, const float *restrict g, const float *restrict u, const float *restrict da,
                         float *restrict dg, float *restrict du)
{
    for (size_t i = 0; i < ffn; i++) {
        const float e = dither_expf(-g[i]), s = 1.0f / (1.0f + e);
        dg[i] = da[i] * u[i] * (s * (1.0f + g[i] * (1.0f - s)));
        du[i] = da[i] * (g[i] * s);
    }
}

static void forward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const swiglu_job *job = context;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const float *g = job->gu + t * 2 * job->ffn;
        forward_row(job->ffn, g, g + job->ffn, job->a + t * job->ffn);
    }
}

static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const swiglu_job *job = context;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const float *g = job->gu + t * 2 * job->ffn;
        float *dg = job->dgu + t * 2 * job->ffn;
        backward_row(job->ffn, g, g + job->ffn, job->da + t * job->ffn, dg, dg + job->ffn);
    }
}

void dither_swiglu_forward(const dither_context *context, size_t tokens, size_t ffn, const float *gu, float *a)
{
    if (context->dry)
        return;
    swiglu_job job = {.tokens = tokens, .ffn = ffn, .gu = gu, .a = a};
    dither_parallel_for(context->threads, (tokens + ROWS - 1) / ROWS, forward_piece, &job);
}

void dither_swiglu_backward(const dither_context *context, size_t tokens, size_t ffn, const float *gu, const float *da,
                            float *dgu)
{
    if (context->dry)
        return;
    swiglu_job job = {.tokens = tokens, .ffn = ffn, .gu = gu, .da = da, .dgu = dgu};
    dither_parallel_for(context->threads, (tokens + ROWS - 1) / ROWS, backward_piece, &job);
}
