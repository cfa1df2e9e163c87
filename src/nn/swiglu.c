#include "nn/swiglu.h"

#include "base/parallel.h"

enum { ROWS = 16 }; /* tokens of a piece of work */

typedef struct swiglu_job {
    const dither_rows *rows;
    size_t tokens, ffn;
    const float *gu, *da;
    float *a, *dgu;
    dither_kept kept; /* written by forward, read by backward unless gu is there */
} swiglu_job;

static size_t piece_end(const swiglu_job *job, size_t index)
{
    return (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
}

static void forward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const swiglu_job *job = context;
    const size_t ffn = job->ffn;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const float *gu = job->gu + t * 2 * ffn;
        job->rows->swiglu(ffn, gu, job->a + t * ffn);
        dither_kept_write(job->kept, job->rows, t * 2 * ffn, 2 * ffn, gu);
    }
}

static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const swiglu_job *job = context;
    const size_t ffn = job->ffn;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const size_t at = t * 2 * ffn;
        const float *da = job->da + t * ffn;
        if (job->gu)
            job->rows->swiglu_back(ffn, job->gu + at, da, job->dgu + at);
        else
            job->rows->swiglu_back_bf16(ffn, (const uint16_t *)job->kept.at + at, da, job->dgu + at);
    }
}

/* `floats` f32 values a token are read and written, beside what is kept. */
static void run(const dither_context *context, swiglu_job *job, size_t floats,
                void (*piece)(void *context, size_t index, int thread))
{
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    job->rows = dither_rows_active();
    dither_parallel_for(context->threads, (job->tokens + ROWS - 1) / ROWS, piece, job);
    const double bytes = (double)(job->tokens * floats * sizeof(float)) +
                         dither_kept_bytes(job->kept, job->tokens * 2 * job->ffn);
    dither_profile_end(context->profile, DITHER_OP_SWIGLU, begun, dither_work_pass(bytes));
}

void dither_swiglu_forward(const dither_context *context, size_t tokens, size_t ffn, const float *gu, float *a)
{
    dither_swiglu_forward_keep(context, tokens, ffn, gu, a, (dither_kept){0});
}

void dither_swiglu_forward_keep(const dither_context *context, size_t tokens, size_t ffn, const float *gu, float *a,
                                dither_kept kept)
{
    swiglu_job job = {.tokens = tokens, .ffn = ffn, .gu = gu, .a = a, .kept = kept};
    run(context, &job, 3 * ffn, forward_piece);
}

void dither_swiglu_backward(const dither_context *context, size_t tokens, size_t ffn, const float *gu, const float *da,
                            float *dgu)
{
    swiglu_job job = {.tokens = tokens, .ffn = ffn, .gu = gu, .da = da, .dgu = dgu};
    run(context, &job, 5 * ffn, backward_piece);
}

void dither_swiglu_backward_kept(const dither_context *context, size_t tokens, size_t ffn, dither_kept gu,
                                 const float *da, float *dgu)
{
    if (!gu.bf16) {
        dither_swiglu_backward(context, tokens, ffn, gu.at, da, dgu);
        return;
    }
    swiglu_job job = {.tokens = tokens, .ffn = ffn, .kept = gu, .da = da, .dgu = dgu};
    run(context, &job, 3 * ffn, backward_piece);
}
