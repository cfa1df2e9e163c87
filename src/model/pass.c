#include "model/pass.h"

#include <string.h>

#include "base/parallel.h"
#include "kernel/vector.h"

static uint32_t *take_numbers(const dither_pass *pass)
{
    return dither_arena_take(pass->context->scratch, pass->tokens, sizeof(uint32_t));
}

/* The first key that each token sees through the window, in its row or in the cache, and not before its document. */
static const uint32_t *window_first(const dither_pass *pass)
{
    const size_t seq = pass->view->seq, window = pass->net->config.window;
    const uint32_t *documents = pass->view->first;
    uint32_t *first = take_numbers(pass);
    for (size_t t = 0; t < pass->tokens && !pass->context->dry; t++) {
        const size_t place = pass->start + t % seq, begin = place + 1 > window ? place + 1 - window : 0;
        first[t] = documents && documents[t] > begin ? documents[t] : (uint32_t)begin;
    }
    return first;
}

/* A matrix of positions is read as an embedding is, by numbers. */
static const uint32_t *number_positions(const dither_pass *pass)
{
    uint32_t *positions = take_numbers(pass);
    for (size_t t = 0; t < pass->tokens && !pass->context->dry; t++)
        positions[t] = (uint32_t)(pass->start + t % pass->view->seq);
    return positions;
}

dither_pass dither_pass_begin(dither_network *net, const dither_context *context, dither_head_mode mode,
                              const dither_batch_view *view, dither_cache *cache, size_t start, dither_error *error)
{
    const dither_model_config *c = &net->config;
    dither_pass pass = {.net = net,
                        .context = context,
                        .mode = mode,
                        .view = view,
                        .tokens = view->batch * view->seq,
                        .q = c->heads * c->head_dim,
                        .kv = c->kv_heads * c->head_dim,
                        .cache = cache,
                        .start = start,
                        .positions = view->positions,
                        .first = {view->first, view->first},
                        .error = error};
    if (c->window)
        pass.first[1] = window_first(&pass);
    if (c->learned_positions && !view->positions)
        pass.positions = number_positions(&pass);
    return pass;
}

float *dither_pass_take(const dither_pass *pass, size_t cols)
{
    return dither_arena_take(pass->context->scratch, dither_multiply(pass->tokens, cols), sizeof(float));
}

/* ---- what is kept -------------------------------------------------------------------------------------------- */

/* A pass over rows of what is kept, a piece of whole rows a task. */
typedef struct kept_job {
    dither_kept place;
    size_t rows, cols;
    const float *from;
    float *to;
} kept_job;

enum { KEPT_ROWS = 16 };

static size_t kept_end(const kept_job *job, size_t index)
{
    return (index + 1) * KEPT_ROWS < job->rows ? (index + 1) * KEPT_ROWS : job->rows;
}

static void keep_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const kept_job *job = context;
    const size_t first = index * KEPT_ROWS * job->cols, count = kept_end(job, index) * job->cols - first;
    dither_kept_write(job->place, dither_rows_active(), first, count, job->from + first);
}

static void restore_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const kept_job *job = context;
    const size_t first = index * KEPT_ROWS * job->cols, count = kept_end(job, index) * job->cols - first;
    if (job->place.bf16)
        dither_rows_active()->from_bf16(count, (const uint16_t *)job->place.at + first, job->to + first);
    else
        memcpy(job->to + first, (const float *)job->place.at + first, count * sizeof(float));
}

static void run_kept(const dither_pass *pass, kept_job *job, void (*piece)(void *context, size_t index, int thread))
{
    if (pass->context->dry || !job->place.at)
        return;
    const int64_t begun = dither_profile_begin(pass->context->profile);
    dither_parallel_for(pass->context->threads, (job->rows + KEPT_ROWS - 1) / KEPT_ROWS, piece, job);
    dither_profile_end(pass->context->profile, DITHER_OP_SAVE, begun,
                       dither_work_pass(dither_kept_bytes(job->place, job->rows * job->cols) +
                                        (double)(job->rows * job->cols * sizeof(float))));
}

dither_kept dither_pass_kept(const dither_pass *pass, const dither_kept *place)
{
    return pass->mode == DITHER_HEAD_TRAIN && !pass->context->dry ? *place : (dither_kept){.at = NULL};
}

void dither_pass_keep(const dither_pass *pass, const dither_kept *place, size_t cols, const float *x)
{
    kept_job job = {.place = dither_pass_kept(pass, place), .rows = pass->tokens, .cols = cols, .from = x};
    run_kept(pass, &job, keep_piece);
}

void dither_pass_restore(const dither_pass *pass, const dither_kept *place, size_t cols, float *x)
{
    kept_job job = {.place = *place, .rows = pass->tokens, .cols = cols, .to = x};
    run_kept(pass, &job, restore_piece);
}

/* The gradient of a parameter lies where the parameter lies, in the other block. */
float *dither_pass_gradient(const dither_pass *pass, const float *weights)
{
    return pass->net->gradients && weights ? pass->net->gradients + (weights - pass->net->parameters) : NULL;
}

/* ---- norms --------------------------------------------------------------------------------------------------- */

void dither_pass_norm(const dither_pass *pass, const dither_norm *norm, float *x, const float *h, dither_kept place,
                      float *y)
{
    if (h)
        dither_norm_add_forward(pass->context, norm, pass->tokens, x, h, y, place);
    else
        dither_norm_forward_keep(pass->context, norm, pass->tokens, x, y, place);
}

void dither_pass_norm_backward(const dither_pass *pass, const dither_norm *norm, dither_kept x, const float *dy,
                               float *dx)
{
    dither_norm_backward_kept(pass->context, norm, pass->tokens, x, dy, dx, dither_pass_gradient(pass, norm->w),
                              dither_pass_gradient(pass, norm->bias));
}

float *dither_pass_norm_again(const dither_pass *pass, const dither_norm *norm, const dither_kept *place)
{
    if (!pass->net->recompute)
        return NULL;
    float *y = dither_pass_take(pass, norm->dim);
    dither_pass_restore(pass, place, norm->dim, y);
    dither_norm_forward(pass->context, norm, pass->tokens, y, y);
    return y;
}

void dither_pass_post_norm(const dither_pass *pass, const dither_norm *norm, const dither_kept *place, float *h)
{
    if (pass->net->config.post_norms)
        dither_norm_forward_keep(pass->context, norm, pass->tokens, h, h, dither_pass_kept(pass, place));
}

const float *dither_pass_post_norm_backward(const dither_pass *pass, const dither_norm *norm, const dither_kept *place,
                                            const float *dy)
{
    if (!pass->net->config.post_norms)
        return dy;
    float *dh = dither_pass_take(pass, norm->dim);
    if (!pass->context->dry)
        dither_vector_zero(pass->tokens * norm->dim, dh, pass->context->threads);
    dither_pass_norm_backward(pass, norm, *place, dy, dh);
    return dh;
}

/* ---- linear layers ------------------------------------------------------------------------------------------- */

dither_status dither_pass_linear(const dither_pass *pass, const dither_linear *linear, const float *x, float *y,
                                 dither_linear_saved *saved)
{
    if (pass->mode == DITHER_HEAD_EXACT) {
        dither_linear_forward_exact(pass->context, linear, pass->tokens, x, y);
        return DITHER_OK;
    }
    const bool saves = pass->mode == DITHER_HEAD_TRAIN && !pass->net->recompute;
    return dither_linear_forward(pass->context, linear, pass->tokens, pass->start, x, y, saves ? saved : NULL);
}

dither_status dither_pass_linear_backward(const dither_pass *pass, const dither_linear *linear,
                                          const dither_linear_saved *saved, const float *x, const float *dy, float *dx)
{
    const dither_context *context = pass->context;
    float *dw = dither_pass_gradient(pass, linear->w), *db = dither_pass_gradient(pass, linear->bias);
    if (!pass->net->recompute)
        return dither_linear_backward(context, linear, pass->tokens, 0, saved, dy, dx, dw, db);
    const size_t mark = dither_arena_mark(context->scratch);
    dither_linear_saved again;
    void *memory =
        dither_arena_take(context->scratch, dither_linear_saved_bytes(linear->plan, linear->in, pass->tokens), 1);
    dither_status status = dither_linear_saved_init(&again, linear->plan, linear->in, pass->tokens, memory);
    if (!status)
        status = dither_linear_keep(context, linear, pass->tokens, 0, x, &again);
    if (!status)
        status = dither_linear_backward(context, linear, pass->tokens, 0, &again, dy, dx, dw, db);
    dither_arena_rewind(context->scratch, mark);
    return status;
}
