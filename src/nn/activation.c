#include "nn/activation.h"

#include "base/parallel.h"

enum { ROWS = 16 }; /* tokens of a piece of work */

/* The loops of one kind. */
typedef struct loops {
    void (*forward)(size_t ffn, const float *gu, float *a);
    void (*back)(size_t ffn, const float *gu, const float *da, float *dgu);
    void (*back_bf16)(size_t ffn, const uint16_t *gu, const float *da, float *dgu);
} loops;

typedef struct activation_job {
    const dither_rows *rows;
    loops loops;
    size_t tokens, ffn, width; /* width of a row of gu */
    const float *gu, *da;
    float *a, *dgu;
    dither_kept kept; /* written by forward, read by backward unless gu is there */
} activation_job;

static loops loops_of(const dither_rows *rows, dither_activation kind)
{
    switch (kind) {
    case DITHER_ACTIVATION_SILU_GATE: break;
    case DITHER_ACTIVATION_GELU_GATE: return (loops){rows->geglu, rows->geglu_back, rows->geglu_back_bf16};
    case DITHER_ACTIVATION_GELU: return (loops){rows->gelu, rows->gelu_back, rows->gelu_back_bf16};
    }
    return (loops){rows->swiglu, rows->swiglu_back, rows->swiglu_back_bf16};
}

static size_t piece_end(const activation_job *job, size_t index)
{
    return (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
}

static void forward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const activation_job *job = context;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const float *gu = job->gu + t * job->width;
        job->loops.forward(job->ffn, gu, job->a + t * job->ffn);
        dither_kept_write(job->kept, job->rows, t * job->width, job->width, gu);
    }
}

static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const activation_job *job = context;
    for (size_t t = index * ROWS; t < piece_end(job, index); t++) {
        const size_t at = t * job->width;
        const float *da = job->da + t * job->ffn;
        if (job->gu)
            job->loops.back(job->ffn, job->gu + at, da, job->dgu + at);
        else
            job->loops.back_bf16(job->ffn, (const uint16_t *)job->kept.at + at, da, job->dgu + at);
    }
}

/* `floats` f32 values a token are read and written, beside what is kept. */
static void run(const dither_context *context, dither_activation kind, activation_job *job, size_t floats,
                void (*piece)(void *context, size_t index, int thread))
{
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    job->rows = dither_rows_active();
    job->loops = loops_of(job->rows, kind);
    dither_parallel_for(context->threads, (job->tokens + ROWS - 1) / ROWS, piece, job);
    const double bytes =
        (double)(job->tokens * floats * sizeof(float)) + dither_kept_bytes(job->kept, job->tokens * job->width);
    dither_profile_end(context->profile, DITHER_OP_ACTIVATION, begun, dither_work_pass(bytes));
}

void dither_activation_forward(const dither_context *context, dither_activation kind, size_t tokens, size_t ffn,
                               const float *gu, float *a)
{
    dither_activation_forward_keep(context, kind, tokens, ffn, gu, a, (dither_kept){0});
}

void dither_activation_forward_keep(const dither_context *context, dither_activation kind, size_t tokens, size_t ffn,
                                    const float *gu, float *a, dither_kept kept)
{
    const size_t width = dither_activation_inputs(kind) * ffn;
    activation_job job = {.tokens = tokens, .ffn = ffn, .width = width, .gu = gu, .a = a, .kept = kept};
    run(context, kind, &job, width + ffn, forward_piece);
}

void dither_activation_backward(const dither_context *context, dither_activation kind, size_t tokens, size_t ffn,
                                const float *gu, const float *da, float *dgu)
{
    const size_t width = dither_activation_inputs(kind) * ffn;
    activation_job job = {.tokens = tokens, .ffn = ffn, .width = width, .gu = gu, .da = da, .dgu = dgu};
    run(context, kind, &job, 2 * width + ffn, backward_piece);
}

void dither_activation_backward_kept(const dither_context *context, dither_activation kind, size_t tokens, size_t ffn,
                                     dither_kept gu, const float *da, float *dgu)
{
    if (!gu.bf16) {
        dither_activation_backward(context, kind, tokens, ffn, gu.at, da, dgu);
        return;
    }
    const size_t width = dither_activation_inputs(kind) * ffn;
    activation_job job = {.tokens = tokens, .ffn = ffn, .width = width, .kept = gu, .da = da, .dgu = dgu};
    run(context, kind, &job, width + ffn, backward_piece);
}
