#include <math.h>

#include "base/parallel.h"
#include "kernel/rows.h"
#include "optim/optimizer.h"

enum { PIECE = 16384 };

typedef struct adamw_job {
    const dither_rows *rows;
    dither_rows_adamw rates;
    size_t n;
    float *w, *m, *v;
    const float *g;
} adamw_job;

static void update_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const adamw_job *job = context;
    const size_t begin = index * PIECE, count = job->n - begin < PIECE ? job->n - begin : PIECE;
    job->rows->adamw(count, &job->rates, job->w + begin, job->m + begin, job->v + begin, job->g + begin);
}

void dither_adamw_update(const dither_adamw *options, size_t n, float *w, float *m, float *v, const float *g,
                         float scale, int threads)
{
    const double t = (double)options->step;
    const float beta1 = (float)options->beta1, beta2 = (float)options->beta2;
    adamw_job job = {
        .rows = dither_rows_active(),
        .rates = {.scale = scale,
                  .beta1 = beta1,
                  .rest1 = 1 - beta1,
                  .beta2 = beta2,
                  .rest2 = 1 - beta2,
                  .decay = (float)(1 - options->lr * options->weight_decay),
                  .rate = (float)(options->lr / (1 - pow(options->beta1, t))),
                  .correction = (float)(1 / (1 - pow(options->beta2, t))),
                  .eps = (float)options->eps},
        .n = n,
        .w = w,
        .m = m,
        .v = v,
        .g = g,
    };
    dither_parallel_for(threads, (n + PIECE - 1) / PIECE, update_piece, &job);
}
