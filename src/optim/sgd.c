#include "base/parallel.h"
#include "kernel/rows.h"
#include "optim/optimizer.h"

enum { PIECE = 16384 };

typedef struct sgd_job {
    const dither_rows *rows;
    dither_rows_sgd rates;
    size_t n;
    float *w, *m;
    const float *g;
} sgd_job;

static void update_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const sgd_job *job = context;
    const size_t begin = index * PIECE, count = job->n - begin < PIECE ? job->n - begin : PIECE;
    if (job->m)
        job->rows->sgd_momentum(count, &job->rates, job->w + begin, job->m + begin, job->g + begin);
    else
        job->rows->sgd(count, &job->rates, job->w + begin, job->g + begin);
}

void dither_sgd_update(const dither_sgd *options, size_t n, float *w, float *m, const float *g, float scale,
                       int threads)
{
    sgd_job job = {
        .rows = dither_rows_active(),
        .rates = {.scale = scale,
                  .lr = (float)options->lr,
                  .momentum = (float)options->momentum,
                  .decay = (float)options->weight_decay},
        .n = n,
        .w = w,
        .m = m,
        .g = g,
    };
    dither_parallel_for(threads, (n + PIECE - 1) / PIECE, update_piece, &job);
}
