#include <math.h>

#include "base/parallel.h"
#include "optim/optimizer.h"

enum { PIECE = 16384 };

typedef struct adamw_job {
    size_t n;
    float *w, *m, *v;
    const float *g;
    float scale, beta1, beta2, decay, rate, correction, eps;
} adamw_job;

static void update_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const adamw_job *job = context;
    const size_t begin = index * PIECE, end = job->n - begin < PIECE ? job->n : begin + PIECE;
    float *restrict w = job->w;
    float *restrict m = job->m;
    float *restrict v = job->v;
    const float *restrict g = job->g;
    const float b1 = job->beta1, b2 = job->beta2, scale = job->scale, correction = job->correction, eps = job->eps;
    for (size_t i = begin; i < end; i++) {
        const float gradient = scale * g[i];
        m[i] = b1 * m[i] + (1 - b1) * gradient;
        v[i] = b2 * v[i] + (1 - b2) * gradient * gradient;
        w[i] = w[i] * job->decay - job->rate * m[i] / (sqrtf(v[i] * correction) + eps);
    }
}

void dither_adamw_update(const dither_adamw *options, size_t n, float *w, float *m, float *v, const float *g,
                         float scale, int threads)
{
    const double t = (double)options->step;
    adamw_job job = {
        .n = n,
        .w = w,
        .m = m,
        .v = v,
        .g = g,
        .scale = scale,
        .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2,
        .decay = (float)(1 - options->lr * options->weight_decay),
        .rate = (float)(options->lr / (1 - pow(options->beta1, t))),
        .correction = (float)(1 / (1 - pow(options->beta2, t))),
        .eps = (float)options->eps,
    };
    dither_parallel_for(threads, (n + PIECE - 1) / PIECE, update_piece, &job);
}
