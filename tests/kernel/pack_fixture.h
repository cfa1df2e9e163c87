/* What the tests of packing share: examples, the definition's answer, operands read through the packing formula. */
#ifndef DITHER_TESTS_KERNEL_PACK_FIXTURE_H
#define DITHER_TESTS_KERNEL_PACK_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/philox.h"
#include "kernel/bf16.h"
#include "kernel/gemm_kernels.h"
#include "kernel/quantize_pack.h"
#include "kernel/quantize_rows.h"
#include "quant/scale.h"

enum { REGION = 8 << 20, UNTOUCHED = 0xa5 };

#define COUNT(LIST) (sizeof(LIST) / sizeof(LIST)[0])

/* Memory whose last byte is followed by a forbidden page. */
typedef struct guarded {
    unsigned char *base;
} guarded;

/* Formats and scales of all kinds, and sizes that cut them. */
static const char *const formats[] = {"int8", "int4", "int2", "ternary", "int5", "bf16", "e4m3", "e5m2",
                                      "e2m1", "e4m1", "e3m0", "e4m6",    "e6m2", "e7m3", "e8m2"};
static const char *const scales[] = {"",         "/tensor",  "/row",    "/g4",      "/g20",       "/g16",
                                     "/g32",     "/g128",    "/g300",   "/g1000",   "/t16",       "/t20",
                                     "/rowe8m0", "/g32e8m0", "/t8e8m0", "/g16e4m3", "/tensore4m3"};
static const size_t shapes[][2] = {{1, 1}, {1, 17}, {3, 129}, {66, 70}, {129, 257}, {20, 512}, {300, 20}, {128, 320}};

static guarded x_room, factor_room[2], codes_room, scratch_room, operand_room[4];

static inline guarded guarded_open(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *base = mmap(NULL, REGION + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(base != MAP_FAILED);
    assert_int_equal(mprotect(base + REGION, page, PROT_NONE), 0);
    return (guarded){base};
}

static inline void *guarded_last(guarded room, size_t bytes)
{
    assert_true(bytes <= REGION);
    return room.base + REGION - bytes;
}

static inline uint32_t lcg(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state ^ *state >> 15;
}

static inline float uniform(uint32_t *state)
{
    return (float)((int)(lcg(state) >> 8) - (1 << 23)) * 0x1p-23f;
}

static inline dither_quantizer parse(const char *text)
{
    dither_quantizer q;
    dither_error error = {.text = ""};
    if (dither_quantizer_parse(text, &q, &error) != DITHER_OK)
        fail_msg("%s: %s", text, error.text);
    return q;
}

/* ---- one case ---------------------------------------------------------------------------------------------- */

typedef struct example {
    const char *quantizer;
    dither_axis axis;
    size_t rows, cols;
    bool row_factor, col_factor;
    float magnitude; /* of x */
    bool borders;    /* x lies where roundings turn over: see make_borders() */
} example;

static const dither_draw draw = {
    .seed = 0x9123456789abcdefu, .step = 3, .microbatch = 1, .tensor = 17, .role = 2, .row0 = 5};

/* Zeros of both signs, ties, whole zero rows and magnitudes over many binades. */
static inline void make_x(const example *e, float *x)
{
    uint32_t state = (uint32_t)(e->rows * 1009 + e->cols);
    for (size_t i = 0; i < e->rows; i++) {
        const float row = ldexpf(e->magnitude, (int)(lcg(&state) % 6));
        const bool empty = lcg(&state) % 9 == 0;
        for (size_t j = 0; j < e->cols; j++) {
            const uint32_t kind = lcg(&state) % 16;
            float value = uniform(&state) * row;
            value = kind == 0 ? 0.0f : kind == 1 ? -0.0f : kind == 2 ? ldexpf(value, -12) : value;
            value = kind == 3 ? rintf(uniform(&state) * 16.0f) / 16.0f * row : value;
            x[i * e->cols + j] = empty ? copysignf(0.0f, value) : value;
        }
    }
}

/*
 * Under a scale of 1, fractions f = F / 2^N with F the element's own draw, which must not move it, or one more, which
 * must; under RNE ties. Of integers from 0 on, of floats from 1, in either sign. What f32 cannot hold is rounded, and
 * tests something else.
 */
static inline void make_borders(const example *e, const dither_quantizer *q, float *x)
{
    const bool ints = q->format.kind == DITHER_KIND_INT, draws = q->rounding.mode == DITHER_ROUND_SR;
    const int mantissa = q->format.mantissa_bits;
    uint32_t random[1024] = {0};
    assert_true(e->cols <= COUNT(random));
    for (size_t i = 0; i < e->rows; i++) {
        if (draws)
            dither_draw_fill(&draw, i, 0, e->cols, q->rounding.bits, random);
        for (size_t j = 0; j < e->cols; j++) {
            const uint32_t k = (uint32_t)(j / 4) % (ints ? 8 : 1u << mantissa);
            const double f = draws ? ldexp((double)random[j] + (double)(j / 2 % 2), -q->rounding.bits) : 0.5;
            const double magnitude = ints ? k + f : ldexp(1.0 + ldexp(k + f, -mantissa), (int)(i % 3) - 1);
            x[i * e->cols + j] = (float)(j % 2 == 0 ? magnitude : -magnitude);
        }
        x[i * e->cols] = q->shape == DITHER_SCALE_NONE ? 1.0f : (float)q->format.max;
    }
}

static inline float *make_factor(guarded room, bool wanted, size_t count, uint32_t seed)
{
    if (!wanted)
        return NULL;
    float *factor = guarded_last(room, count * sizeof *factor);
    for (size_t i = 0; i < count; i++)
        factor[i] = 0.75f + 0.5f * uniform(&seed);
    return factor;
}

/* What the definition says. */
typedef struct expectation {
    dither_codes codes;
    dither_regions regions;
    dither_clips clips;
} expectation;

static inline bool is_inside(const dither_quantizer *q, bool bare, dither_element element)
{
    const int bits = q->format.kind == DITHER_KIND_FLOAT ? q->format.mantissa_bits + 1 : q->format.bits - 1;
    return element == DITHER_ELEMENT_BF16 && !bare && q->shape != DITHER_SCALE_NONE &&
           (q->scale == DITHER_SCALE_E8M0 ||
            (q->scale == DITHER_SCALE_E4M3 && bits <= 4 && q->format.exponent_bits < 8));
}

static inline uint16_t expected_element(const expectation *want, bool bare, const dither_gemm_kernel *kernel,
                                        uint8_t flip, size_t i, size_t j)
{
    const dither_quantizer *q = &want->codes.quantizer;
    const float value = dither_format_decode(&q->format, dither_codes_get(&want->codes, i, j));
    if (kernel->element == DITHER_ELEMENT_S8)
        return (uint8_t)((uint8_t)(int)value ^ flip);
    float inside = 1.0f;
    if (is_inside(q, bare, kernel->element)) {
        const size_t region = i / want->regions.height * want->regions.across + j / want->regions.width;
        inside = dither_scale_load(q->scale, 1.0f, want->codes.scale + region * dither_scale_bytes(q->scale));
    }
    return (uint16_t)(dither_f32_bits(dither_bf16_round(value * inside)) >> 16);
}

static inline float expected_scale(const expectation *want, bool bare, const dither_gemm_kernel *kernel, size_t i,
                                   size_t j)
{
    if (bare || want->codes.quantizer.shape == DITHER_SCALE_NONE)
        return 1.0f;
    if (is_inside(&want->codes.quantizer, bare, kernel->element))
        return want->codes.tensor_scale;
    return dither_codes_scale(&want->codes, i, j);
}

/* Every element and scale of an operand, the padding of k included. */
static inline void check_operand(const expectation *want, const dither_operand *operand, dither_axis axis, bool bare,
                                 const char *what)
{
    const dither_gemm_kernel *kernel = operand->kernel;
    const dither_packing *packing = operand->side == DITHER_SIDE_A ? &kernel->a : &kernel->b;
    const bool along_cols = axis == DITHER_AXIS_COLS;
    for (size_t row = 0; row < operand->rows; row++) {
        for (size_t k = 0; k < operand->padded_k; k++) {
            const size_t at = row / packing->panel * packing->panel * operand->padded_k +
                              k / packing->unit * packing->panel * packing->unit +
                              row % packing->panel * packing->unit + k % packing->unit;
            const size_t i = along_cols ? row : k, j = along_cols ? k : row;
            const bool s8 = kernel->element == DITHER_ELEMENT_S8;
            const uint16_t got = s8 ? ((const uint8_t *)operand->data)[at] : ((const uint16_t *)operand->data)[at];
            const uint16_t wanted = k < operand->k ? expected_element(want, bare, kernel, packing->flip, i, j)
                                    : s8           ? packing->flip
                                                   : 0;
            if (got != wanted)
                fail_msg("%s: element %zu, k %zu is %#x, not %#x", what, row, k, got, wanted);
        }
        for (size_t g = 0; g < operand->groups; g++) {
            const size_t k = g * operand->group;
            const float scale = operand->scale[g * operand->padded_rows + row];
            const float wanted = expected_scale(want, bare, kernel, along_cols ? row : k, along_cols ? k : row);
            if (dither_f32_bits(scale) != dither_f32_bits(wanted))
                fail_msg("%s: scale %zu of group %zu is %a, not %a", what, row, g, (double)scale, (double)wanted);
        }
    }
    for (size_t row = operand->rows; row < operand->padded_rows; row++)
        for (size_t g = 0; g < operand->groups; g++)
            assert_true(dither_f32_bits(operand->scale[g * operand->padded_rows + row]) != UNTOUCHED * 0x01010101u);
}

/* The kernel after `index` in the table that can take this, or NULL. */
static inline const dither_gemm_kernel *kernel_for(const dither_quantizer *q, dither_axis scale_axis, dither_axis axis,
                                                   bool bare, size_t index)
{
    size_t count = 0;
    while (dither_gemm_kernel_at(count) != NULL)
        count++;
    for (size_t n = 0; n < count; n++) {
        const dither_gemm_kernel *kernel = dither_gemm_kernel_at((index + n) % count);
        if (dither_pack_fits(q, scale_axis, axis, bare, kernel->element) &&
            dither_pack_group(q, scale_axis, axis, bare, kernel->element) % kernel->k_step == 0)
            return kernel;
    }
    return NULL;
}

static inline bool add_operand(const dither_quantizer *q, dither_pack_target *target, size_t o, const example *e,
                               dither_axis axis, bool bare, size_t kernel_index, dither_operand *operand, guarded room)
{
    const dither_gemm_kernel *kernel = kernel_for(q, e->axis, axis, bare, kernel_index);
    if (kernel == NULL)
        return false;
    const dither_side side = kernel_index % 2 == 0 ? DITHER_SIDE_A : DITHER_SIDE_B;
    const size_t rows = axis == DITHER_AXIS_COLS ? e->rows : e->cols;
    const size_t k = axis == DITHER_AXIS_COLS ? e->cols : e->rows;
    const size_t group = dither_pack_group(q, e->axis, axis, bare, kernel->element);
    const size_t bytes = dither_operand_bytes(kernel, side, rows, k, group);
    dither_operand_init(operand, kernel, side, rows, k, group, guarded_last(room, bytes));
    memset(guarded_last(room, bytes), UNTOUCHED, bytes);
    target->operand[o] = operand;
    target->operand_axis[o] = axis;
    target->bare[o] = bare;
    return true;
}

static inline dither_status expect(const example *e, const dither_quantizer *q, const float *x, const float *row_factor,
                                   const float *col_factor, expectation *want)
{
    const size_t bytes = dither_codes_bytes(q, e->axis, e->rows, e->cols);
    assert_true(bytes <= REGION);
    assert_int_equal(dither_codes_init(&want->codes, q, e->axis, e->rows, e->cols, codes_room.base), DITHER_OK);
    want->clips = (dither_clips){0};
    want->regions = dither_regions_of(q, e->axis, e->rows, e->cols);
    return dither_quantize(&want->codes, x, row_factor, col_factor, &draw, &want->clips, 1);
}

static inline int open_rooms(void **state)
{
    (void)state;
    guarded *const rooms[] = {&x_room,          &factor_room[0],  &factor_room[1],  &codes_room,     &scratch_room,
                              &operand_room[0], &operand_room[1], &operand_room[2], &operand_room[3]};
    for (size_t r = 0; r < COUNT(rooms); r++)
        *rooms[r] = guarded_open();
    return 0;
}

#endif
