/* The memory of repeat.h: layers, and pixels as sparse rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "study/repeat_parts.h"

enum { BLOCK = DITHER_REPEAT_BLOCK, PATCH = 4, PLACES_MAX = 65535 };

static size_t padded(size_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

size_t dither_repeat_place(size_t row, size_t column, size_t across)
{
    return (row / PATCH * across + column / PATCH) * BLOCK + row % PATCH * PATCH + column % PATCH;
}

static size_t patches(size_t pixels)
{
    return (pixels + PATCH - 1) / PATCH;
}

/* ---- pixels -------------------------------------------------------------------------------------------------- */

/* A picture with its pixels in the order of patches. */
static void arrange(const dither_pictures *pictures, size_t i, float *x)
{
    const float *const from = pictures->x + i * pictures->height * pictures->width;
    for (size_t row = 0; row < pictures->height; row++)
        for (size_t column = 0; column < pictures->width; column++)
            x[dither_repeat_place(row, column, patches(pictures->width))] = from[row * pictures->width + column];
}

/* The pixels of one sample. @param x  [in] in the order of patches  @param low, step, accept  [in] scratch */
static bool lay_pixels(dither_repeat *r, dither_repeat_pixels *pixels, const float *x, int16_t *low, int16_t *step,
                       uint16_t *accept)
{
    const size_t in = r->layer[0].in;
    if (!r->kernels->split(in, x, 1.0f / r->grid, low, step, accept))
        return false;
    size_t count = 0, blocks = 0;
    for (size_t k = 0; k < in / BLOCK; k++) {
        const size_t before = count;
        for (size_t j = 0; j < BLOCK; j++)
            count += x[k * BLOCK + j] != 0.0f;
        blocks += count > before;
    }
    uint16_t *const index = dither_arena_take(&r->arena, count, sizeof *index);
    float *const values = dither_arena_take(&r->arena, count, sizeof *values);
    uint16_t *const id = dither_arena_take(&r->arena, blocks, sizeof *id);
    int16_t *const to_low = dither_arena_take(&r->arena, blocks * BLOCK, sizeof *to_low);
    int16_t *const to_step = dither_arena_take(&r->arena, blocks * BLOCK, sizeof *to_step);
    uint16_t *const to_accept = dither_arena_take(&r->arena, blocks * BLOCK, sizeof *to_accept);
    *pixels = (dither_repeat_pixels){count, index, values, blocks, id, to_low, to_step, to_accept};
    count = blocks = 0;
    for (size_t k = 0; k < in / BLOCK; k++) {
        const size_t before = count;
        for (size_t j = k * BLOCK; j < (k + 1) * BLOCK; j++) {
            if (x[j] == 0.0f)
                continue;
            index[count] = (uint16_t)j;
            values[count++] = x[j];
        }
        if (count == before)
            continue;
        r->used[k] = 1;
        memcpy(to_low + blocks * BLOCK, low + k * BLOCK, BLOCK * sizeof *low);
        memcpy(to_step + blocks * BLOCK, step + k * BLOCK, BLOCK * sizeof *step);
        memcpy(to_accept + blocks * BLOCK, accept + k * BLOCK, BLOCK * sizeof *accept);
        id[blocks++] = (uint16_t)k;
    }
    return true;
}

/* ---- layers -------------------------------------------------------------------------------------------------- */

static void lay_layer(dither_repeat *r, size_t l)
{
    dither_repeat_layer *const layer = &r->layer[l];
    dither_arena *const arena = &r->arena;
    layer->w = dither_arena_take(arena, layer->in * layer->out, sizeof *layer->w);
    layer->bias = dither_arena_take(arena, layer->out, sizeof *layer->bias);
    layer->y = dither_arena_take(arena, r->samples * layer->out, sizeof *layer->y);
    if (l) {
        layer->low = dither_arena_take(arena, r->samples * layer->in, sizeof *layer->low);
        layer->step = dither_arena_take(arena, r->samples * layer->in, sizeof *layer->step);
        layer->accept = dither_arena_take(arena, r->samples * layer->in, sizeof *layer->accept);
    }
    layer->sum = dither_arena_take(arena, layer->in * layer->out, sizeof *layer->sum);
    layer->wide = dither_arena_take(arena, layer->in * layer->out, sizeof *layer->wide);
    layer->x = dither_arena_take(arena, DITHER_REPEAT_GROUP, sizeof *layer->x);
    layer->values = dither_arena_take(arena, DITHER_REPEAT_GROUP * layer->in, sizeof *layer->values);
    layer->term = dither_arena_take(arena, DITHER_REPEAT_GROUP * layer->out, sizeof *layer->term);
    layer->terms = dither_arena_take(arena, layer->out, sizeof *layer->terms);
    layer->bias_sum = dither_arena_take(arena, layer->out, sizeof *layer->bias_sum);
}

/* Everything but the pixels, whose sizes depend on the samples. */
static void lay(dither_repeat *r)
{
    const size_t n = r->samples, classes = r->layer[r->net.layers - 1].out;
    size_t widest = r->layer[0].in;
    for (size_t l = 0; l < r->net.layers; l++) {
        lay_layer(r, l);
        widest = r->layer[l].out > widest ? r->layer[l].out : widest;
    }
    dither_arena *const arena = &r->arena;
    r->pixels = dither_arena_take(arena, n, sizeof *r->pixels);
    r->labels = dither_arena_take(arena, n, sizeof *r->labels);
    r->used = dither_arena_take(arena, r->layer[0].in / BLOCK, sizeof *r->used);
    r->top = dither_arena_take(arena, n * classes, sizeof *r->top);
    r->top_low = dither_arena_take(arena, n * classes, sizeof *r->top_low);
    r->top_step = dither_arena_take(arena, n * classes, sizeof *r->top_step);
    r->top_accept = dither_arena_take(arena, n * classes, sizeof *r->top_accept);
    r->top_codes = dither_arena_take(arena, (size_t)DITHER_REPEATS_MAX * DITHER_REPEAT_TOP * classes,
                                     sizeof *r->top_codes);
    r->dy = dither_arena_take(arena, widest, sizeof *r->dy);
    r->low = dither_arena_take(arena, widest, sizeof *r->low);
    r->step = dither_arena_take(arena, widest, sizeof *r->step);
    r->accept = dither_arena_take(arena, widest, sizeof *r->accept);
    r->codes = dither_arena_take(arena, widest, sizeof *r->codes);
    r->code = dither_arena_take(arena, widest, sizeof *r->code);
    r->index = dither_arena_take(arena, widest, sizeof *r->index);
    r->every = dither_arena_take(arena, widest / BLOCK, sizeof *r->every);
}

/* What the pixels of the samples take at most: each array of lay_pixels() for pictures without a 0. */
static size_t pixel_bytes(const dither_repeat *r)
{
    const size_t a_place = 3 * sizeof(uint16_t) + 2 * sizeof(int16_t) + sizeof(float), arrays = 6;
    return dither_multiply(r->samples, r->layer[0].in * a_place + arrays * DITHER_ALIGN);
}

dither_status dither_repeat_open(dither_repeat **repeat, const dither_mlp *net, const dither_pictures *pictures,
                                 int step_log2, const dither_repeat_rows *kernels, dither_error *error)
{
    const size_t in = patches(pictures->height) * patches(pictures->width) * BLOCK;
    *repeat = NULL;
    if (in > PLACES_MAX)
        return dither_fail(error, DITHER_E_SHAPE, net->text, "pictures of %zu x %zu pixels; at most %d are possible",
                           pictures->height, pictures->width, PLACES_MAX);
    dither_repeat *const r = calloc(1, sizeof *r);
    if (!r)
        return dither_fail(error, DITHER_E_MEMORY, net->text, "no memory");
    r->net = *net;
    r->samples = pictures->count;
    r->height = pictures->height;
    r->width = pictures->width;
    r->grid = ldexpf(1.0f, step_log2);
    r->kernels = kernels;
    for (size_t l = 0; l < net->layers; l++) {
        r->layer[l].in = l ? padded(net->width[l]) : in;
        r->layer[l].out = padded(net->width[l + 1]);
    }
    r->arena = dither_arena_dry();
    lay(r);
    const size_t bytes = r->arena.used + pixel_bytes(r) + in * (sizeof(float) + 3 * sizeof(int16_t)) + 4 * DITHER_ALIGN;
    if (dither_arena_open(&r->arena, bytes)) {
        free(r);
        return dither_fail(error, DITHER_E_MEMORY, net->text, "%zu MB are needed and not there", bytes >> 20);
    }
    lay(r);
    memcpy(r->labels, pictures->labels, r->samples);
    float *const x = dither_arena_take(&r->arena, in, sizeof *x);
    int16_t *const low = dither_arena_take(&r->arena, in, sizeof *low);
    int16_t *const step = dither_arena_take(&r->arena, in, sizeof *step);
    uint16_t *const accept = dither_arena_take(&r->arena, in, sizeof *accept);
    for (size_t i = 0; i < r->samples; i++) {
        arrange(pictures, i, x);
        if (!lay_pixels(r, &r->pixels[i], x, low, step, accept)) {
            dither_repeat_close(r);
            return dither_fail(error, DITHER_E_NUMERIC, net->text, "a step of 2^%d is too fine for these pixels",
                               step_log2);
        }
    }
    size_t widest = 0;
    for (size_t l = 0; l < net->layers; l++) {
        const dither_repeat_layer *const layer = &r->layer[l];
        widest = layer->in > widest ? layer->in : widest;
        widest = layer->out > widest ? layer->out : widest;
    }
    for (size_t k = 0; k < widest / BLOCK; k++)
        r->every[k] = (uint16_t)k;
    *repeat = r;
    return DITHER_OK;
}

void dither_repeat_close(dither_repeat *repeat)
{
    if (!repeat)
        return;
    dither_arena_close(&repeat->arena);
    free(repeat);
}

/* ---- parameters ---------------------------------------------------------------------------------------------- */

/* Where weight (o, j) of a layer stands in `w`, j in the caller's order. */
static size_t weight_place(const dither_repeat *r, size_t l, size_t o, size_t j)
{
    const dither_repeat_layer *const layer = &r->layer[l];
    if (l)
        return o * layer->in + j;
    const size_t place = dither_repeat_place(j / r->width, j % r->width, patches(r->width));
    return (o / BLOCK * layer->in + place) * BLOCK + o % BLOCK;
}

void dither_repeat_load(dither_repeat *r, const float *parameters)
{
    for (size_t l = 0; l < r->net.layers; l++) {
        const size_t in = r->net.width[l], out = r->net.width[l + 1];
        const float *const w = parameters + dither_mlp_weight_at(&r->net, l);
        for (size_t o = 0; o < out; o++)
            for (size_t j = 0; j < in; j++)
                r->layer[l].w[weight_place(r, l, o, j)] = w[o * in + j];
        memcpy(r->layer[l].bias, parameters + dither_mlp_bias_at(&r->net, l), out * sizeof(float));
    }
}

void dither_repeat_store(const dither_repeat *r, float *parameters)
{
    for (size_t l = 0; l < r->net.layers; l++) {
        const size_t in = r->net.width[l], out = r->net.width[l + 1];
        float *const w = parameters + dither_mlp_weight_at(&r->net, l);
        for (size_t o = 0; o < out; o++)
            for (size_t j = 0; j < in; j++)
                w[o * in + j] = r->layer[l].w[weight_place(r, l, o, j)];
        memcpy(parameters + dither_mlp_bias_at(&r->net, l), r->layer[l].bias, out * sizeof(float));
    }
}
