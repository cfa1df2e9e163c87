/* Forward once, backward for each repeat, row by row: repeat.h. */
#include "study/repeat.h"

#include <string.h>

#include "base/fail.h"
#include "kernel/gemm_f32.h"
#include "study/repeat_parts.h"

enum { BLOCK = DITHER_REPEAT_BLOCK };

/* ---- forward ------------------------------------------------------------------------------------------------- */

static void bias_and_relu(const dither_repeat_layer *layer, size_t n, bool top)
{
    for (size_t i = 0; i < n; i++) {
        float *const y = layer->y + i * layer->out;
        for (size_t j = 0; j < layer->out; j++) {
            const float sum = y[j] + layer->bias[j];
            y[j] = top || sum > 0.0f ? sum : 0.0f;
        }
    }
}

static void forward(dither_repeat *r)
{
    const dither_repeat_layer *const first = &r->layer[0];
    const size_t n = r->samples, layers = r->net.layers;
    for (size_t i = 0; i < n; i++) {
        float *const y = first->y + i * first->out;
        r->kernels->forward(r->pixels[i].count, r->pixels[i].index, r->pixels[i].x, first->w, first->bias, first->out,
                            y);
        for (size_t j = 0; j < first->out; j++)
            y[j] = layers == 1 || y[j] > 0.0f ? y[j] : 0.0f;
    }
    for (size_t l = 1; l < layers; l++) {
        const dither_repeat_layer *const layer = &r->layer[l];
        dither_gemm_f32(DITHER_GEMM_NT, n, layer->out, layer->in, r->layer[l - 1].y, layer->w, layer->y, false, 1);
        bias_and_relu(layer, n, l + 1 == layers);
    }
}

static dither_status diverged(const dither_repeat *r, dither_error *error)
{
    return dither_fail(error, DITHER_E_NUMERIC, r->net.text,
                       "a gradient or activation of more than %d steps, or NaN: the run has diverged",
                       DITHER_REPEAT_LARGEST);
}

/* What every repeat shares: dy of the top layer, and all splits. */
static dither_status prepare(dither_repeat *r, dither_error *error)
{
    const size_t n = r->samples, top = r->net.layers - 1, classes = r->net.width[r->net.layers];
    const float inverse = 1.0f / r->grid;
    forward(r);
    for (size_t i = 0; i < n; i++)
        (void)dither_mlp_loss(classes, r->layer[top].y + i * r->layer[top].out, r->labels[i],
                              r->top + i * r->layer[top].out);
    bool fits = r->kernels->split(n * r->layer[top].out, r->top, inverse, r->top_low, r->top_step, r->top_accept);
    for (size_t l = 1; l <= top; l++) {
        dither_repeat_layer *const layer = &r->layer[l];
        fits = fits && r->kernels->split(n * layer->in, r->layer[l - 1].y, inverse, layer->low, layer->step,
                                         layer->accept);
        int16_t largest = 0;
        for (size_t j = 0; j < n * layer->in; j++)
            largest = layer->low[j] > largest ? layer->low[j] : largest;
        layer->largest = largest + 1;
    }
    r->layer[0].largest = (int32_t)inverse; /* a pixel is at most 1 */
    return fits ? DITHER_OK : diverged(r, error);
}

/* ---- sums ---------------------------------------------------------------------------------------------------- */

static void clear_sums(dither_repeat *r)
{
    for (size_t l = 0; l < r->net.layers; l++) {
        const dither_repeat_layer *const layer = &r->layer[l];
        for (size_t o = 0; o < layer->out; o++)
            if (layer->spilled[o])
                memset(layer->wide + o * layer->in, 0, layer->in * sizeof *layer->wide);
        memset(layer->sum, 0, layer->out * layer->in * sizeof *layer->sum);
        memset(layer->spilled, 0, layer->out);
        memset(layer->bound, 0, layer->out * sizeof *layer->bound);
        memset(layer->total, 0, layer->out * sizeof *layer->total);
        memset(layer->bias_sum, 0, layer->out * sizeof *layer->bias_sum);
    }
}

static void spill(const dither_repeat_layer *layer, size_t o)
{
    int16_t *const sum = layer->sum + o * layer->in;
    int32_t *const wide = layer->wide + o * layer->in;
    for (size_t j = 0; j < layer->in; j++) {
        wide[j] += sum[j];
        sum[j] = 0;
    }
    layer->spilled[o] = 1;
    layer->bound[o] = 0;
}

/* sum += code x in 32 bits, for products that 16 do not hold. */
static void add_wide(const dither_repeat_layer *layer, size_t o, int32_t code, const dither_repeat_blocks *x)
{
    layer->spilled[o] = 1;
    for (size_t k = 0; k < x->count; k++) {
        int32_t *const wide = layer->wide + o * layer->in + (size_t)x->id[k] * BLOCK;
        for (size_t j = 0; j < BLOCK; j++)
            wide[j] += code * x->value[k * BLOCK + j];
    }
}

/* dW += codes^T x. @return false where 32 bits might overflow */
static bool add_outer(const dither_repeat *r, const dither_repeat_layer *layer, const dither_repeat_list *codes,
                      const dither_repeat_blocks *x)
{
    bool narrow = true;
    for (size_t t = 0; t < codes->count; t++) {
        const size_t o = codes->index[t];
        const int32_t code = codes->code[t], most = (code < 0 ? -code : code) * layer->largest;
        layer->total[o] += most;
        if (layer->total[o] > INT32_MAX)
            return false;
        if (layer->bound[o] > INT16_MAX - most)
            spill(layer, o);
        narrow = narrow && most <= INT16_MAX;
        layer->bound[o] += most;
    }
    if (narrow) {
        r->kernels->outer(codes, x, layer->sum, layer->in);
        return true;
    }
    for (size_t t = 0; t < codes->count; t++) {
        add_wide(layer, codes->index[t], codes->code[t], x);
        layer->bound[codes->index[t]] = INT16_MAX; /* more than it is: the next one spills first */
    }
    return true;
}

/* ---- backward ------------------------------------------------------------------------------------------------ */

/* The input's codes of layer l for one sample and repeat. */
static dither_repeat_blocks input_codes(const dither_repeat *r, size_t l, size_t i, dither_draw draw)
{
    draw.tensor = (uint32_t)l;
    draw.role = DITHER_ROLE_BACT;
    if (l) {
        const dither_repeat_layer *const layer = &r->layer[l];
        const size_t at = i * layer->in;
        r->kernels->choose(&draw, i, layer->in, layer->low + at, layer->step + at, layer->accept + at, r->x);
        return (dither_repeat_blocks){layer->in / BLOCK, r->every, r->x};
    }
    const dither_repeat_pixels *const p = &r->pixels[i];
    const size_t padded = (p->moving + BLOCK - 1) / BLOCK * BLOCK;
    r->kernels->choose(&draw, i, padded, p->moving_low, p->moving_step, p->accept, r->codes);
    memcpy(r->x, p->low, p->blocks * BLOCK * sizeof *r->x);
    for (size_t k = 0; k < p->moving; k++)
        r->x[p->place[k]] = r->codes[k];
    return (dither_repeat_blocks){p->blocks, p->id, r->x};
}

/* A sample's way down. @param draw  whose microbatch is the repeat  @return false: diverged */
static bool backward_row(dither_repeat *r, size_t i, dither_draw draw)
{
    const dither_repeat_rows *const kernels = r->kernels;
    const size_t top = r->net.layers - 1;
    const float inverse = 1.0f / r->grid;
    dither_repeat_list list = {0, r->index, r->code};
    list.count = kernels->nonzero(r->layer[top].out, r->top_codes + i * r->layer[top].out, r->index, r->code);
    for (size_t l = top; list.count; l--) {
        const dither_repeat_layer *const layer = &r->layer[l];
        const dither_repeat_blocks x = input_codes(r, l, i, draw);
        if (!add_outer(r, layer, &list, &x))
            return false;
        if (l == 0)
            break;
        const dither_repeat_layer *const below = &r->layer[l - 1];
        kernels->combine(&list, layer->w, layer->in, r->grid, below->y + i * below->out, r->dy);
        for (size_t j = 0; j < below->out; j++)
            below->bias_sum[j] += r->dy[j];
        if (!kernels->split(below->out, r->dy, inverse, r->low, r->step, r->accept))
            return false;
        draw.tensor = (uint32_t)(l - 1);
        draw.role = DITHER_ROLE_GOACT;
        kernels->choose(&draw, i, below->out, r->low, r->step, r->accept, r->codes);
        list.count = kernels->nonzero(below->out, r->codes, r->index, r->code);
    }
    return true;
}

dither_status dither_repeat_backward(dither_repeat *r, uint64_t seed, uint32_t step, size_t repeats,
                                     dither_error *error)
{
    const size_t n = r->samples, top = r->net.layers - 1, classes = r->layer[top].out;
    clear_sums(r);
    r->repeats = repeats;
    const dither_status status = prepare(r, error);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < classes; k++)
            r->layer[top].bias_sum[k] += r->top[i * classes + k];
    for (size_t k = 0; k < classes; k++)
        r->layer[top].bias_sum[k] *= (float)repeats;
    for (size_t repeat = 0; repeat < repeats; repeat++) {
        dither_draw draw = {.seed = seed, .step = step, .microbatch = (uint32_t)repeat, .tensor = (uint32_t)top,
                            .role = DITHER_ROLE_GOACT};
        r->kernels->choose(&draw, 0, n * classes, r->top_low, r->top_step, r->top_accept, r->top_codes);
        for (size_t i = 0; i < n; i++)
            if (!backward_row(r, i, draw))
                return diverged(r, error);
    }
    return DITHER_OK;
}

/* ---- what comes of it ---------------------------------------------------------------------------------------- */

/* The sum of code products of weight (o, j). */
static float sum_at(const dither_repeat_layer *layer, size_t o, size_t j)
{
    const size_t at = o * layer->in + j;
    return (float)(layer->sum[at] + layer->wide[at]);
}

void dither_repeat_gradient(const dither_repeat *r, float *gradient)
{
    const float batch = (float)(r->samples * r->repeats), scale = r->grid * r->grid / batch;
    const size_t across = (r->width + 3) / 4;
    for (size_t l = 0; l < r->net.layers; l++) {
        const size_t in = r->net.width[l], out = r->net.width[l + 1];
        float *const dw = gradient + dither_mlp_weight_at(&r->net, l);
        float *const db = gradient + dither_mlp_bias_at(&r->net, l);
        for (size_t o = 0; o < out; o++) {
            for (size_t j = 0; j < in; j++)
                dw[o * in + j] = scale * sum_at(&r->layer[l], o,
                                                l ? j : dither_repeat_place(j / r->width, j % r->width, across));
            db[o] = r->layer[l].bias_sum[o] / batch;
        }
    }
}

/* Layer 0 has its weights the other way round. */
static void descend_first(dither_repeat *r, float factor)
{
    dither_repeat_layer *const layer = &r->layer[0];
    for (size_t k = 0; k < layer->in / BLOCK; k++) {
        if (!r->used[k])
            continue;
        for (size_t o = 0; o < layer->out; o++) {
            if (!layer->total[o])
                continue;
            float *const w = layer->w + k * BLOCK * layer->out + o;
            for (size_t j = 0; j < BLOCK; j++)
                w[j * layer->out] -= factor * sum_at(layer, o, k * BLOCK + j);
        }
    }
}

void dither_repeat_descend(dither_repeat *r, float lr)
{
    const float batch = (float)(r->samples * r->repeats), factor = lr * (r->grid * r->grid / batch);
    descend_first(r, factor);
    for (size_t l = 0; l < r->net.layers; l++) {
        dither_repeat_layer *const layer = &r->layer[l];
        if (l)
            for (size_t at = 0; at < layer->in * layer->out; at++)
                layer->w[at] -= factor * (float)(layer->sum[at] + layer->wide[at]);
        for (size_t o = 0; o < layer->out; o++)
            layer->bias[o] -= lr * (layer->bias_sum[o] / batch);
    }
}
