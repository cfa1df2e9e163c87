#include "nn/embedding.h"

#include <string.h>

#include "base/parallel.h"
#include "kernel/rows.h"

enum {
    ROWS = 64,    /* tokens of a piece of the forward pass */
    COLS = 256,   /* columns of a piece of the backward pass: long enough for the processor to fetch them ahead */
    CLASSES = 16, /* a piece has one in so many of the ids, too */
};

typedef struct embedding_job {
    const dither_rows *rows;
    size_t tokens, dim;
    const uint32_t *ids;
    const float *w, *dx;
    const dither_stored *stored;
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
    const int64_t begun = dither_profile_begin(context->profile);
    embedding_job job = {.tokens = tokens, .dim = dim, .ids = ids, .w = w, .x = x};
    dither_parallel_for(context->threads, (tokens + ROWS - 1) / ROWS, forward_piece, &job);
    dither_profile_end(context->profile, DITHER_OP_EMBEDDING, begun,
                       dither_work_pass((double)(2 * tokens * dim * sizeof(float))));
}

static void stored_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const embedding_job *job = context;
    const size_t end = (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
    for (size_t t = index * ROWS; t < end; t++)
        dither_stored_rows(job->stored, job->ids[t], 1, job->x + t * job->dim);
}

void dither_embedding_stored(const dither_context *context, size_t tokens, const uint32_t *ids, const dither_stored *w,
                             float *x)
{
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    embedding_job job = {.tokens = tokens, .dim = w->cols, .ids = ids, .stored = w, .x = x};
    dither_parallel_for(context->threads, (tokens + ROWS - 1) / ROWS, stored_piece, &job);
    dither_profile_end(context->profile, DITHER_OP_EMBEDDING, begun,
                       dither_work_pass((double)tokens * (double)(w->stride + w->cols * sizeof(float))));
}

static void add_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const embedding_job *job = context;
    const size_t end = (index + 1) * ROWS < job->tokens ? (index + 1) * ROWS : job->tokens;
    for (size_t t = index * ROWS; t < end; t++)
        job->rows->add(job->dim, job->x + t * job->dim, job->w + job->ids[t] * job->dim);
}

void dither_embedding_add(const dither_context *context, size_t tokens, size_t dim, const uint32_t *ids,
                          const float *w, float *x)
{
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    embedding_job job = {.rows = dither_rows_active(), .tokens = tokens, .dim = dim, .ids = ids, .w = w, .x = x};
    dither_parallel_for(context->threads, (tokens + ROWS - 1) / ROWS, add_piece, &job);
    dither_profile_end(context->profile, DITHER_OP_EMBEDDING, begun,
                       dither_work_pass((double)(3 * tokens * dim * sizeof(float))));
}

/* Some ids, some columns: an id may come twice and its row is added to in the order of the tokens, by one thread. */
static void backward_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const embedding_job *job = context;
    const size_t first = index / CLASSES * COLS, count = job->dim - first < COLS ? job->dim - first : COLS;
    for (size_t t = 0; t < job->tokens; t++)
        if (job->ids[t] % CLASSES == index % CLASSES)
            job->rows->add(count, job->dw + job->ids[t] * job->dim + first, job->dx + t * job->dim + first);
}

void dither_embedding_backward(const dither_context *context, size_t tokens, size_t dim, const uint32_t *ids,
                               const float *dx, float *dw)
{
    if (context->dry)
        return;
    const int64_t begun = dither_profile_begin(context->profile);
    embedding_job job = {
        .rows = dither_rows_active(), .tokens = tokens, .dim = dim, .ids = ids, .dx = dx, .dw = dw};
    dither_parallel_for(context->threads, (dim + COLS - 1) / COLS * CLASSES, backward_piece, &job);
    dither_profile_end(context->profile, DITHER_OP_EMBEDDING, begun,
                       dither_work_pass((double)(3 * tokens * dim * sizeof(float))));
}
