#include "model/network.h"

#include <string.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernel/vector.h"
#include "nn/embedding.h"
#include "nn/norm.h"
#include "nn/rope.h"
#include "nn/swiglu.h"

/* One call's view of the network: what every function below is handed. */
typedef struct pass {
    dither_network *net;
    const dither_context *context;
    dither_head_mode mode;
    const dither_batch_view *view;
    size_t batch, seq, tokens;
    size_t row0;  /* number of the first token's row, for addressing draws */
    size_t q, kv; /* widths of the queries, and of the keys or values */
    dither_error *error;
} pass;

static pass make_pass(dither_network *net, const dither_context *context, dither_head_mode mode,
                      const dither_batch_view *view, dither_error *error)
{
    const dither_model_config *c = &net->config;
    return (pass){.net = net,
                  .context = context,
                  .mode = mode,
                  .view = view,
                  .batch = view->batch,
                  .seq = view->seq,
                  .tokens = view->batch * view->seq,
                  .q = c->heads * c->head_dim,
                  .kv = c->kv_heads * c->head_dim,
                  .error = error};
}

static dither_attention attention_shape(const pass *p)
{
    const dither_network *net = p->net;
    return (dither_attention){.batch = p->batch,
                              .seq = p->seq,
                              .heads = net->config.heads,
                              .kv_heads = net->config.kv_heads,
                              .head_dim = net->config.head_dim,
                              .bf16 = !dither_network_keeps_f32(&net->scheme) && p->mode != DITHER_HEAD_EXACT};
}

/* Of so many products of queries and keys, or of scores and values, where a query sees the key. */
static dither_work attention_work(const dither_attention *shape, double products)
{
    const double pairs = (double)shape->heads * dither_attention_pairs(shape);
    const double values = (double)(shape->batch * shape->seq * (2 * shape->heads + 2 * shape->kv_heads));
    return (dither_work){.unit = shape->bf16 ? DITHER_UNIT_BF16 : DITHER_UNIT_F32,
                         .ops = products * 2 * pairs * (double)shape->head_dim,
                         .bytes = values * (double)shape->head_dim * sizeof(float)};
}

/* The q and k heads at the front of rows of qkv. */
static dither_rotation rotation_of(const pass *p, size_t start)
{
    const dither_model_config *c = &p->net->config;
    return (dither_rotation){.tokens = p->tokens,
                             .heads = c->heads + c->kv_heads,
                             .head_dim = c->head_dim,
                             .stride = p->q + 2 * p->kv,
                             .seq = p->seq,
                             .start = start,
                             .table = p->net->rope,
                             .table_positions = c->ctx};
}

static float *take(const pass *p, size_t cols)
{
    return dither_arena_take(p->context->scratch, dither_multiply(p->tokens, cols), sizeof(float));
}

static dither_status fail_at(const pass *p, dither_status status, size_t layer, const char *what)
{
    return dither_fail(p->error, status, "", "NaN or Inf at step %u in layer %zu, %s", (unsigned)p->context->step,
                       layer, what);
}

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

static void run_kept(const pass *p, kept_job *job, void (*piece)(void *context, size_t index, int thread))
{
    if (p->context->dry || !job->place.at)
        return;
    const int64_t begun = dither_profile_begin(p->context->profile);
    dither_parallel_for(p->context->threads, (job->rows + KEPT_ROWS - 1) / KEPT_ROWS, piece, job);
    dither_profile_end(p->context->profile, DITHER_OP_SAVE, begun,
                       dither_work_pass(dither_kept_bytes(job->place, job->rows * job->cols) +
                                        (double)(job->rows * job->cols * sizeof(float))));
}

/* Where nothing follows backward, nothing is kept. */
static dither_kept kept(const pass *p, const dither_kept *place)
{
    return p->mode == DITHER_HEAD_TRAIN && !p->context->dry ? *place : (dither_kept){.at = NULL};
}

static void keep(const pass *p, const dither_kept *place, size_t cols, const float *x)
{
    kept_job job = {.place = kept(p, place), .rows = p->tokens, .cols = cols, .from = x};
    run_kept(p, &job, keep_piece);
}

static void restore(const pass *p, const dither_kept *place, size_t cols, float *x)
{
    kept_job job = {.place = *place, .rows = p->tokens, .cols = cols, .to = x};
    run_kept(p, &job, restore_piece);
}

static void add(const pass *p, float *x, const float *y, size_t cols)
{
    if (!p->context->dry)
        dither_vector_add(p->tokens * cols, x, y, p->context->threads);
}

/* The residual stream takes what a block hands it (h; NULL: nothing), is kept, and goes into the next norm. */
static void norm_forward(const pass *p, float *x, const float *h, const float *w, dither_kept place, float *y)
{
    const size_t dim = p->net->config.dim;
    const float eps = (float)p->net->config.norm_eps;
    if (h)
        dither_rmsnorm_add_forward(p->context, p->tokens, dim, eps, x, h, w, y, place);
    else
        dither_rmsnorm_forward_keep(p->context, p->tokens, dim, eps, x, w, y, place);
}

static dither_status linear_forward(const pass *p, const dither_linear *linear, const float *x, float *y,
                                    dither_linear_saved *saved)
{
    if (p->mode == DITHER_HEAD_EXACT) {
        dither_linear_forward_exact(p->context, linear, p->tokens, x, y);
        return DITHER_OK;
    }
    const bool saves = p->mode == DITHER_HEAD_TRAIN && !p->net->recompute;
    return dither_linear_forward(p->context, linear, p->tokens, p->row0, x, y, saves ? saved : NULL);
}

static dither_attention_values values_of(dither_kept place)
{
    return place.bf16 ? (dither_attention_values){.bf16 = place.at} : (dither_attention_values){.f32 = place.at};
}

/* o = attention(qkv), kept where backward follows. */
static void attend(const pass *p, dither_layer *layer, const float *qkv, float *o)
{
    const dither_attention shape = attention_shape(p);
    const dither_kept in = kept(p, &layer->qkv_out), out = kept(p, &layer->att_out);
    const dither_attention_values values = in.at ? values_of(in) : (dither_attention_values){.f32 = qkv};
    const int64_t begun = dither_profile_begin(p->context->profile);
    dither_attention_forward_kept(p->context, &shape, values, o, out.bf16 ? out.at : NULL,
                                  p->mode == DITHER_HEAD_TRAIN ? layer->lse : NULL);
    if (!p->context->dry)
        dither_profile_end(p->context->profile, DITHER_OP_ATTENTION, begun, attention_work(&shape, 2));
    if (!out.bf16)
        keep(p, &layer->att_out, p->q, o);
}

/* x += h_in of the block before, then h = what this block adds. h_in may be h; NULL: x is whole. */
static dither_status attention_forward(const pass *p, dither_layer *layer, float *x, const float *h_in, float *h)
{
    const dither_model_config *c = &p->net->config;
    const size_t mark = dither_arena_mark(p->context->scratch);
    float *y = take(p, c->dim), *qkv = take(p, p->q + 2 * p->kv), *o = take(p, p->q);
    norm_forward(p, x, h_in, layer->norm1, kept(p, &layer->x1), y);
    dither_status status = linear_forward(p, &layer->qkv, y, qkv, &layer->qkv_in);
    if (!status) {
        const dither_rotation rotation = rotation_of(p, 0);
        dither_rope_forward_keep(p->context, &rotation, qkv, kept(p, &layer->qkv_out));
        attend(p, layer, qkv, o);
        status = linear_forward(p, &layer->o, o, h, &layer->o_in);
    }
    dither_arena_rewind(p->context->scratch, mark);
    return status;
}

static dither_status mlp_forward(const pass *p, dither_layer *layer, float *x, float *h)
{
    const dither_model_config *c = &p->net->config;
    const size_t mark = dither_arena_mark(p->context->scratch);
    float *y = take(p, c->dim), *gu = take(p, 2 * c->ffn), *a = take(p, c->ffn);
    norm_forward(p, x, h, layer->norm2, kept(p, &layer->x2), y);
    dither_status status = linear_forward(p, &layer->gate_up, y, gu, &layer->gate_up_in);
    if (!status) {
        dither_swiglu_forward_keep(p->context, p->tokens, c->ffn, gu, a, kept(p, &layer->gate_up_out));
        status = linear_forward(p, &layer->down, a, h, &layer->down_in);
    }
    dither_arena_rewind(p->context->scratch, mark);
    return status;
}

/* What the last block adds is left in h: the last norm adds it to x. */
static dither_status layers_forward(const pass *p, float *x, float *h)
{
    for (size_t i = 0; i < p->net->config.layers; i++) {
        dither_status status = attention_forward(p, &p->net->layers[i], x, i > 0 ? h : NULL, h);
        if (status)
            return fail_at(p, status, i, "attention, forward");
        status = mlp_forward(p, &p->net->layers[i], x, h);
        if (status)
            return fail_at(p, status, i, "feed-forward, forward");
    }
    return DITHER_OK;
}

/* The gradient of a parameter's matrix lies where the matrix lies, in the other block. */
static float *gradient(const pass *p, const float *weights)
{
    return p->net->gradients ? p->net->gradients + (weights - p->net->parameters) : NULL;
}

/* @param x  the layer's input where it was computed again; NULL: what dW reads of it was saved */
static dither_status linear_backward(const pass *p, const dither_linear *linear, const dither_linear_saved *saved,
                                     const float *x, const float *dy, float *dx)
{
    const dither_context *context = p->context;
    if (!p->net->recompute)
        return dither_linear_backward(context, linear, p->tokens, 0, saved, dy, dx, gradient(p, linear->w), NULL);
    const size_t mark = dither_arena_mark(context->scratch);
    dither_linear_saved again;
    void *memory =
        dither_arena_take(context->scratch, dither_linear_saved_bytes(linear->plan, linear->in, p->tokens), 1);
    dither_status status = dither_linear_saved_init(&again, linear->plan, linear->in, p->tokens, memory);
    if (!status)
        status = dither_linear_keep(context, linear, p->tokens, 0, x, &again);
    if (!status)
        status = dither_linear_backward(context, linear, p->tokens, 0, &again, dy, dx, gradient(p, linear->w), NULL);
    dither_arena_rewind(context->scratch, mark);
    return status;
}

/* What a norm handed on, again; NULL where nobody wants it. */
static float *norm_again(const pass *p, const dither_kept *place, const float *w)
{
    if (!p->net->recompute)
        return NULL;
    const size_t dim = p->net->config.dim;
    float *y = take(p, dim);
    restore(p, place, dim, y);
    dither_rmsnorm_forward(p->context, p->tokens, dim, (float)p->net->config.norm_eps, y, w, y);
    return y;
}

static dither_status down_backward(const pass *p, const dither_layer *layer, const float *dx, float *da)
{
    const size_t ffn = p->net->config.ffn, mark = dither_arena_mark(p->context->scratch);
    float *a = NULL;
    if (p->net->recompute) {
        float *gu = take(p, 2 * ffn);
        a = take(p, ffn);
        restore(p, &layer->gate_up_out, 2 * ffn, gu);
        dither_swiglu_forward(p->context, p->tokens, ffn, gu, a);
    }
    const dither_status status = linear_backward(p, &layer->down, &layer->down_in, a, dx, da);
    dither_arena_rewind(p->context->scratch, mark);
    return status;
}

/* dx is the gradient of the residual stream behind the block on entry, and before it on return. */
static dither_status mlp_backward(const pass *p, const dither_layer *layer, float *dx)
{
    const dither_model_config *c = &p->net->config;
    const size_t mark = dither_arena_mark(p->context->scratch);
    float *dh = take(p, c->dim), *da = take(p, c->ffn), *dgu = take(p, 2 * c->ffn);
    dither_status status = down_backward(p, layer, dx, da);
    if (!status) {
        dither_swiglu_backward_kept(p->context, p->tokens, c->ffn, layer->gate_up_out, da, dgu);
        const float *y = norm_again(p, &layer->x2, layer->norm2);
        status = linear_backward(p, &layer->gate_up, &layer->gate_up_in, y, dgu, dh);
    }
    if (!status)
        dither_rmsnorm_backward_kept(p->context, p->tokens, c->dim, (float)c->norm_eps, layer->x2, layer->norm2, dh, dx,
                                     gradient(p, layer->norm2));
    dither_arena_rewind(p->context->scratch, mark);
    return status;
}

static dither_status attention_backward(const pass *p, const dither_layer *layer, float *dx)
{
    const dither_model_config *c = &p->net->config;
    const size_t stride = p->q + 2 * p->kv, mark = dither_arena_mark(p->context->scratch);
    float *dh = take(p, c->dim), *dout = take(p, p->q), *dqkv = take(p, stride);
    float *o = p->net->recompute ? take(p, p->q) : NULL;
    if (o)
        restore(p, &layer->att_out, p->q, o);
    dither_status status = linear_backward(p, &layer->o, &layer->o_in, o, dx, dout);
    if (!status) {
        const dither_attention shape = attention_shape(p);
        const int64_t begun = dither_profile_begin(p->context->profile);
        dither_attention_backward_kept(p->context, &shape, values_of(layer->qkv_out), values_of(layer->att_out),
                                       layer->lse, dout, dqkv);
        if (!p->context->dry)
            dither_profile_end(p->context->profile, DITHER_OP_ATTENTION, begun, attention_work(&shape, 5));
        const dither_rotation rotation = rotation_of(p, 0);
        dither_rope_apply(p->context, &rotation, true, dqkv);
        const float *y = norm_again(p, &layer->x1, layer->norm1);
        status = linear_backward(p, &layer->qkv, &layer->qkv_in, y, dqkv, dh);
    }
    if (!status)
        dither_rmsnorm_backward_kept(p->context, p->tokens, c->dim, (float)c->norm_eps, layer->x1, layer->norm1, dh, dx,
                                     gradient(p, layer->norm1));
    dither_arena_rewind(p->context->scratch, mark);
    return status;
}

static dither_status layers_backward(const pass *p, float *dx)
{
    for (size_t i = p->net->config.layers; i-- > 0;) {
        dither_status status = mlp_backward(p, &p->net->layers[i], dx);
        if (status)
            return fail_at(p, status, i, "feed-forward, backward");
        status = attention_backward(p, &p->net->layers[i], dx);
        if (status)
            return fail_at(p, status, i, "attention, backward");
    }
    return DITHER_OK;
}

/* The head, and under DITHER_HEAD_TRAIN the way back through the last norm into dx. */
static dither_status head_loss(const pass *p, float scale, float *x, float *h, float *dx)
{
    dither_network *net = p->net;
    const dither_model_config *c = &net->config;
    const bool train = p->mode == DITHER_HEAD_TRAIN;
    const size_t mark = dither_arena_mark(p->context->scratch);
    float *dh = train ? take(p, c->dim) : NULL;
    norm_forward(p, x, h, net->norm, (dither_kept){.at = NULL}, h);
    dither_profile_place(p->context->profile, DITHER_PLACE_HEAD);
    dither_status status = dither_head_loss(p->context, &net->head, p->mode, p->tokens, h, p->view->targets, scale,
                                            net->losses, dh, train ? gradient(p, net->head.w) : NULL);
    dither_profile_place(p->context->profile, DITHER_PLACE_LAYERS);
    if (status)
        status = dither_fail(p->error, status, "", "NaN or Inf at step %u in the output head",
                             (unsigned)p->context->step);
    if (!status && train) {
        if (!p->context->dry)
            dither_vector_zero(p->tokens * c->dim, dx, p->context->threads);
        dither_rmsnorm_backward(p->context, p->tokens, c->dim, (float)c->norm_eps, x, net->norm, dh, dx,
                                gradient(p, net->norm));
    }
    dither_arena_rewind(p->context->scratch, mark);
    return status;
}

/* Of a fresh step: what the layers add to. Matrices are written whole, an untied embedding only where a token was. */
static void clear_gradients(const pass *p)
{
    const dither_network *net = p->net;
    for (size_t i = 0; i < net->table_count; i++) {
        const dither_parameter *row = &net->table[i];
        if (row->vector || (row->role == DITHER_PARAMETER_EMBEDDING && !net->config.tied))
            dither_vector_zero(row->rows * row->cols, net->gradients + row->offset, p->context->threads);
    }
}

/* The embedding is row 0 of the table. */
static void embed(const pass *p, float *x)
{
    const dither_network *net = p->net;
    if (net->stored)
        dither_embedding_stored(p->context, p->tokens, p->view->ids, &net->stored[0], x);
    else
        dither_embedding_forward(p->context, p->tokens, net->config.dim, p->view->ids, net->parameters, x);
}

dither_status dither_network_loss(dither_network *network, const dither_context *context, dither_head_mode mode,
                                  const dither_batch_view *batch, float scale, double *loss, dither_error *error)
{
    const pass p = make_pass(network, context, mode, batch, error);
    const size_t dim = network->config.dim, mark = dither_arena_mark(context->scratch);
    const bool train = mode == DITHER_HEAD_TRAIN;
    float *x = take(&p, dim), *h = take(&p, dim), *dx = train ? take(&p, dim) : NULL;
    if (train && context->fresh && !context->dry)
        clear_gradients(&p);
    embed(&p, x);
    dither_status status = layers_forward(&p, x, h);
    if (!status)
        status = head_loss(&p, scale, x, h, dx);
    if (!status && train) {
        dither_profile_phase(context->profile, DITHER_PHASE_BACKWARD);
        status = layers_backward(&p, dx);
        if (!status)
            dither_embedding_backward(context, p.tokens, dim, batch->ids, dx, network->gradients);
    }
    dither_arena_rewind(context->scratch, mark);
    if (status || context->dry)
        return status;
    *loss = 0;
    for (size_t t = 0; t < p.tokens; t++)
        *loss += (double)network->losses[t];
    return DITHER_OK;
}

dither_status dither_network_refresh(dither_network *network, const dither_context *context, dither_error *error)
{
    for (size_t i = 0; i < network->config.layers; i++) {
        dither_layer *layer = &network->layers[i];
        dither_linear *linears[] = {&layer->qkv, &layer->o, &layer->gate_up, &layer->down};
        for (size_t k = 0; k < 4; k++) {
            const dither_status status = dither_linear_refresh(context, linears[k]);
            if (status)
                return dither_fail(error, status, "", "NaN or Inf at step %u in the weights of layer %zu",
                                   (unsigned)context->step, i);
        }
    }
    const dither_status status = dither_linear_refresh(context, &network->head);
    if (status)
        return dither_fail(error, status, "", "NaN or Inf at step %u in the weights of the output head",
                           (unsigned)context->step);
    return DITHER_OK;
}

static dither_status decode_layer(const pass *p, dither_layer *layer, size_t index, dither_cache *cache,
                                  size_t position, float *x)
{
    const dither_model_config *c = &p->net->config;
    const dither_attention shape = attention_shape(p);
    const size_t stride = p->q + 2 * p->kv, mark = dither_arena_mark(p->context->scratch);
    float *h = take(p, c->dim), *qkv = take(p, stride), *o = take(p, p->q);
    float *gu = take(p, 2 * c->ffn), *a = take(p, c->ffn);
    const size_t front_row = cache->k ? index * cache->ctx * p->kv : 0;
    dither_rmsnorm_forward(p->context, 1, c->dim, (float)c->norm_eps, x, layer->norm1, h);
    dither_status status = linear_forward(p, &layer->qkv, h, qkv, NULL);
    if (!status) {
        const dither_rotation rotation = rotation_of(p, position);
        dither_rope_apply(p->context, &rotation, false, qkv);
        dither_attention_extend(p->context, &shape, position, 1, NULL, qkv, cache->k + front_row, cache->v + front_row,
                                o);
        status = linear_forward(p, &layer->o, o, h, NULL);
    }
    if (!status) {
        add(p, x, h, c->dim);
        dither_rmsnorm_forward(p->context, 1, c->dim, (float)c->norm_eps, x, layer->norm2, h);
        status = linear_forward(p, &layer->gate_up, h, gu, NULL);
    }
    if (!status) {
        dither_swiglu_forward(p->context, 1, c->ffn, gu, a);
        status = linear_forward(p, &layer->down, a, h, NULL);
    }
    if (!status)
        add(p, x, h, c->dim);
    dither_arena_rewind(p->context->scratch, mark);
    return status;
}

dither_status dither_network_decode(dither_network *network, const dither_context *context, bool exact,
                                    dither_cache *cache, size_t position, uint32_t id, float *logits,
                                    dither_error *error)
{
    const dither_batch_view view = {.batch = 1, .seq = 1, .ids = &id};
    pass p = make_pass(network, context, exact ? DITHER_HEAD_EXACT : DITHER_HEAD_FORWARD, &view, error);
    p.row0 = position;
    const dither_model_config *c = &network->config;
    const size_t mark = dither_arena_mark(context->scratch);
    float *x = take(&p, c->dim), *h = take(&p, c->dim);
    embed(&p, x);
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < c->layers && !status; i++) {
        status = decode_layer(&p, &network->layers[i], i, cache, position, x);
        if (status)
            status = fail_at(&p, status, i, "forward");
    }
    if (!status && logits) {
        dither_rmsnorm_forward(context, 1, c->dim, (float)c->norm_eps, x, network->norm, h);
        status = linear_forward(&p, &network->head, h, logits, NULL);
    }
    dither_arena_rewind(context->scratch, mark);
    return status;
}

size_t dither_network_scratch(dither_network *network, int threads)
{
    dither_arena arena = dither_arena_dry();
    const dither_context context = {.scratch = &arena, .threads = threads, .dry = true};
    const dither_head_mode modes[] = {DITHER_HEAD_TRAIN, DITHER_HEAD_FORWARD, DITHER_HEAD_EXACT};
    const dither_batch_view batch = {.batch = network->batch, .seq = network->seq};
    double loss;
    /* A dry run cannot fail: it computes nothing. */
    for (size_t i = network->train ? 0 : 1; i < 3; i++)
        (void)!dither_network_loss(network, &context, modes[i], &batch, 1, &loss, NULL);
    if (!network->stored)
        (void)!dither_network_refresh(network, &context, NULL);
    dither_cache cache = {0};
    (void)!dither_network_decode(network, &context, true, &cache, 0, 0, NULL, NULL);
    (void)!dither_network_decode(network, &context, false, &cache, 0, 0, NULL, NULL);
    return arena.peak;
}

size_t dither_network_refresh_scratch(dither_network *network, int threads)
{
    dither_arena arena = dither_arena_dry();
    const dither_context context = {.scratch = &arena, .threads = threads, .dry = true};
    (void)!dither_network_refresh(network, &context, NULL);
    return arena.peak;
}
