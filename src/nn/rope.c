#include "nn/rope.h"

#include <math.h>

#include "base/parallel.h"

enum { ROWS = 32 }; /* tokens of a piece of work */

typedef struct rope_job {
    const dither_rows *rows;
    size_t tokens, seq, start, heads, half, stride;
    const float *table;
    float sign;
    float *x;
    dither_kept kept;
} rope_job;

void dither_rope_table(size_t positions, size_t head_dim, double base, float *table)
{
    const size_t half = head_dim / 2;
    for (size_t position = 0; position < positions; position++) {
        float *cosines = table + position * 2 * half, *sines = cosines + half;
        for (size_t i = 0; i < half; i++) {
            const double angle = (double)position * pow(base, -2.0 * (double)i / (double)head_dim);
            cosines[i] = (float)cos(angle);
            sines[i] = (float)sin(angle);
        }
    }
}

static void apply_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const rope_job *job = context;
    const size_t end = (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
    for (size_t t = index * ROWS; t < end; t++) {
        const float *table = job->table + (job->start + t % job->seq) * 2 * job->half;
        float *x = job->x + t * job->stride;
        job->rows->rope(job->heads, job->half, table, job->sign, x);
        dither_kept_write(job->kept, job->rows, t * job->stride, job->stride, x);
    }
}

static void apply(const dither_context *context, rope_job *job)
{
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    job->rows = dither_rows_active();
    dither_parallel_for(context->threads, (job->tokens + ROWS - 1) / ROWS, apply_piece, job);
    const size_t rotated = job->tokens * job->heads * 2 * job->half;
    const double bytes =
        (double)(2 * rotated * sizeof(float)) + dither_kept_bytes(job->kept, job->tokens * job->stride);
    dither_profile_end(context->profile, DITHER_OP_ROPE, begun, dither_work_pass(bytes));
}

void dither_rope_apply(const dither_context *context, size_t tokens, size_t seq, size_t start, size_t heads,
                       size_t head_dim, size_t stride, const float *table, bool inverse, float *x)
{
    rope_job job = {.tokens = tokens, .seq = seq, .start = start, .heads = heads, .half = head_dim / 2,
                    .stride = stride, .table = table, .sign = inverse ? -1.0f : 1.0f, .x = x};
    apply(context, &job);
}

void dither_rope_forward_keep(const dither_context *context, size_t tokens, size_t seq, size_t start, size_t heads,
                              size_t head_dim, size_t stride, const float *table, float *x, dither_kept kept)
{
    rope_job job = {.tokens = tokens, .seq = seq, .start = start, .heads = heads, .half = head_dim / 2,
                    .stride = stride, .table = table, .sign = 1.0f, .x = x, .kept = kept};
    apply(context, &job);
}
