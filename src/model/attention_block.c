/* x += post_norm(o(attention(rope(head_norm(qkv(norm1(x))))))) */
#include <math.h>

#include "model/pass.h"
#include "nn/rope.h"

static dither_attention shape_of(const dither_pass *pass, size_t layer)
{
    const dither_model_config *c = &pass->net->config;
    return (dither_attention){.batch = pass->view->batch,
                              .seq = pass->view->seq,
                              .heads = c->heads,
                              .kv_heads = c->kv_heads,
                              .head_dim = c->head_dim,
                              .first = pass->first[dither_model_windowed(c, layer)],
                              .scale = c->attention_scalar > 0 ? (float)(1 / sqrt(c->attention_scalar)) : 0,
                              .bf16 = !dither_network_keeps_f32(&pass->net->scheme) && pass->mode != DITHER_HEAD_EXACT};
}

/* Of so many products of queries and keys, or of scores and values, where a query sees the key. */
static dither_work work_of(const dither_attention *shape, double products)
{
    const double pairs = (double)shape->heads * dither_attention_pairs(shape);
    const double values = (double)(shape->batch * shape->seq * (2 * shape->heads + 2 * shape->kv_heads));
    return (dither_work){.unit = shape->bf16 ? DITHER_UNIT_BF16 : DITHER_UNIT_F32,
                         .ops = products * 2 * pairs * (double)shape->head_dim,
                         .bytes = values * (double)shape->head_dim * sizeof(float)};
}

/* The q and k heads at the front of rows of qkv. */
static dither_rotation rotation_of(const dither_pass *pass, size_t layer)
{
    const dither_model_config *c = &pass->net->config;
    return (dither_rotation){.tokens = pass->tokens,
                             .heads = c->heads + c->kv_heads,
                             .head_dim = c->head_dim,
                             .stride = pass->q + 2 * pass->kv,
                             .seq = pass->view->seq,
                             .start = pass->start,
                             .positions = pass->positions,
                             .table = pass->net->rope[dither_model_windowed(c, layer)],
                             .table_positions = c->ctx};
}

static dither_attention_values values_of(dither_kept place)
{
    return place.bf16 ? (dither_attention_values){.bf16 = place.at} : (dither_attention_values){.f32 = place.at};
}

/* Norms and turns of the queries and keys; qkv is kept as attention reads it. */
static void prepare(const dither_pass *pass, size_t index, float *qkv)
{
    const dither_model_config *c = &pass->net->config;
    dither_layer *layer = &pass->net->layers[index];
    if (c->qk_norm)
        dither_head_norm_forward(pass->context, &layer->head_norm, pass->tokens, qkv,
                                 dither_pass_kept(pass, &layer->qk_out));
    if (c->learned_positions) {
        dither_pass_keep(pass, &layer->qkv_out, pass->q + 2 * pass->kv, qkv);
        return;
    }
    const dither_rotation rotation = rotation_of(pass, index);
    dither_rope_forward_keep(pass->context, &rotation, qkv, dither_pass_kept(pass, &layer->qkv_out));
}

static void extend(const dither_pass *pass, size_t index, const float *qkv, float *o)
{
    const dither_attention shape = shape_of(pass, index);
    const size_t front = pass->cache->k ? index * pass->cache->ctx * pass->kv : 0;
    dither_attention_extend(pass->context, &shape, pass->start, pass->tokens, shape.first, qkv, pass->cache->k + front,
                            pass->cache->v + front, o);
}

/* o = attention(qkv), kept where backward follows. */
static void attend(const dither_pass *pass, size_t index, const float *qkv, float *o)
{
    const dither_layer *layer = &pass->net->layers[index];
    const dither_attention shape = shape_of(pass, index);
    const dither_kept in = dither_pass_kept(pass, &layer->qkv_out), out = dither_pass_kept(pass, &layer->att_out);
    const dither_attention_values values = in.at ? values_of(in) : (dither_attention_values){.f32 = qkv};
    const int64_t begun = dither_profile_begin(pass->context->profile);
    dither_attention_forward_kept(pass->context, &shape, values, o, out.bf16 ? out.at : NULL,
                                  pass->mode == DITHER_HEAD_TRAIN ? layer->lse : NULL);
    if (!pass->context->dry)
        dither_profile_end(pass->context->profile, DITHER_OP_ATTENTION, begun, work_of(&shape, 2));
    if (!out.bf16)
        dither_pass_keep(pass, &layer->att_out, pass->q, o);
}

dither_status dither_attention_block(const dither_pass *pass, size_t index, float *x, const float *h_in, float *h)
{
    dither_layer *layer = &pass->net->layers[index];
    const size_t mark = dither_arena_mark(pass->context->scratch);
    float *y = dither_pass_take(pass, pass->net->config.dim), *qkv = dither_pass_take(pass, pass->q + 2 * pass->kv);
    float *o = dither_pass_take(pass, pass->q);
    dither_pass_norm(pass, &layer->norm1, x, h_in, dither_pass_kept(pass, &layer->x1), y);
    dither_status status = dither_pass_linear(pass, &layer->qkv, y, qkv, &layer->qkv_in);
    if (!status) {
        prepare(pass, index, qkv);
        if (pass->cache)
            extend(pass, index, qkv, o);
        else
            attend(pass, index, qkv, o);
        status = dither_pass_linear(pass, &layer->o, o, h, &layer->o_in);
    }
    if (!status)
        dither_pass_post_norm(pass, &layer->post1, &layer->o_out, h);
    dither_arena_rewind(pass->context->scratch, mark);
    return status;
}

/* The way back through attention itself: from the gradient of its result to that of what qkv gave. */
static void attend_backward(const dither_pass *pass, size_t index, const float *dout, float *dqkv)
{
    const dither_model_config *c = &pass->net->config;
    const dither_layer *layer = &pass->net->layers[index];
    const dither_attention shape = shape_of(pass, index);
    const int64_t begun = dither_profile_begin(pass->context->profile);
    dither_attention_backward_kept(pass->context, &shape, values_of(layer->qkv_out), values_of(layer->att_out),
                                   layer->lse, dout, dqkv);
    if (!pass->context->dry)
        dither_profile_end(pass->context->profile, DITHER_OP_ATTENTION, begun, work_of(&shape, 5));
    if (!c->learned_positions) {
        const dither_rotation rotation = rotation_of(pass, index);
        dither_rope_apply(pass->context, &rotation, true, dqkv);
    }
    if (c->qk_norm)
        dither_head_norm_backward(pass->context, &layer->head_norm, pass->tokens, layer->qk_out, dqkv,
                                  dither_pass_gradient(pass, layer->head_norm.q),
                                  dither_pass_gradient(pass, layer->head_norm.k));
}

dither_status dither_attention_block_backward(const dither_pass *pass, size_t index, float *dx)
{
    const dither_layer *layer = &pass->net->layers[index];
    const size_t dim = pass->net->config.dim, mark = dither_arena_mark(pass->context->scratch);
    const float *dy = dither_pass_post_norm_backward(pass, &layer->post1, &layer->o_out, dx);
    float *dh = dither_pass_take(pass, dim), *dout = dither_pass_take(pass, pass->q);
    float *dqkv = dither_pass_take(pass, pass->q + 2 * pass->kv);
    float *o = pass->net->recompute ? dither_pass_take(pass, pass->q) : NULL;
    if (o)
        dither_pass_restore(pass, &layer->att_out, pass->q, o);
    dither_status status = dither_pass_linear_backward(pass, &layer->o, &layer->o_in, o, dy, dout);
    if (!status) {
        attend_backward(pass, index, dout, dqkv);
        const float *y = dither_pass_norm_again(pass, &layer->norm1, &layer->x1);
        status = dither_pass_linear_backward(pass, &layer->qkv, &layer->qkv_in, y, dqkv, dh);
    }
    if (!status)
        dither_pass_norm_backward(pass, &layer->norm1, layer->x1, dh, dx);
    dither_arena_rewind(pass->context->scratch, mark);
    return status;
}
