#include "nn/loss.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/rows.h"

enum {
    CHUNK_ROWS = 128,
    CHUNK_LOGITS = 1 << 23,  /* 32 MiB of them, where 128 tokens fit into that */
    STRETCH = 4096,          /* logits that stay in the first cache; summed in f32 before their sum goes to double */
    STRETCHES_MAX = 64,      /* of a row; the stretches of a larger vocabulary are longer */
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

/*
 * Two passes over the row, which lies in the second cache by the second one:
 *
 *     stretch by stretch   peak = max(peak, x);  x = exp(x - peak);  sum = sum exp(former peak - peak) + sum of x
 *     then                 x *= exp(peak of its stretch - last peak) scale / sum
 *
 * Numerics: the sum is in double, and so are its rescalings: each exp(x - peak) counts with its own error of 1 ulp and
 *           half an ulp of x - peak alone, the sum of a stretch with its f32 lanes'. p has two roundings more.
 */
float dither_cross_entropy_row(size_t vocab, uint32_t target, float scale, float *logits)
{
    const dither_rows *rows = dither_rows_active();
    const size_t stretch = vocab <= STRETCH * STRETCHES_MAX ? STRETCH : (vocab + STRETCHES_MAX - 1) / STRETCHES_MAX;
    const double aimed = (double)logits[target];
    float peaks[STRETCHES_MAX];
    float peak = -FLT_MAX; /* not -Inf: a stretch of -Inf alone is a stretch of zeros */
    double sum = 0;
    for (size_t first = 0, s = 0; first < vocab; first += stretch, s++) {
        const size_t count = vocab - first < stretch ? vocab - first : stretch;
        const float largest = rows->largest(count, logits + first);
        if (largest > peak) {
            sum *= exp((double)peak - (double)largest);
            peak = largest;
        }
        peaks[s] = peak;
        sum += (double)rows->exp_sum(count, peak, logits + first);
    }
    for (size_t first = 0, s = 0; first < vocab; first += stretch, s++) {
        const double shrunk = exp((double)peaks[s] - (double)peak);
        rows->scale(vocab - first < stretch ? vocab - first : stretch, (float)((double)scale * shrunk / sum),
                    logits + first);
    }
    logits[target] -= scale;
    return (float)(log(sum) + (double)peak - aimed);
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
    const int64_t begun = dither_profile_begin(context->profile);
    job->rows = PIECE_LOGITS / job->vocab + 1;
    dither_parallel_for(context->threads, (job->tokens + job->rows - 1) / job->rows, loss_piece, job);
    dither_profile_end(context->profile, DITHER_OP_CROSS_ENTROPY, begun,
                       dither_work_pass((double)(2 * job->tokens * job->vocab * sizeof(float))));
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
    dither_profile_phase(context->profile, DITHER_PHASE_BACKWARD);
    status = dither_linear_backward(context, head, job->tokens, row0, &saved, memory->logits, dh, dw, NULL);
    dither_profile_phase(context->profile, DITHER_PHASE_FORWARD);
    return status;
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
    if (context->watch && !context->dry)
        context->watch->logits(context->watch->context, job->tokens, job->vocab, memory->logits);
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
