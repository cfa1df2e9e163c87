/*
 * What the tests of the linear layer share: a layer with its data on arenas of its own, sized by a dry run, and the
 * quantizers restated element by element from their definitions in the public headers, on dither_format_encode,
 * dither_format_decode and dither_draw_fill alone.
 */
#ifndef DITHER_TESTS_LINEAR_FIXTURE_H
#define DITHER_TESTS_LINEAR_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/philox.h"
#include "nn/linear.h"

enum { FIXTURE_TENSOR = 7 };

/* ---- data ------------------------------------------------------------------------------------------------- */

static inline double fixture_uniform(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) * 0x1p-24 + 0x1p-25;
}

/* Roughly normal, a few outliers, one row of zeros and one column of zeros where there is room. */
static inline void fixture_fill(float *x, size_t rows, size_t cols, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < rows * cols; i++) {
        double v = -3.0;
        for (int k = 0; k < 6; k++) {
            v += fixture_uniform(&state);
        }
        v = fixture_uniform(&state) < 0.02 ? 8.0 * v : v;
        const bool zero = (rows > 4 && i / cols == 2) || (cols > 4 && i % cols == cols - 2);
        x[i] = zero ? 0.0f : (float)v;
    }
}

/* ---- a layer ---------------------------------------------------------------------------------------------- */

/* Whether layers run their products packed, on this machine's fastest units, or as linear.c defines them. */
static bool fixture_packed = false;
static bool fixture_late = false; /* W is packed for dx when backward comes to it */

typedef struct layer {
    dither_scheme scheme;
    dither_linear_plan plan;
    dither_linear linear;
    dither_linear_saved saved;
    dither_context context;
    dither_clips clips;
    dither_arena store, scratch;
    size_t in, out, tokens, row0, predicted;
    float *x, *w, *bias, *dy;           /* given */
    float *y, *dx, *dw, *db, *dw0, *db0; /* written; what dw and db were before */
} layer;

static inline float *layer_take(layer *l, size_t count)
{
    return dither_arena_take(&l->store, count, sizeof(float));
}

static inline void layer_carve(layer *l)
{
    l->x = layer_take(l, l->tokens * l->in);
    l->w = layer_take(l, l->out * l->in);
    l->bias = layer_take(l, l->out);
    l->dy = layer_take(l, l->tokens * l->out);
    l->y = layer_take(l, l->tokens * l->out);
    l->dx = layer_take(l, l->tokens * l->in);
    l->dw = layer_take(l, l->out * l->in);
    l->dw0 = layer_take(l, l->out * l->in);
    l->db = layer_take(l, l->out);
    l->db0 = layer_take(l, l->out);
    void *weights = dither_arena_take(&l->store, dither_linear_weight_bytes(&l->plan, l->in, l->out), 1);
    void *kept = dither_arena_take(&l->store, dither_linear_saved_bytes(&l->plan, l->in, l->tokens), 1);
    assert_int_equal(dither_linear_init(&l->linear, &l->plan, l->in, l->out, FIXTURE_TENSOR, l->w, l->bias, weights),
                     DITHER_OK);
    assert_int_equal(dither_linear_saved_init(&l->saved, &l->plan, l->in, l->tokens, kept), DITHER_OK);
}

static inline void layer_reset(layer *l)
{
    memcpy(l->dw, l->dw0, l->out * l->in * sizeof *l->dw);
    memcpy(l->db, l->db0, l->out * sizeof *l->db);
}

static inline void layer_forward(layer *l)
{
    assert_int_equal(dither_linear_refresh(&l->context, &l->linear), DITHER_OK);
    assert_int_equal(dither_linear_forward(&l->context, &l->linear, l->tokens, l->row0, l->x, l->y, &l->saved),
                     DITHER_OK);
}

static inline void layer_backward(layer *l)
{
    assert_int_equal(dither_linear_backward(&l->context, &l->linear, l->tokens, l->row0, &l->saved, l->dy, l->dx, l->dw,
                                            l->db),
                     DITHER_OK);
}

/* Forward and backward; what they took of the scratch must be what the dry run said. */
static inline void layer_run(layer *l)
{
    layer_reset(l);
    layer_forward(l);
    layer_backward(l);
    assert_int_equal(l->scratch.peak, l->predicted);
    assert_int_equal(l->scratch.used, 0);
}

static inline void layer_open(layer *l, const char *scheme, size_t in, size_t out, size_t tokens)
{
    dither_error error;
    *l = (layer){.in = in, .out = out, .tokens = tokens};
    if (dither_scheme_parse(scheme, &l->scheme, &error) != DITHER_OK) {
        fail_msg("%s: %s", scheme, error.text);
    }
    l->plan = fixture_packed ? dither_linear_plan_make(&l->scheme, dither_cpu_active()->features)
                             : dither_linear_plan_reference(&l->scheme);
    l->plan.packs_late = fixture_late;
    l->store = dither_arena_dry();
    l->scratch = dither_arena_dry();
    l->context = (dither_context){.scratch = &l->scratch, .threads = 1, .dry = true};
    layer_carve(l);
    layer_forward(l);
    layer_backward(l);
    l->predicted = l->scratch.peak;
    const size_t bytes = l->store.peak;
    assert_int_equal(dither_arena_open(&l->store, bytes), DITHER_OK);
    assert_int_equal(dither_arena_open(&l->scratch, l->predicted > 0 ? l->predicted : DITHER_ALIGN), DITHER_OK);
    layer_carve(l);
    l->context = (dither_context){.scratch = &l->scratch,
                                  .clips = &l->clips,
                                  .seed = UINT64_C(0x123456789abcdef0),
                                  .step = 11,
                                  .microbatch = 3,
                                  .threads = 1};
    fixture_fill(l->x, tokens, in, 1);
    fixture_fill(l->w, out, in, 2);
    fixture_fill(l->bias, 1, out, 3);
    fixture_fill(l->dy, tokens, out, 4);
    fixture_fill(l->dw0, out, in, 5);
    fixture_fill(l->db0, 1, out, 6);
    layer_reset(l);
}

static inline void layer_close(layer *l)
{
    dither_arena_close(&l->store);
    dither_arena_close(&l->scratch);
}

/* ---- the quantizers restated ------------------------------------------------------------------------------ */

/* A quantized matrix, element by element. */
typedef struct restated {
    size_t rows, cols;
    float *scale;  /* of the element */
    float *code;   /* value of the code alone */
    float *value;  /* code * scale */
    uint32_t *bits;
} restated;

/* The number of an element's region, less than rows * cols. */
static inline size_t restated_region(const dither_quantizer *q, dither_axis axis, size_t cols, size_t i, size_t j)
{
    const bool along_cols = axis == DITHER_AXIS_COLS;
    switch (q->shape) {
    case DITHER_SCALE_NONE:
    case DITHER_SCALE_TENSOR:
        return 0;
    case DITHER_SCALE_ROW:
        return along_cols ? i : j;
    case DITHER_SCALE_GROUP:
        return along_cols ? i * cols + j / q->size : i / q->size * cols + j;
    case DITHER_SCALE_TILE:
        break;
    }
    return i / q->size * cols + j / q->size;
}

static inline bool restated_fits(float s, float amax, double max)
{
    return (double)s * max >= (double)amax && (double)(amax / s) <= max;
}

/* The smallest number of 8 significant bits with 448 scale max >= amax. */
static inline float restated_tensor_scale(float amax, double max)
{
    int exponent;
    const double exact = (double)amax / (448.0 * max);
    frexp(exact, &exponent);
    return (float)ldexp(ceil(ldexp(exact, 8 - exponent)), exponent - 8);
}

/* The smallest scale of its type that fits, by trying. */
static inline float restated_scale(dither_scale_type type, float amax, double max, float tensor)
{
    if (type == DITHER_SCALE_E8M0) {
        int exponent = -127;
        while (amax > 0.0f && !restated_fits(ldexpf(1.0f, exponent), amax, max)) {
            exponent++;
        }
        return ldexpf(1.0f, exponent);
    }
    if (!(amax > 0.0f)) {
        return 0.0f;
    }
    if (type == DITHER_SCALE_F32) {
        float s = (float)((double)amax / max * (1.0 - 0x1p-20));
        while (!restated_fits(s, amax, max)) {
            s = nextafterf(s, INFINITY);
        }
        return s;
    }
    dither_format e4m3;
    assert_int_equal(dither_format_find("e4m3", &e4m3, NULL), DITHER_OK);
    uint32_t code = 1;
    while (!restated_fits(dither_format_decode(&e4m3, code) * tensor, amax, max)) {
        code++;
    }
    return dither_format_decode(&e4m3, code) * tensor;
}

static inline restated restated_take(dither_arena *arena, size_t rows, size_t cols)
{
    return (restated){.rows = rows,
                      .cols = cols,
                      .scale = dither_arena_take(arena, rows * cols, sizeof(float)),
                      .code = dither_arena_take(arena, rows * cols, sizeof(float)),
                      .value = dither_arena_take(arena, rows * cols, sizeof(float)),
                      .bits = dither_arena_take(arena, rows * cols, sizeof(uint32_t))};
}

static inline void restated_scales(const dither_quantizer *q, dither_axis axis, const float *x, dither_arena *arena,
                                   restated *r)
{
    const size_t count = r->rows * r->cols;
    float *amax = dither_arena_take(arena, count, sizeof(float));
    memset(amax, 0, count * sizeof *amax);
    float largest = 0.0f;
    for (size_t e = 0; e < count; e++) {
        float *most = &amax[restated_region(q, axis, r->cols, e / r->cols, e % r->cols)];
        *most = fmaxf(*most, fabsf(x[e]));
        largest = fmaxf(largest, fabsf(x[e]));
    }
    const float tensor = q->scale == DITHER_SCALE_E4M3 ? restated_tensor_scale(largest, q->format.max) : 1.0f;
    for (size_t e = 0; e < count; e++) {
        const size_t region = restated_region(q, axis, r->cols, e / r->cols, e % r->cols);
        r->scale[e] = q->shape == DITHER_SCALE_NONE ? 1.0f
                                                    : restated_scale(q->scale, amax[region], q->format.max, tensor);
    }
}

/* Quantize x, factors already multiplied in. What it returns lies in `arena`. */
static inline restated restate(const dither_quantizer *q, dither_axis axis, size_t rows, size_t cols, const float *x,
                               const dither_draw *draw, dither_arena *arena)
{
    restated r = restated_take(arena, rows, cols);
    restated_scales(q, axis, x, arena, &r);
    for (size_t e = 0; e < rows * cols; e++) {
        const float s = r.scale[e];
        uint32_t random = 0;
        if (q->rounding.mode == DITHER_ROUND_SR) {
            dither_draw_fill(draw, e / cols, e % cols, 1, q->rounding.bits, &random);
        }
        const float v = s > 0.0f ? x[e] / s : 0.0f;
        r.bits[e] = dither_format_encode(&q->format, q->rounding, v, random, NULL);
        r.code[e] = dither_format_decode(&q->format, r.bits[e]);
        r.value[e] = r.code[e] * s;
    }
    return r;
}

/* H x of n values with stride 1, H = [[H', H'], [H', -H']]. */
static inline void restated_hadamard(float *x, size_t n)
{
    if (n == 1) {
        return;
    }
    restated_hadamard(x, n / 2);
    restated_hadamard(x + n / 2, n / 2);
    for (size_t i = 0; i < n / 2; i++) {
        const float a = x[i], b = x[i + n / 2];
        x[i] = a + b;
        x[i + n / 2] = a - b;
    }
}

/* H D x / sqrt(block), a column of a block at a time. @return [padded][cols], in `arena` */
static inline float *restated_rotation(const float *x, size_t rows, size_t cols, size_t block, dither_draw draw,
                                       size_t *padded, dither_arena *arena)
{
    *padded = (rows + block - 1) / block * block;
    float *y = dither_arena_take(arena, *padded * cols, sizeof(float));
    float *column = dither_arena_take(arena, block, sizeof(float));
    draw.role = DITHER_FIELD_HADAMARD;
    for (size_t first = 0; first < *padded; first += block) {
        for (size_t j = 0; j < cols; j++) {
            for (size_t i = 0; i < block; i++) {
                const bool negated = dither_draw_u32(&draw, first + i, 0) % 2 == 1;
                const float v = first + i < rows ? x[(first + i) * cols + j] : 0.0f;
                column[i] = negated && first + i < rows ? -v : v;
            }
            restated_hadamard(column, block);
            for (size_t i = 0; i < block; i++) {
                y[(first + i) * cols + j] = column[i] * (float)(1.0 / sqrt((double)block));
            }
        }
    }
    return y;
}

static inline dither_draw layer_draw(const layer *l, uint32_t role)
{
    return (dither_draw){.seed = l->context.seed,
                         .step = l->context.step,
                         .microbatch = l->context.microbatch,
                         .tensor = FIXTURE_TENSOR,
                         .role = role,
                         .row0 = (uint32_t)l->row0};
}

#endif
