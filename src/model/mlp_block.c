/* x += post_norm(down(activation(gate_up(norm2(x))))) */
#include "model/pass.h"
#include "nn/activation.h"

/* Of a row of what gate_up gives. */
static size_t width_of(const dither_model_config *c)
{
    return dither_activation_inputs(c->activation) * c->ffn;
}

dither_status dither_mlp_block(const dither_pass *pass, size_t index, float *x, float *h)
{
    const dither_model_config *c = &pass->net->config;
    dither_layer *layer = &pass->net->layers[index];
    const size_t mark = dither_arena_mark(pass->context->scratch), width = width_of(c);
    float *y = dither_pass_take(pass, c->dim), *gu = dither_pass_take(pass, width), *a = dither_pass_take(pass, c->ffn);
    dither_pass_norm(pass, &layer->norm2, x, h, dither_pass_kept(pass, &layer->x2), y);
    dither_status status = dither_pass_linear(pass, &layer->gate_up, y, gu, &layer->gate_up_in);
    if (!status) {
        dither_activation_forward_keep(pass->context, c->activation, pass->tokens, c->ffn, gu, a,
                                       dither_pass_kept(pass, &layer->gate_up_out));
        status = dither_pass_linear(pass, &layer->down, a, h, &layer->down_in);
    }
    if (!status)
        dither_pass_post_norm(pass, &layer->post2, &layer->down_out, h);
    dither_arena_rewind(pass->context->scratch, mark);
    return status;
}

static dither_status down_backward(const dither_pass *pass, const dither_layer *layer, const float *dy, float *da)
{
    const dither_model_config *c = &pass->net->config;
    const size_t mark = dither_arena_mark(pass->context->scratch), width = width_of(c);
    float *a = NULL;
    if (pass->net->recompute) {
        float *gu = dither_pass_take(pass, width);
        a = dither_pass_take(pass, c->ffn);
        dither_pass_restore(pass, &layer->gate_up_out, width, gu);
        dither_activation_forward(pass->context, c->activation, pass->tokens, c->ffn, gu, a);
    }
    const dither_status status = dither_pass_linear_backward(pass, &layer->down, &layer->down_in, a, dy, da);
    dither_arena_rewind(pass->context->scratch, mark);
    return status;
}

dither_status dither_mlp_block_backward(const dither_pass *pass, size_t index, float *dx)
{
    const dither_model_config *c = &pass->net->config;
    const dither_layer *layer = &pass->net->layers[index];
    const size_t mark = dither_arena_mark(pass->context->scratch), width = width_of(c);
    const float *dy = dither_pass_post_norm_backward(pass, &layer->post2, &layer->down_out, dx);
    float *dh = dither_pass_take(pass, c->dim), *da = dither_pass_take(pass, c->ffn);
    float *dgu = dither_pass_take(pass, width);
    dither_status status = down_backward(pass, layer, dy, da);
    if (!status) {
        dither_activation_backward_kept(pass->context, c->activation, pass->tokens, c->ffn, layer->gate_up_out, da,
                                        dgu);
        const float *y = dither_pass_norm_again(pass, &layer->norm2, &layer->x2);
        status = dither_pass_linear_backward(pass, &layer->gate_up, &layer->gate_up_in, y, dgu, dh);
    }
    if (!status)
        dither_pass_norm_backward(pass, &layer->norm2, layer->x2, dh, dx);
    dither_arena_rewind(pass->context->scratch, mark);
    return status;
}
