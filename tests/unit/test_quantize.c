/* Quantized matrices: every code is the encoder's, every scale is the smallest under which nothing clips. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "dither/tensor.h"

enum { GUARD = 64, MEMORY = 1 << 16, ELEMENTS = 1 << 12 };

static _Alignas(64) unsigned char memory[MEMORY];
static _Alignas(64) unsigned char other_memory[MEMORY];
static float x[ELEMENTS], y[ELEMENTS];

static const char *const shapes[] = {
    "",         "/tensor",  "/row",    "/g1",         "/g7",     "/g16",     "/g128",    "/t8",         "/t5",
    "/rowe8m0", "/g16e8m0", "/g7e8m0", "/tensore8m0", "/t8e8m0", "/g16e4m3", "/rowe4m3", "/tensore4m3", "/t5e4m3"};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static const dither_draw draw = {
    .seed = 0x123456789abcdefu, .step = 3, .microbatch = 1, .tensor = 17, .role = 2, .row0 = 5};

static uint32_t lcg(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state ^ *state >> 15;
}

static float uniform(uint32_t *state)
{
    return (float)((int)(lcg(state) >> 8) - (1 << 23)) * 0x1p-23f;
}

static dither_quantizer parse(const char *format, const char *shape, const char *rounding)
{
    char text[DITHER_QUANTIZER_TEXT];
    dither_quantizer q;
    dither_error error = {.text = ""};
    /* The text of fixed point takes no scale; the quantizers do not care. */
    snprintf(text, sizeof text, "f32%s%s", shape, rounding);
    if (dither_quantizer_parse(text, &q, &error) != DITHER_OK ||
        dither_format_find(format, &q.format, &error) != DITHER_OK) {
        fail_msg("%s%s%s: %s", format, shape, rounding, error.text);
    }
    return q;
}

static dither_codes lay_out(const dither_quantizer *q, dither_axis axis, size_t rows, size_t cols, unsigned char *bytes)
{
    dither_codes codes;
    const size_t size = dither_codes_bytes(q, axis, rows, cols);
    assert_true(size + GUARD <= MEMORY);
    memset(bytes, 0xee, size + GUARD);
    assert_int_equal(dither_codes_init(&codes, q, axis, rows, cols, bytes), DITHER_OK);
    return codes;
}

static void check_guard(const dither_codes *codes, const unsigned char *bytes)
{
    const size_t size = dither_codes_bytes(&codes->quantizer, codes->axis, codes->rows, codes->cols);
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(bytes[size + i], 0xee);
    }
    assert_true(codes->packed + codes->rows * codes->row_bytes <= codes->scale);
}

static void fill(uint32_t seed, size_t count, float size)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = uniform(&seed) * size * (lcg(&seed) % 13 == 0 ? 10.0f : 1.0f);
    }
}

/* The index that the scale of (i, j) is documented to have. */
static size_t scale_index(const dither_quantizer *q, dither_axis axis, size_t cols, size_t i, size_t j)
{
    const size_t n = q->size;
    switch (q->shape) {
    case DITHER_SCALE_ROW:
        return axis == DITHER_AXIS_COLS ? i : j;
    case DITHER_SCALE_GROUP:
        return axis == DITHER_AXIS_COLS ? i * ((cols + n - 1) / n) + j / n : i / n * cols + j;
    case DITHER_SCALE_TILE:
        return i / n * ((cols + n - 1) / n) + j / n;
    case DITHER_SCALE_NONE:
    case DITHER_SCALE_TENSOR:
        break;
    }
    return 0;
}

static float stored_scale(const dither_codes *codes, size_t index)
{
    dither_format f;
    float s;
    switch (codes->quantizer.scale) {
    case DITHER_SCALE_F32:
        memcpy(&s, codes->scale + 4 * index, sizeof s);
        return s;
    case DITHER_SCALE_E8M0:
        assert_int_equal(dither_format_find("ue8m0", &f, NULL), DITHER_OK);
        return dither_format_decode(&f, codes->scale[index]);
    case DITHER_SCALE_E4M3:
        break;
    }
    assert_int_equal(dither_format_find("e4m3", &f, NULL), DITHER_OK);
    return dither_format_decode(&f, codes->scale[index]) * codes->tensor_scale;
}

static void check_elements(dither_codes *codes, const float *row_factor, const float *col_factor)
{
    const dither_quantizer *q = &codes->quantizer;
    uint64_t expected_clips = 0;
    dither_clips clips = {0};
    assert_int_equal(dither_quantize(codes, x, row_factor, col_factor, &draw, &clips, 1), DITHER_OK);
    for (size_t i = 0; i < codes->rows; i++) {
        for (size_t j = 0; j < codes->cols; j++) {
            float value = x[i * codes->cols + j];
            value *= row_factor != NULL ? row_factor[i] : 1.0f;
            value *= col_factor != NULL ? col_factor[j] : 1.0f;
            const bool none = q->shape == DITHER_SCALE_NONE;
            const float s = none ? 1.0f : stored_scale(codes, scale_index(q, codes->axis, codes->cols, i, j));
            uint32_t random = 0;
            if (q->rounding.mode == DITHER_ROUND_SR) {
                dither_draw_fill(&draw, i, j, 1, q->rounding.bits, &random);
            }
            bool clipped = false;
            const uint32_t code =
                s == 0.0f ? 0 : dither_format_encode(&q->format, q->rounding, value / s, random, &clipped);
            if (dither_codes_get(codes, i, j) != code) {
                fail_msg("%s shape %d type %d axis %d (%zu, %zu) of [%zu][%zu]: code %u, not %u", q->format.name,
                         q->shape, q->scale, codes->axis, i, j, codes->rows, codes->cols, dither_codes_get(codes, i, j),
                         code);
            }
            assert_true(dither_codes_scale(codes, i, j) == s);
            expected_clips += clipped;
        }
    }
    assert_true(clips.elements == codes->rows * codes->cols && clips.clipped == expected_clips);
}

static void every_code_is_the_encoders(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "int4", "int3", "ternary", "e4m3",
                                          "e2m1", "e3m2", "bf16", "f32",     "fx3"};
    static const char *const roundings[] = {"", ":sr", ":sr5", ":sr13", ":up", ":down", ":zero"};
    static const size_t sizes[][2] = {{1, 1}, {3, 17}, {19, 40}, {33, 7}};
    float row_factor[64], col_factor[64];
    uint32_t seed = 4;
    for (size_t i = 0; i < 64; i++) {
        row_factor[i] = 1.0f + 0.7f * uniform(&seed);
        col_factor[i] = 1.0f + 0.7f * uniform(&seed);
    }
    size_t turn = 0;
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t s = 0; s < SHAPES; s++) {
            for (size_t r = 0; r < sizeof roundings / sizeof roundings[0]; r++, turn++) {
                for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
                    const dither_quantizer q = parse(formats[f], shapes[s], roundings[r]);
                    const dither_axis axis = (turn + n) % 2 == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS;
                    dither_codes codes = lay_out(&q, axis, sizes[n][0], sizes[n][1], memory);
                    fill((uint32_t)turn, sizes[n][0] * sizes[n][1], 100.0f);
                    check_elements(&codes, turn % 3 == 0 ? row_factor : NULL, turn % 5 < 2 ? col_factor : NULL);
                    check_guard(&codes, memory);
                }
            }
        }
    }
}

/* Rows longer than the piece that is worked on at a time. */
static void long_rows_are_whole(void **state)
{
    (void)state;
    static const char *const texts[][3] = {
        {"ternary", "/g128", ":sr"}, {"int5", "/row", ":sr3"}, {"e2m1", "/g16e4m3", ":sr16"}};
    for (size_t i = 0; i < 3; i++) {
        const dither_quantizer q = parse(texts[i][0], texts[i][1], texts[i][2]);
        for (int axis = DITHER_AXIS_COLS; axis <= DITHER_AXIS_ROWS; axis++) {
            dither_codes codes = lay_out(&q, (dither_axis)axis, 1, 3001, memory);
            static float col_factor[3001];
            fill(8, 3001, 5.0f);
            for (size_t j = 0; j < 3001; j++) {
                col_factor[j] = 1.0f + (float)(j % 97) * 0.01f;
            }
            check_elements(&codes, NULL, col_factor);
            check_guard(&codes, memory);
        }
    }
}

/* The value one smaller scale would have, 0 where there is none. */
static float scale_below(const dither_codes *codes, size_t index)
{
    dither_codes lower = *codes;
    unsigned char bytes[4];
    lower.scale = bytes;
    if (codes->quantizer.scale == DITHER_SCALE_F32) {
        return nextafterf(stored_scale(codes, index), 0.0f);
    }
    if (codes->scale[index] == 0) {
        return 0.0f;
    }
    bytes[0] = (unsigned char)(codes->scale[index] - 1);
    return stored_scale(&lower, 0);
}

static void check_scales(const dither_codes *codes)
{
    const double max = codes->quantizer.format.max;
    for (size_t index = 0; index < codes->scales; index++) {
        float amax = 0.0f;
        for (size_t i = 0; i < codes->rows; i++) {
            for (size_t j = 0; j < codes->cols; j++) {
                if (scale_index(&codes->quantizer, codes->axis, codes->cols, i, j) == index) {
                    amax = fmaxf(amax, fabsf(x[i * codes->cols + j]));
                }
            }
        }
        const float s = stored_scale(codes, index);
        if (amax == 0.0f) {
            assert_true(s == 0.0f || codes->quantizer.scale == DITHER_SCALE_E8M0);
            continue;
        }
        const float below = scale_below(codes, index);
        assert_true(s > 0.0f && (double)(amax / s) <= max && (double)s * max >= (double)amax);
        if (below > 0.0f && (double)below * max >= (double)amax && (double)(amax / below) <= max) {
            fail_msg("%s scale type %d: %a would do for %a, not only %a", codes->quantizer.format.name,
                     codes->quantizer.scale, (double)below, (double)amax, (double)s);
        }
    }
}

/* Eight significant bits, and one step less would not reach (amax is a size above f32's subnormals). */
static void tensor_scale_is_the_smallest(void **state)
{
    (void)state;
    const dither_quantizer q = parse("e2m1", "/g16e4m3", "");
    uint32_t seed = 2;
    for (int n = 0; n < 1000; n++) {
        dither_codes codes = lay_out(&q, DITHER_AXIS_COLS, 1, 1, memory);
        x[0] = (1.0f + fabsf(uniform(&seed))) * ldexpf(1.0f, n % 100 - 50);
        assert_int_equal(dither_quantize(&codes, x, NULL, NULL, NULL, NULL, 1), DITHER_OK);
        int exponent;
        const double digits = ldexp(frexp((double)codes.tensor_scale, &exponent), 8);
        assert_true(digits == floor(digits));
        assert_true((double)codes.tensor_scale * 448.0 * 6.0 >= (double)x[0]);
        assert_true(ldexp(digits - 1.0, exponent - 8) * 448.0 * 6.0 < (double)x[0]);
    }
}

/* Only where the scale itself would have to exceed its type may anything clip: amax above max 2^127 (E8M0) or f32's
 * range. */
static void nothing_clips_and_no_smaller_scale_would_do(void **state)
{
    (void)state;
    static const float sizes[] = {1.0f,         3.3e-5f, 0x1.fffffep0f, 0x1p-149f, 0x1.8p-140f,
                                  0x1.4cp-126f, 1e-30f,  1e30f,         0x1p126f};
    for (size_t i = 0; i < dither_format_count() + 32; i++) {
        char name[16];
        snprintf(name, sizeof name, "fx%d", (int)(i - dither_format_count()));
        const bool fixed = i >= dither_format_count();
        if (!fixed && dither_format_at(i)->kind == DITHER_KIND_SCALE) {
            continue;
        }
        for (size_t s = 1; s < SHAPES; s++) {
            for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
                const dither_quantizer q = parse(fixed ? name : dither_format_at(i)->name, shapes[s], ":sr");
                const dither_axis axis = (i + s + n) % 2 == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS;
                dither_codes codes = lay_out(&q, axis, 5, 11, memory);
                uint32_t seed = (uint32_t)(i * 100 + n);
                for (size_t e = 0; e < 55; e++) {
                    x[e] = e == 17 ? sizes[n] : uniform(&seed) * sizes[n] * (e % 3 == 0 ? 1.0f : 0.01f);
                }
                for (size_t e = 0; e < 11; e++) {
                    x[22 + e] = x[5 * e] = 0.0f;
                }
                dither_clips clips = {0};
                assert_int_equal(dither_quantize(&codes, x, NULL, NULL, &draw, &clips, 1), DITHER_OK);
                assert_true(clips.clipped == 0);
                check_scales(&codes);
            }
        }
    }
}

/* Around every power of two the quotient's rounding could go wrong either way. */
static void one_element_never_clips(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "int3", "e4m3", "e2m1", "e5m2", "e8m10", "e4m7", "fx0", "ternary"};
    uint32_t seed = 3;
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t type = 0; type < 3; type++) {
            const dither_quantizer q = parse(formats[f], type == 0 ? "/row" : type == 1 ? "/rowe8m0" : "/rowe4m3", "");
            for (int n = 0; n < 3000; n++) {
                dither_codes codes = lay_out(&q, DITHER_AXIS_COLS, 1, 1, memory);
                dither_clips clips = {0};
                uint32_t bits = lcg(&seed) & 0x7fffffffu;
                bits = n % 2 == 0 ? bits : (bits & 0x7f800000u) + (bits & 3) - 1;
                memcpy(x, &bits, sizeof bits);
                if (!(x[0] < 0x1p126f)) {
                    continue;
                }
                assert_int_equal(dither_quantize(&codes, x, NULL, NULL, NULL, &clips, 1), DITHER_OK);
                assert_true(clips.clipped == 0);
                check_scales(&codes);
                assert_true(x[0] == 0.0f || (dither_codes_get(&codes, 0, 0) != 0) || type != 0);
            }
        }
    }
}

static void the_largest_numbers_stay_finite_scales(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "int2", "e4m3", "e2m1", "fx31", "f32", "bf16", "e8m0"};
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t s = 1; s < SHAPES; s++) {
            const dither_quantizer q = parse(formats[f], shapes[s], "");
            dither_codes codes = lay_out(&q, DITHER_AXIS_COLS, 1, 2, memory);
            x[0] = -FLT_MAX;
            x[1] = 1.0f;
            dither_clips clips = {0};
            assert_int_equal(dither_quantize(&codes, x, NULL, NULL, NULL, &clips, 1), DITHER_OK);
            const float scale = dither_codes_scale(&codes, 0, 0);
            const float value = dither_format_decode(&q.format, dither_codes_get(&codes, 0, 0));
            assert_true(isfinite(scale) && scale > 0.0f);
            assert_true((double)value * (double)scale < -0.49 * (double)FLT_MAX);
            assert_true(clips.clipped == 0 || q.format.max <= 1.0 || q.scale == DITHER_SCALE_E8M0);
        }
    }
}

static void zeros_are_zeros(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "e4m3", "ternary", "bf16", "fx3"};
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t s = 0; s < SHAPES; s++) {
            const dither_quantizer q = parse(formats[f], shapes[s], ":sr");
            dither_codes codes = lay_out(&q, DITHER_AXIS_ROWS, 9, 13, memory);
            memset(x, 0, sizeof x);
            const bool has_zero = q.shape != DITHER_SCALE_NONE && q.scale != DITHER_SCALE_E8M0;
            x[5] = has_zero ? -0.0f : 0.0f;
            assert_int_equal(dither_quantize(&codes, x, NULL, NULL, &draw, NULL, 2), DITHER_OK);
            dither_dequantize(&codes, y, 2);
            for (size_t i = 0; i < 9; i++) {
                for (size_t j = 0; j < 13; j++) {
                    assert_int_equal(dither_codes_get(&codes, i, j), 0);
                    assert_true(y[i * 13 + j] == 0.0f && !signbit(y[i * 13 + j]));
                    assert_true(!has_zero || dither_codes_scale(&codes, i, j) == 0.0f);
                }
            }
        }
    }
}

static void the_number_of_threads_shows_nowhere(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "e2m1", "ternary"};
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t s = 0; s < SHAPES; s++) {
            for (int axis = DITHER_AXIS_COLS; axis <= DITHER_AXIS_ROWS; axis++) {
                const dither_quantizer q = parse(formats[f], shapes[s], ":sr");
                fill(99, 100 * 39, 3.0f);
                dither_codes one = lay_out(&q, (dither_axis)axis, 100, 39, memory);
                dither_clips clips = {0};
                assert_int_equal(dither_quantize(&one, x, NULL, NULL, &draw, &clips, 1), DITHER_OK);
                dither_dequantize(&one, y, 1);
                for (int threads = 2; threads <= 5; threads++) {
                    dither_codes many = lay_out(&q, (dither_axis)axis, 100, 39, other_memory);
                    dither_clips again = {0};
                    static float z[ELEMENTS];
                    assert_int_equal(dither_quantize(&many, x, NULL, NULL, &draw, &again, threads), DITHER_OK);
                    assert_memory_equal(memory, other_memory, dither_codes_bytes(&q, (dither_axis)axis, 100, 39));
                    assert_true(one.tensor_scale == many.tensor_scale && clips.clipped == again.clipped);
                    dither_dequantize(&many, z, threads);
                    assert_memory_equal(y, z, 100 * 39 * sizeof *y);
                }
            }
        }
    }
}

/* A matrix handed over in parts draws as if it were whole. */
static void parts_draw_as_the_whole(void **state)
{
    (void)state;
    const dither_quantizer q = parse("int8", "/row", ":sr");
    fill(5, 40 * 33, 2.0f);
    dither_codes whole = lay_out(&q, DITHER_AXIS_COLS, 40, 33, memory);
    assert_int_equal(dither_quantize(&whole, x, NULL, NULL, &draw, NULL, 2), DITHER_OK);
    dither_draw later = draw;
    later.row0 += 23;
    dither_codes part = lay_out(&q, DITHER_AXIS_COLS, 17, 33, other_memory);
    assert_int_equal(dither_quantize(&part, x + 23 * 33, NULL, NULL, &later, NULL, 2), DITHER_OK);
    assert_memory_equal(part.packed, whole.packed + 23 * whole.row_bytes, 17 * whole.row_bytes);
}

static void values_come_back(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "int4", "ternary", "e4m3", "e2m3", "bf16", "e6m5", "f32", "fx5"};
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t s = 0; s < SHAPES; s++) {
            for (int axis = DITHER_AXIS_COLS; axis <= DITHER_AXIS_ROWS; axis++) {
                const dither_quantizer q = parse(formats[f], shapes[s], ":sr");
                dither_codes codes = lay_out(&q, (dither_axis)axis, 21, 35, memory);
                fill(31, 21 * 35, 3.0f);
                assert_int_equal(dither_quantize(&codes, x, NULL, NULL, &draw, NULL, 1), DITHER_OK);
                static float bare[ELEMENTS];
                dither_dequantize(&codes, y, 1);
                dither_codes_values(&codes, bare, 1);
                for (size_t i = 0; i < 21; i++) {
                    for (size_t j = 0; j < 35; j++) {
                        const float value = dither_format_decode(&q.format, dither_codes_get(&codes, i, j));
                        assert_true(bare[i * 35 + j] == value);
                        assert_true(y[i * 35 + j] == value * dither_codes_scale(&codes, i, j));
                    }
                }
            }
        }
    }
}

/* Powers of two scale exactly: every value is on the second grid, whose steps are those of the first or finer. */
static void quantizing_twice_changes_nothing(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "int3", "ternary", "e4m3", "e2m1", "e5m2", "bf16", "fx5"};
    static const char *const exact[] = {"", "/rowe8m0", "/g16e8m0", "/t5e8m0", "/tensore8m0"};
    static const char *const roundings[] = {"", ":sr", ":sr1", ":up", ":down", ":zero"};
    static float again[ELEMENTS];
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t s = 0; s < sizeof exact / sizeof exact[0]; s++) {
            for (size_t r = 0; r < sizeof roundings / sizeof roundings[0]; r++) {
                const dither_quantizer q = parse(formats[f], exact[s], roundings[r]);
                dither_codes codes = lay_out(&q, DITHER_AXIS_COLS, 21, 35, memory);
                fill(77, 21 * 35, 1.7f);
                assert_int_equal(dither_quantize(&codes, x, NULL, NULL, &draw, NULL, 1), DITHER_OK);
                dither_dequantize(&codes, y, 1);
                dither_codes twice = lay_out(&q, DITHER_AXIS_COLS, 21, 35, other_memory);
                dither_draw other = draw;
                other.step += 1;
                assert_int_equal(dither_quantize(&twice, y, NULL, NULL, &other, NULL, 1), DITHER_OK);
                dither_dequantize(&twice, again, 1);
                for (size_t i = 0; i < 21 * 35; i++) {
                    assert_true(again[i] == y[i]);
                }
            }
        }
    }
}

static void what_is_not_a_number_is_refused(void **state)
{
    (void)state;
    static const float wrong[] = {NAN, INFINITY, -INFINITY};
    for (size_t s = 0; s < SHAPES; s++) {
        for (size_t n = 0; n < 3; n++) {
            for (int axis = DITHER_AXIS_COLS; axis <= DITHER_AXIS_ROWS; axis++) {
                const dither_quantizer q = parse("int8", shapes[s], ":sr");
                dither_codes codes = lay_out(&q, (dither_axis)axis, 20, 30, memory);
                fill(1, 600, 1.0f);
                x[(n * 211 + s * 7) % 600] = wrong[n];
                assert_int_equal(dither_quantize(&codes, x, NULL, NULL, &draw, NULL, 2), DITHER_E_NUMERIC);
            }
        }
        const dither_quantizer q = parse("e4m3", shapes[s], "");
        dither_codes codes = lay_out(&q, DITHER_AXIS_COLS, 2, 2, memory);
        const float large[] = {1.0f, 1e30f};
        x[0] = x[1] = x[2] = x[3] = 1e30f;
        assert_int_equal(dither_quantize(&codes, x, large, NULL, NULL, NULL, 1), DITHER_E_NUMERIC);
        assert_int_equal(dither_quantize(&codes, x, NULL, large, NULL, NULL, 1), DITHER_E_NUMERIC);
        assert_int_equal(dither_quantize(&codes, x, NULL, NULL, NULL, NULL, 1), DITHER_OK);
    }
}

static void clips_without_a_scale_are_counted(void **state)
{
    (void)state;
    const dither_quantizer q = parse("int4", "", ":sr");
    dither_codes codes = lay_out(&q, DITHER_AXIS_COLS, 1, 6, memory);
    const float values[] = {7.0f, -7.0f, 7.01f, -100.0f, 6.9f, 0.0f};
    memcpy(x, values, sizeof values);
    dither_clips clips = {.elements = 10, .clipped = 1};
    assert_int_equal(dither_quantize(&codes, x, NULL, NULL, &draw, &clips, 1), DITHER_OK);
    assert_true(clips.elements == 16 && clips.clipped == 3);
    assert_int_equal(dither_codes_get(&codes, 0, 2), 7);
    assert_int_equal(dither_codes_get(&codes, 0, 3), 9);
    assert_true(codes.scales == 0);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    dither_codes codes;
    const dither_quantizer q = parse("int8", "/g32e8m0", "");
    assert_true(dither_codes_bytes(&q, DITHER_AXIS_COLS, 3, 40) == 128 + 64);
    assert_true(dither_codes_bytes(&q, DITHER_AXIS_ROWS, 33, 40) == 1344 + 128);
    assert_true(dither_codes_bytes(&q, DITHER_AXIS_COLS, SIZE_MAX / 2, 3) == 0);
    assert_int_equal(dither_codes_init(&codes, &q, DITHER_AXIS_COLS, SIZE_MAX / 2, 3, NULL), DITHER_E_SHAPE);
    const dither_quantizer wide = parse("f32", "", "");
    assert_true(dither_codes_bytes(&wide, DITHER_AXIS_COLS, SIZE_MAX / 8, 4) == 0);
    assert_int_equal(dither_codes_init(&codes, &q, DITHER_AXIS_COLS, 3, 40, NULL), DITHER_OK);
    assert_true(codes.packed == NULL && codes.scale == NULL && codes.row_bytes == 40 && codes.scales == 6);
    dither_codes empty = lay_out(&q, DITHER_AXIS_ROWS, 0, 40, memory);
    assert_int_equal(dither_quantize(&empty, x, NULL, NULL, NULL, NULL, 2), DITHER_OK);
    empty = lay_out(&q, DITHER_AXIS_ROWS, 4, 0, memory);
    assert_int_equal(dither_quantize(&empty, x, NULL, NULL, NULL, NULL, 2), DITHER_OK);
    dither_dequantize(&empty, y, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_is_the_encoders),
        cmocka_unit_test(long_rows_are_whole),
        cmocka_unit_test(nothing_clips_and_no_smaller_scale_would_do),
        cmocka_unit_test(tensor_scale_is_the_smallest),
        cmocka_unit_test(one_element_never_clips),
        cmocka_unit_test(the_largest_numbers_stay_finite_scales),
        cmocka_unit_test(zeros_are_zeros),
        cmocka_unit_test(the_number_of_threads_shows_nowhere),
        cmocka_unit_test(parts_draw_as_the_whole),
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(quantizing_twice_changes_nothing),
        cmocka_unit_test(what_is_not_a_number_is_refused),
        cmocka_unit_test(clips_without_a_scale_are_counted),
        cmocka_unit_test(sizes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
