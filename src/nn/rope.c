#include "nn/rope.h"

#include <assert.h>
#include <math.h>

#include "base/parallel.h"

enum { ROWS = 32 }; /* tokens of a piece of work */

static const double two_pi = 6.283185307179586;

typedef struct rope_job {
    const dither_rows *rows;
    dither_rotation rotation;
    float sign;
    float *x;
    dither_kept kept;
} rope_job;

/* Radians a position. */
static double frequency_of(const dither_rope *rope, size_t i)
{
    const double f = pow(rope->base, -2.0 * (double)i / (double)rope->head_dim);
    if (rope->kind == DITHER_ROPE_NONE)
        return f;
    if (rope->kind == DITHER_ROPE_LINEAR)
        return f / rope->factor;
    const double turns = (double)rope->original_ctx * f / two_pi;
    if (turns > rope->high_freq_factor)
        return f;
    if (turns < rope->low_freq_factor)
        return f / rope->factor;
    const double kept = (turns - rope->low_freq_factor) / (rope->high_freq_factor - rope->low_freq_factor);
    return (1 - kept) * f / rope->factor + kept * f;
}

void dither_rope_table(const dither_rope *rope, size_t positions, float *table)
{
    const size_t half = rope->head_dim / 2;
    for (size_t i = 0; i < half; i++) {
        const double frequency = frequency_of(rope, i);
        for (size_t position = 0; position < positions; position++) {
            const double angle = (double)position * frequency;
            float *cosine = table + position * 2 * half + i;
            cosine[0] = (float)cos(angle);
            cosine[half] = (float)sin(angle);
        }
    }
}

static void apply_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const rope_job *job = context;
    const dither_rotation *r = &job->rotation;
    const size_t end = (index + 1) * ROWS < r->tokens ? (index + 1) * ROWS : r->tokens;
    for (size_t t = index * ROWS; t < end; t++) {
        const size_t position = r->positions ? r->positions[t] : r->start + t % r->seq;
        assert(position < r->table_positions);
        float *x = job->x + t * r->stride;
        job->rows->rope(r->heads, r->head_dim / 2, r->table + position * r->head_dim, job->sign, x);
        dither_kept_write(job->kept, job->rows, t * r->stride, r->stride, x);
    }
}

static void apply(const dither_context *context, rope_job *job)
{
    const dither_rotation *r = &job->rotation;
    assert(r->head_dim % 2 == 0 && r->heads * r->head_dim <= r->stride);
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    job->rows = dither_rows_active();
    dither_parallel_for(context->threads, (r->tokens + ROWS - 1) / ROWS, apply_piece, job);
    const size_t rotated = r->tokens * r->heads * r->head_dim;
    const double bytes = (double)(2 * rotated * sizeof(float)) + dither_kept_bytes(job->kept, r->tokens * r->stride);
    dither_profile_end(context->profile, DITHER_OP_ROPE, begun, dither_work_pass(bytes));
}

void dither_rope_apply(const dither_context *context, const dither_rotation *rotation, bool inverse, float *x)
{
    rope_job job = {.rotation = *rotation, .sign = inverse ? -1.0f : 1.0f, .x = x};
    apply(context, &job);
}

void dither_rope_forward_keep(const dither_context *context, const dither_rotation *rotation, float *x,
                              dither_kept kept)
{
    rope_job job = {.rotation = *rotation, .sign = 1.0f, .x = x, .kept = kept};
    apply(context, &job);
}
