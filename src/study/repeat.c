/* Forward once, backward for each repeat, row by row: repeat.h. */
#include "study/repeat.h"

#include <assert.h>
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
    for (size_t o = 0; o < first->out; o += BLOCK) { /* whose weights stay in the first-level cache */
        for (size_t i = 0; i < n; i++) {
            float *const y = first->y + i * first->out + o;
            r->kernels->forward(r->pixels[i].count, r->pixels[i].index, r->pixels[i].x, first->w + o * first->in,
                                first->bias + o, y);
            for (size_t j = 0; j < BLOCK; j++)
                y[j] = layers == 1 || y[j] > 0.0f ? y[j] : 0.0f;
        }
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
        dither_repeat_layer *const layer = &r->layer[l];
        if (layer->spilled)
            memset(layer->wide, 0, layer->out * layer->in * sizeof *layer->wide);
        memset(layer->sum, 0, layer->out * layer->in * sizeof *layer->sum);
        memset(layer->terms, 0, layer->out * sizeof *layer->terms);
        memset(layer->bias_sum, 0, layer->out * sizeof *layer->bias_sum);
        layer->spilled = false;
        layer->bound = layer->total = layer->largest_sum = 0;
        layer->rows = 0;
    }
}

static void spill(dither_repeat_layer *layer)
{
    for (size_t at = 0; at < layer->out * layer->in; at++) {
        layer->wide[at] += layer->sum[at];
        layer->sum[at] = 0;
    }
    layer->spilled = true;
    layer->bound = 0;
}

/* sum += code x in 32 bits, for products that 16 do not hold. */
static void add_wide(dither_repeat_layer *layer, size_t o)
{
    for (size_t t = 0; t < layer->terms[o]; t++) {
        const dither_repeat_term term = layer->term[o * DITHER_REPEAT_GROUP + t];
        const dither_repeat_blocks *const x = &layer->x[term.row];
        for (size_t k = 0; k < x->count; k++)
            for (size_t j = 0; j < BLOCK; j++)
                layer->wide[o * layer->in + (size_t)x->id[k] * BLOCK + j] += term.code * x->value[k * BLOCK + j];
    }
    layer->spilled = true;
}

/* dW += codes^T x of the group, which then is empty. @return false where 32 bits might overflow */
static bool add_group(const dither_repeat *r, dither_repeat_layer *layer)
{
    const bool narrow = layer->largest_sum <= INT16_MAX;
    layer->total += layer->largest_sum;
    if (layer->total > INT32_MAX)
        return false;
    if (narrow && layer->bound + layer->largest_sum > INT16_MAX)
        spill(layer);
    for (size_t o = 0; o < layer->out; o++) {
        if (!layer->terms[o])
            continue;
        if (narrow)
            r->kernels->add(layer->terms[o], layer->term + o * DITHER_REPEAT_GROUP, layer->x,
                            layer->sum + o * layer->in);
        else
            add_wide(layer, o);
        layer->terms[o] = 0;
    }
    layer->bound += narrow ? layer->largest_sum : 0;
    layer->rows = 0;
    layer->largest_sum = 0;
    return true;
}

/* A row whose input is layer->x[layer->rows]. @return false where 32 bits might overflow */
static bool add_row(const dither_repeat *r, dither_repeat_layer *layer, const dither_repeat_list *codes)
{
    int32_t largest = 0;
    for (size_t t = 0; t < codes->count; t++) {
        const size_t o = codes->index[t];
        const int16_t code = codes->code[t];
        largest = code > largest ? code : -code > largest ? -code : largest;
        layer->term[o * DITHER_REPEAT_GROUP + layer->terms[o]++] = (dither_repeat_term){(uint16_t)layer->rows, code};
    }
    layer->largest_sum += (int64_t)largest * layer->largest;
    return ++layer->rows < DITHER_REPEAT_GROUP || add_group(r, layer);
}

/* ---- backward ------------------------------------------------------------------------------------------------ */

/* The input's codes of layer l for one sample and repeat, as the next row of its group. */
static void take_input(dither_repeat *r, size_t l, size_t i, dither_draw draw)
{
    dither_repeat_layer *const layer = &r->layer[l];
    int16_t *const values = layer->values + layer->rows * layer->in;
    draw.tensor = (uint32_t)l;
    draw.role = DITHER_ROLE_BACT;
    if (l) {
        const size_t at = i * layer->in;
        r->kernels->choose(&draw, i, layer->in, layer->low + at, layer->step + at, layer->accept + at, values);
        layer->x[layer->rows] = (dither_repeat_blocks){layer->in / BLOCK, r->every, values};
        return;
    }
    const dither_repeat_pixels *const p = &r->pixels[i];
    r->kernels->choose(&draw, i, p->blocks * BLOCK, p->low, p->step, p->accept, values);
    layer->x[layer->rows] = (dither_repeat_blocks){p->blocks, p->id, values};
}

/*
 * A sample's way down.
 * @param codes  of the top dy
 * @param draw   whose microbatch is the repeat
 * @return false: diverged
 */
static bool backward_row(dither_repeat *r, size_t i, const int16_t *codes, dither_draw draw)
{
    const dither_repeat_rows *const kernels = r->kernels;
    const size_t top = r->net.layers - 1;
    const float inverse = 1.0f / r->grid;
    dither_repeat_list list = {0, r->index, r->code};
    list.count = kernels->nonzero(r->layer[top].out, codes, r->index, r->code);
    for (size_t l = top; list.count; l--) {
        dither_repeat_layer *const layer = &r->layer[l];
        take_input(r, l, i, draw);
        if (!add_row(r, layer, &list))
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

/* All repeats of a sample after one another: what they share stays in the first-level cache. */
static bool backward_samples(dither_repeat *r, size_t first, size_t count, uint64_t seed, uint32_t step)
{
    const size_t top = r->net.layers - 1, classes = r->layer[top].out, at = first * classes;
    dither_draw draw = {.seed = seed, .step = step, .tensor = (uint32_t)top, .role = DITHER_ROLE_GOACT};
    for (size_t repeat = 0; repeat < r->repeats; repeat++) {
        draw.microbatch = (uint32_t)repeat;
        r->kernels->choose(&draw, first / DITHER_REPEAT_TOP, count * classes, r->top_low + at, r->top_step + at,
                           r->top_accept + at, r->top_codes + repeat * DITHER_REPEAT_TOP * classes);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t repeat = 0; repeat < r->repeats; repeat++) {
            draw.microbatch = (uint32_t)repeat;
            if (!backward_row(r, first + i, r->top_codes + (repeat * DITHER_REPEAT_TOP + i) * classes, draw))
                return false;
        }
    }
    return true;
}

dither_status dither_repeat_backward(dither_repeat *r, uint64_t seed, uint32_t step, size_t repeats,
                                     dither_error *error)
{
    const size_t n = r->samples, top = r->net.layers - 1, classes = r->layer[top].out;
    assert(repeats && repeats <= DITHER_REPEATS_MAX);
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
    for (size_t first = 0; first < n; first += DITHER_REPEAT_TOP)
        if (!backward_samples(r, first, n - first < DITHER_REPEAT_TOP ? n - first : DITHER_REPEAT_TOP, seed, step))
            return diverged(r, error);
    for (size_t l = 0; l <= top; l++)
        if (!add_group(r, &r->layer[l]))
            return diverged(r, error);
    return DITHER_OK;
}

/* ---- what comes of it ---------------------------------------------------------------------------------------- */

/* The sum of code products of weight (o, j). */
static float sum_at(const dither_repeat_layer *layer, size_t o, size_t j)
{
    const size_t at = o * layer->in + j;
    return (float)(layer->spilled ? layer->sum[at] + layer->wide[at] : layer->sum[at]);
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
            float *const w = layer->w + (o / BLOCK * layer->in + k * BLOCK) * BLOCK + o % BLOCK;
            for (size_t j = 0; j < BLOCK; j++)
                w[j * BLOCK] -= factor * sum_at(layer, o, k * BLOCK + j);
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
