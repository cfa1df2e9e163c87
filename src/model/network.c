#include "model/network.h"

#include <math.h>

#include "base/fail.h"
#include "kernel/vector.h"
#include "model/pass.h"
#include "nn/embedding.h"

static dither_status fail_at(const dither_pass *p, dither_status status, size_t layer, const char *what)
{
    return dither_fail(p->error, status, "", "NaN or Inf at step %u in layer %zu, %s", (unsigned)p->context->step,
                       layer, what);
}

/* What a layer's quantizers saturated: the difference of the counts before and after it. */
static dither_clips clips_before(const dither_context *context)
{
    return context->layers ? *context->clips : (dither_clips){0};
}

static void count_layer(const dither_context *context, size_t layer, dither_clips before)
{
    if (!context->layers)
        return;
    context->layers[layer].elements += context->clips->elements - before.elements;
    context->layers[layer].clipped += context->clips->clipped - before.clipped;
}

/* The embedding is row 0 of the table. */
static void embed(const dither_pass *p, float *x)
{
    const dither_network *net = p->net;
    const size_t dim = net->config.dim;
    if (net->stored) /* the embedding is row 0 of the table */
        dither_embedding_stored(p->context, p->tokens, p->view->ids, &net->stored[0], x);
    else
        dither_embedding_forward(p->context, p->tokens, dim, p->view->ids, net->parameters, x);
    if (net->config.scaled_embedding && !p->context->dry)
        dither_vector_scale(p->tokens * dim, sqrtf((float)dim), x, p->context->threads);
    if (net->config.learned_positions)
        dither_embedding_add(p->context, p->tokens, dim, p->positions, net->positions, x);
}

static void embed_backward(const dither_pass *p, float *dx)
{
    const dither_network *net = p->net;
    const size_t dim = net->config.dim;
    if (net->config.learned_positions)
        dither_embedding_backward(p->context, p->tokens, dim, p->positions, dx,
                                  dither_pass_gradient(p, net->positions));
    if (net->config.scaled_embedding && !p->context->dry)
        dither_vector_scale(p->tokens * dim, sqrtf((float)dim), dx, p->context->threads);
    dither_embedding_backward(p->context, p->tokens, dim, p->view->ids, dx, net->gradients);
}

/* What the last block adds is left in h: the last norm adds it to x. */
static dither_status layers_forward(const dither_pass *p, float *x, float *h)
{
    for (size_t i = 0; i < p->net->config.layers; i++) {
        const dither_clips before = clips_before(p->context);
        dither_status status = dither_attention_block(p, i, x, i > 0 ? h : NULL, h);
        if (status)
            return fail_at(p, status, i, "attention, forward");
        status = dither_mlp_block(p, i, x, h);
        if (status)
            return fail_at(p, status, i, "feed-forward, forward");
        count_layer(p->context, i, before);
    }
    return DITHER_OK;
}

static dither_status layers_backward(const dither_pass *p, float *dx)
{
    for (size_t i = p->net->config.layers; i-- > 0;) {
        const dither_clips before = clips_before(p->context);
        dither_status status = dither_mlp_block_backward(p, i, dx);
        if (status)
            return fail_at(p, status, i, "feed-forward, backward");
        status = dither_attention_block_backward(p, i, dx);
        if (status)
            return fail_at(p, status, i, "attention, backward");
        count_layer(p->context, i, before);
    }
    return DITHER_OK;
}

/* The head, and under DITHER_HEAD_TRAIN the way back through the last norm into dx. */
static dither_status head_loss(const dither_pass *p, float scale, float *x, float *h, float *dx)
{
    dither_network *net = p->net;
    const size_t dim = net->config.dim;
    const bool train = p->mode == DITHER_HEAD_TRAIN;
    const size_t mark = dither_arena_mark(p->context->scratch);
    float *dh = train ? dither_pass_take(p, dim) : NULL;
    dither_pass_norm(p, &net->norm, x, h, (dither_kept){.at = NULL}, h);
    dither_profile_place(p->context->profile, DITHER_PLACE_HEAD);
    const dither_clips before = clips_before(p->context);
    dither_status status = dither_head_loss(p->context, &net->head, p->mode, p->tokens, h, p->view->targets, scale,
                                            net->losses, dh, train ? dither_pass_gradient(p, net->head.w) : NULL);
    count_layer(p->context, net->config.layers, before);
    dither_profile_place(p->context->profile, DITHER_PLACE_LAYERS);
    if (status)
        status = dither_fail(p->error, status, "", "NaN or Inf at step %u in the output head",
                             (unsigned)p->context->step);
    if (!status && train) {
        if (!p->context->dry)
            dither_vector_zero(p->tokens * dim, dx, p->context->threads);
        dither_pass_norm_backward(p, &net->norm, (dither_kept){.at = x}, dh, dx);
    }
    dither_arena_rewind(p->context->scratch, mark);
    return status;
}

/* Of a fresh step: what the layers add to. Matrices of linear layers are written whole. */
static void clear_gradients(const dither_pass *p)
{
    const dither_network *net = p->net;
    for (size_t i = 0; i < net->table_count; i++) {
        const dither_parameter *row = &net->table[i];
        /* A tied embedding is written as the head; another one is added to, but only where a token was. */
        const bool looked_up = row->role == DITHER_PARAMETER_POSITIONS ||
                               (row->role == DITHER_PARAMETER_EMBEDDING && !net->config.tied);
        if (row->vector || looked_up)
            dither_vector_zero(row->rows * row->cols, net->gradients + row->offset, p->context->threads);
    }
}

dither_status dither_network_loss(dither_network *network, const dither_context *context, dither_head_mode mode,
                                  const dither_batch_view *batch, float scale, double *loss, dither_error *error)
{
    const size_t dim = network->config.dim, mark = dither_arena_mark(context->scratch);
    const dither_pass p = dither_pass_begin(network, context, mode, batch, NULL, 0, error);
    const bool train = mode == DITHER_HEAD_TRAIN;
    float *x = dither_pass_take(&p, dim), *h = dither_pass_take(&p, dim);
    float *dx = train ? dither_pass_take(&p, dim) : NULL;
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
            embed_backward(&p, dx);
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
        const dither_clips before = clips_before(context);
        for (size_t k = 0; k < 4; k++) {
            const dither_status status = dither_linear_refresh(context, linears[k]);
            if (status)
                return dither_fail(error, status, "", "NaN or Inf at step %u in the weights of layer %zu",
                                   (unsigned)context->step, i);
        }
        count_layer(context, i, before);
    }
    const dither_clips before = clips_before(context);
    const dither_status status = dither_linear_refresh(context, &network->head);
    count_layer(context, network->config.layers, before);
    if (status)
        return dither_fail(error, status, "", "NaN or Inf at step %u in the weights of the output head",
                           (unsigned)context->step);
    return DITHER_OK;
}

/* The logits of the last token, whose x and h stand behind the others'. */
static dither_status last_logits(const dither_pass *p, float *x, float *h, float *logits)
{
    dither_pass last = *p;
    const size_t before = p->context->dry ? 0 : (p->tokens - 1) * p->net->config.dim;
    last.start += p->tokens - 1;
    last.tokens = 1;
    dither_pass_norm(&last, &p->net->norm, x + before, h + before, (dither_kept){.at = NULL}, h + before);
    return dither_pass_linear(&last, &p->net->head, h + before, logits, NULL);
}

dither_status dither_network_extend(dither_network *network, const dither_context *context, bool exact,
                                    dither_cache *cache, size_t position, size_t count, const uint32_t *ids,
                                    float *logits, dither_error *error)
{
    const dither_batch_view view = {.batch = 1, .seq = count, .ids = ids};
    const size_t dim = network->config.dim, mark = dither_arena_mark(context->scratch);
    const dither_pass p = dither_pass_begin(network, context, exact ? DITHER_HEAD_EXACT : DITHER_HEAD_FORWARD, &view,
                                            cache, position, error);
    float *x = dither_pass_take(&p, dim), *h = dither_pass_take(&p, dim);
    embed(&p, x);
    dither_status status = layers_forward(&p, x, h);
    if (!status && (logits || context->dry))
        status = last_logits(&p, x, h, logits);
    dither_arena_rewind(context->scratch, mark);
    return status;
}

size_t dither_network_scratch(dither_network *network, int threads)
{
    dither_arena arena = dither_arena_dry();
    const dither_context context = {.scratch = &arena, .threads = threads, .dry = true};
    const dither_head_mode modes[] = {DITHER_HEAD_TRAIN, DITHER_HEAD_FORWARD, DITHER_HEAD_EXACT};
    const dither_batch_view batch = {.batch = network->batch, .seq = network->seq};
    const size_t tokens = network->batch * network->seq, ctx = network->config.ctx, most = tokens < ctx ? tokens : ctx;
    double loss;
    /* A dry run cannot fail: it computes nothing. */
    for (size_t i = network->train ? 0 : 1; i < 3; i++)
        (void)!dither_network_loss(network, &context, modes[i], &batch, 1, &loss, NULL);
    if (!network->stored)
        (void)!dither_network_refresh(network, &context, NULL);
    dither_cache cache = {0};
    (void)!dither_network_extend(network, &context, true, &cache, 0, most, NULL, NULL, NULL);
    (void)!dither_network_extend(network, &context, false, &cache, 0, most, NULL, NULL, NULL);
    return arena.peak;
}

size_t dither_network_refresh_scratch(dither_network *network, int threads)
{
    dither_arena arena = dither_arena_dry();
    const dither_context context = {.scratch = &arena, .threads = threads, .dry = true};
    (void)!dither_network_refresh(network, &context, NULL);
    return arena.peak;
}
