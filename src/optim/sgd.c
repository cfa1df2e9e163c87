#include "base/parallel.h"
#include "optim/optimizer.h"

enum { PIECE = 16384 };

typedef struct sgd_job {
    size_t n;
    float *w, *m;
    const float *g;
    float scale, lr, momentum, decay;
} sgd_job;

static void update_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const sgd_job *job = context;
    const size_t begin = index * PIECE, end = job->n - begin < PIECE ? job->n : begin + PIECE;
    for (size_t i = begin; i < end; i++) {
        float step = job->scale * job->g[i] + job->decay * job->w[i];
        if (job->m) {
            step += job->momentum * job->m[i];
            job->m[i] = step;
        }
        job->w[i] -= job->lr * step;
    }
}

void dither_sgd_update(const dither_sgd *options, size_t n, float *w, float *m, const float *g, float scale,
                       int threads)
{
    sgd_job job = {
        .n = n,
        .w = w,
        .m = m,
        .g = g,
        .scale = scale,
        .lr = (float)options->lr,
        .momentum = (float)options->momentum,
        .decay = (float)options->weight_decay,
    };
    dither_parallel_for(threads, (n + PIECE - 1) / PIECE, update_piece, &job);
}
