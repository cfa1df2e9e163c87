#include "nn/embedding.h"

#include <string.h>

#include "base/parallel.h"

enum {
    ROWS = 64, /* tokens of a piece of the forward pass */
    COLS = 32  /* columns of a piece of the backward pass: whole cache lines, so that threads share none */
};

typedef struct embedding_job {
    size_t tokens, dim;
    const uint32_t *ids;
    const float *w, *dx;
    float *x, *dw;
} embedding_job;

static void forward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const embedding_job *job = context;
    const size_t end = (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
    for (size_t t = index * ROWS; t < end; t++)
        memcpy(job->x + t * job->dim, job->w + job->ids[t] * job->dim, job->dim * sizeof(float));
}

void dither_embedding_forward(const dither_context *context, size_t tokens, size_t dim, const uint32_t *ids,
                              const float *w, float *x)
{
    if (context->dry)
        return;
    embedding_job job = {.tokens = tokens, .dim = dim, .ids = ids, .w = w, .x = x};
    dither_parallel_for(context->threads, (tokens + ROWS - 1) / ROWS, forward_piece, &job);
}

/* Every token, some columns: a token may come twice, a column never does. */
static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const embedding_job *job = context;
    const size_t first = index * COLS, count = job->dim - first < COLS ? job->dim - first : COLS;
    for (size_t t = 0; t < job->tokens; t++) {
        const float *restrict dx = job->dx + t * job->dim + first;
        float *restrict dw = job->dw + job->ids[t] * job->dim + first;
        for (size_t i = 0; i < count; i++)
            dw[i] += dx[i];
    }
}

void dither_embedding_backward(const dither_context *context, size_t tokens, size_t dim, const uint32_t *ids,
                               const float *dx, float *dw)
{
    if (context->dry)
        return;
    embedding_job job = {.tokens = tokens, .dim = dim, .ids = ids, .dx = dx, .dw = dw};
    dither_parallel_for(context->threads, (dim + COLS - 1) / COLS, backward_piece, &job);
}
