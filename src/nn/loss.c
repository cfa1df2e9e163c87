#include "nn/loss.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/expf.h"
#include "kernel/lanes.h"

enum {
    CHUNK_ROWS = 128,
    CHUNK_LOGITS = 1 << 23,  /* 32 MiB of them, where 128 tokens fit into that */
    STRETCH = 4096,          /* logits summed in f32 before their sum goes to double */
    PIECE_LOGITS = 1 << 14   /* logits of a piece of work */
};

typedef struct loss_job {
    size_t tokens, vocab, rows;
    const uint32_t *targets;
    float scale;
    float *losses, *logits;
} loss_job;

size_t dither_head_chunk(size_t vocab, size_t rht)
{
    const size_t unit = rht > CHUNK_ROWS ? rht : CHUNK_ROWS; /* both are powers of two */
    const size_t units = CHUNK_LOGITS / unit / vocab;
    return (units > 0 ? units : 1) * unit;
}

/* x = exp(x - largest). @return the sum of what was written */
static float exp_shifted(size_t n, float largest, float *restrict x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = dither_expf(x[i] - largest);
    return dither_lanes_total(n, x);
}

float dither_cross_entropy_row(size_t vocab, uint32_t target, float scale, float *logits)
{
    const float largest = dither_lanes_max(vocab, logits), aimed = logits[target];
    double sum = 0;
    for (size_t first = 0; first < vocab; first += STRETCH)
        sum += (double)exp_shifted(vocab - first < STRETCH ? vocab - first : STRETCH, largest, logits + first);
    const float factor = (float)((double)scale / sum);
    for (size_t v = 0; v < vocab; v++)
        logits[v] *= factor;
    logits[target] -= scale;
    return (float)(log(sum) + (double)largest - (double)aimed);
}

static void loss_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const loss_job *job = context;
    const size_t end = (index + 1) * job->rows < job->tokens ? (index + 1) * job->rows : job->tokens;
    for (size_t t = index * job->rows; t < end; t++) {
        float *logits = job->logits + t * job->vocab;
        if (job->targets[t] == UINT32_MAX) {
            memset(logits, 0, job->vocab * sizeof(float));
            job->losses[t] = 0;
        } else {
            job->losses[t] = dither_cross_entropy_row(job->vocab, job->targets[t], job->scale, logits);
        }
    }
}

static void losses_of(const dither_context *context, loss_job *job)
{
    if (context->dry)
        return;
    job->rows = PIECE_LOGITS / job->vocab + 1;
    dither_parallel_for(context->threads, (job->tokens + job->rows - 1) / job->rows, loss_piece, job);
}

/* What the head works on; in a dry run every pointer into it is null. */
typedef struct head_memory {
    float *logits; /* [chunk][vocab], then their gradients */
    void *saved;   /* the codes of h that backward reads */
} head_memory;

static float *offset(const dither_context *context, float *base, size_t count)
{
    return context->dry ? NULL : base + count;
}

static dither_status train_chunk(const dither_context *context, const dither_linear *head, const head_memory *memory,
                                 loss_job *job, size_t row0, const float *h, float *dh, float *dw)
{
    dither_linear_saved saved;
    dither_status status = dither_linear_saved_init(&saved, head->plan, head->in, job->tokens, memory->saved);
    if (status == DITHER_OK)
        status = dither_linear_forward(context, head, job->tokens, row0, h, memory->logits, &saved);
    if (status != DITHER_OK)
        return status;
    losses_of(context, job);
    return dither_linear_backward(context, head, job->tokens, row0, &saved, memory->logits, dh, dw, NULL);
}

static dither_status loss_chunk(const dither_context *context, const dither_linear *head, dither_head_mode mode,
                                const head_memory *memory, loss_job *job, size_t row0, const float *h)
{
    if (mode == DITHER_HEAD_EXACT) {
        dither_linear_forward_exact(context, head, job->tokens, h, memory->logits);
    } else {
        const dither_status status = dither_linear_forward(context, head, job->tokens, row0, h, memory->logits, NULL);
        if (status != DITHER_OK)
            return status;
    }
    losses_of(context, job);
    return DITHER_OK;
}

dither_status dither_head_loss(const dither_context *context, const dither_linear *head, dither_head_mode mode,
                               size_t tokens, const float *h, const uint32_t *targets, float scale, float *losses,
                               float *dh, float *dw)
{
    const size_t whole = dither_head_chunk(head->out, head->plan->scheme.rht), chunk = whole < tokens ? whole : tokens;
    const size_t mark = dither_arena_mark(context->scratch);
    const bool train = mode == DITHER_HEAD_TRAIN;
    head_memory memory = {
        .logits = dither_arena_take(context->scratch, chunk, dither_multiply(head->out, sizeof(float)))};
    if (train)
        memory.saved = dither_arena_take(context->scratch, 1, dither_linear_saved_bytes(head->plan, head->in, chunk));
    dither_status status = DITHER_OK;
    for (size_t first = 0; first < tokens && status == DITHER_OK; first += chunk) {
        const size_t count = tokens - first < chunk ? tokens - first : chunk;
        loss_job job = {.tokens = count, .vocab = head->out, .scale = scale, .logits = memory.logits};
        if (!context->dry) {
            job.targets = targets + first;
            job.losses = losses + first;
        }
        const float *rows = context->dry ? NULL : h + first * head->in;
        dither_context chunk_context = *context;
        chunk_context.fresh = context->fresh && first == 0;
        status = train ? train_chunk(&chunk_context, head, &memory, &job, first, rows,
                                     offset(context, dh, first * head->in), dw)
                       : loss_chunk(context, head, mode, &memory, &job, first, rows);
    }
    dither_arena_rewind(context->scratch, mark);
    return status;
}
