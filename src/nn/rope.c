#include "nn/rope.h"

#include <math.h>

#include "base/parallel.h"

enum { ROWS = 32 }; /* tokens of a piece of work */

typedef struct rope_job {
    size_t tokens, seq, start, heads, head_dim, stride;
    const float *table;
    float sign;
    float *x;
} rope_job;

void dither_rope_table(size_t positions, size_t head_dim, double base, float *table)
{
    const size_t half = head_dim / 2;
    for (size_t position = 0; position < positions; position++) {
        for (size_t i = 0; i < half; i++) {
            const double angle = (double)position * pow(base, -2.0 * (double)i / (double)head_dim);
            table[(position * half + i) * 2] = (float)cos(angle);
            table[(position * half + i) * 2 + 1] = (float)sin(angle);
        }
    }
}

static void rotate(size_t half, const float *restrict table, float sign, float *restrict low, float *restrict high)
{
    for (size_t i = 0; i < half; i++) {
        const float cosine = table[2 * i], sine = table[2 * i + 1] * sign;
        const float a = low[i], b = high[i];
        low[i] = a * cosine - b * sine;
        high[i] = b * cosine + a * sine;
    }
}

static void apply_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const rope_job *job = context;
    const size_t half = job->head_dim / 2;
    const size_t end = (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
    for (size_t t = index * ROWS; t < end; t++) {
        const float *table = job->table + (job->start + t % job->seq) * half * 2;
        for (size_t head = 0; head < job->heads; head++) {
            float *x = job->x + t * job->stride + head * job->head_dim;
            rotate(half, table, job->sign, x, x + half);
        }
    }
}

void dither_rope_apply(const dither_context *context, size_t tokens, size_t seq, size_t start, size_t heads,
                       size_t head_dim, size_t stride, const float *table, bool inverse, float *x)
{
    if (context->dry)
        return;
    rope_job job = {.tokens = tokens, .seq = seq, .start = start, .heads = heads, .head_dim = head_dim,
                    .stride = stride, .table = table, .sign = inverse ? -1.0f : 1.0f, .x = x};
    dither_parallel_for(context->threads, (tokens + ROWS - 1) / ROWS, apply_piece, &job);
}
