/*
 * GGUF's blocks against the Python package gguf (tools/golden_blocks.py): values of every type, and bytes of every type
 * that is written. What stochastic rounding writes against its definition: nothing clips, and the mean is x.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/philox.h"
#include "dither/cpu.h"
#include "file/safetensors.h"
#include "guarded.h"
#include "quant/block_decode.h"
#include "quant/half.h"

enum { COLS = 256, BLOCK = 32 };

static const dither_safetensor *golden(const dither_safetensors *file, const char *job, const char *type,
                                       const char *what)
{
    char name[64];
    snprintf(name, sizeof name, type ? "%s.%s.%s" : "%s%s.%s", job, type ? type : "", what);
    const dither_safetensor *tensor = dither_safetensors_find(file, name);
    if (tensor == NULL)
        fail_msg("no golden tensor %s", name);
    return tensor;
}

static dither_safetensors *open_golden(void)
{
    dither_safetensors *file;
    dither_error error;
    if (dither_safetensors_open(&file, DITHER_TEST_DATA "/blocks.safetensors", &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return file;
}

static bool same(float a, float b)
{
    return (isnan(a) && isnan(b)) || dither_f32_bits(a) == dither_f32_bits(b);
}

/* ---- decoding -------------------------------------------------------------------------------------------------- */

static void decoded_values_are_those_of_gguf(void **state)
{
    (void)state;
    dither_safetensors *file = open_golden();
    for (int t = 0; t < DITHER_BLOCK_TYPES; t++) {
        const dither_block_info *info = dither_block_info_of((dither_block_type)t);
        const dither_safetensor *blocks = golden(file, "decode", info->name, "blocks");
        const dither_safetensor *values = golden(file, "decode", info->name, "values");
        const size_t count = (size_t)values->bytes / sizeof(float);
        assert_int_equal(dither_block_row_bytes((dither_block_type)t, count), blocks->bytes);
        float *expected = malloc(count * sizeof *expected), *x = malloc(count * sizeof *x);
        dither_safetensor_f32(values, 0, count, expected);
        dither_block_decode((dither_block_type)t, count, blocks->data, x);
        for (size_t i = 0; i < count; i++)
            if (!same(x[i], expected[i]))
                fail_msg("%s: value %zu is %a, not %a", info->name, i, (double)x[i], (double)expected[i]);
        free(expected);
        free(x);
    }
    dither_safetensors_close(file);
}

/* Input and output end against pages that must not be touched; the input begins at any address. */
static void check_against_ref(const dither_block_decoders *decoders, const dither_block_decoders *ref,
                              dither_block_type type, size_t n)
{
    const dither_block_info *info = dither_block_info_of(type);
    const dither_draw draw = {.seed = 3};
    const size_t size = n * info->bytes, count = n * info->values;
    guarded in = guarded_new(size), out[2] = {guarded_new(count * sizeof(float)), guarded_new(count * sizeof(float))};
    unsigned char *bytes = guarded_at(&in, size, true);
    float *x = guarded_at(&out[0], count * sizeof(float), true), *y = guarded_at(&out[1], count * sizeof(float), true);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)dither_draw_u32(&draw, (size_t)type, n * 4096 + i);
    decoders->decode[type](n, bytes, x);
    ref->decode[type](n, bytes, y);
    for (size_t i = 0; i < count; i++)
        if (!same(x[i], y[i]))
            fail_msg("%s %s: value %zu of %zu blocks", decoders->isa, info->name, i, n);
    guarded_free(&in);
    guarded_free(&out[0]);
    guarded_free(&out[1]);
}

static void every_instruction_set_decodes_the_same(void **state)
{
    (void)state;
    const dither_block_decoders *ref = NULL;
    size_t variants = 0;
    while (dither_block_decoders_at(variants))
        ref = dither_block_decoders_at(variants++);
    for (size_t v = 0; v + 1 < variants; v++) {
        const dither_block_decoders *decoders = dither_block_decoders_at(v);
        if ((decoders->needs & dither_cpu_active()->features) != decoders->needs) {
            print_message("%s: not on this processor\n", decoders->isa);
            continue;
        }
        for (int t = 0; t < DITHER_BLOCK_TYPES; t++) {
            const dither_block_info *info = dither_block_info_of((dither_block_type)t);
            for (size_t n = 1; n <= (info->values == 1 ? 70 : 5); n++) {
                check_against_ref(decoders, ref, (dither_block_type)t, n);
            }
        }
    }
}

static void all_f16_codes_go_back_and_forth(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 1u << 16; code++) {
        const float x = dither_f32_from_f16((uint16_t)code);
        const int exponent = (int)(code >> 10 & 31);
        const float fraction = (float)(code & 1023);
        float expected = exponent == 0 ? ldexpf(fraction, -24) : ldexpf(1024 + fraction, exponent - 25);
        if (exponent == 31)
            expected = fraction > 0 ? NAN : INFINITY;
        assert_true(same(x, code & 0x8000 ? -expected : expected));
        if (!isnan(x))
            assert_int_equal(dither_f16_from_f32(x), code);
        if (exponent == 31 || code == 0x7bff || code == 0xfbff)
            continue;
        /* The middle to the next code goes to the even one, what is just beside it to the nearer. */
        const float next = dither_f32_from_f16((uint16_t)(code + 1)), middle = x + (next - x) / 2;
        assert_int_equal(dither_f16_from_f32(middle), code + (code & 1));
        assert_int_equal(dither_f16_from_f32(nextafterf(middle, x)), code);
        assert_int_equal(dither_f16_from_f32(nextafterf(middle, next)), code + 1);
    }
    assert_int_equal(dither_f16_from_f32(65519.99f), 0x7bff);
    assert_int_equal(dither_f16_from_f32(65520), 0x7c00);
    assert_int_equal(dither_f16_from_f32(-INFINITY), 0xfc00);
    assert_true(isnan(dither_f32_from_f16(dither_f16_from_f32(dither_f32_from_bits(0x7f800001)))));
}

/* ---- encoding to nearest --------------------------------------------------------------------------------------- */

static void encoded_bytes_are_those_of_gguf(void **state)
{
    (void)state;
    dither_safetensors *file = open_golden();
    const dither_safetensor *values = golden(file, "encode", NULL, "values");
    const size_t count = (size_t)values->bytes / sizeof(float);
    float *x = malloc(count * sizeof *x);
    dither_safetensor_f32(values, 0, count, x);
    for (int t = 0; t < DITHER_BLOCK_TYPES; t++) {
        const dither_block_info *info = dither_block_info_of((dither_block_type)t);
        if (!info->writes || t == DITHER_BLOCK_F32)
            continue;
        const dither_safetensor *blocks = golden(file, "encode", info->name, "blocks");
        unsigned char *bytes = malloc(blocks->bytes);
        assert_int_equal(dither_block_row_bytes((dither_block_type)t, count), blocks->bytes);
        dither_block_encode((dither_block_type)t, count, x, bytes, NULL, 0);
        for (size_t i = 0; i < blocks->bytes; i++)
            if (bytes[i] != blocks->data[i])
                fail_msg("%s: byte %zu of block %zu is %02x, not %02x", info->name, i % info->bytes, i / info->bytes,
                         bytes[i], blocks->data[i]);
        free(bytes);
    }
    free(x);
    dither_safetensors_close(file);
}

/* What the reference leaves undefined has a value here, the same from every compiler. */
static void nan_and_extremes_are_defined(void **state)
{
    (void)state;
    float x[BLOCK] = {NAN, 1, -1, 0.5f}, y[BLOCK];
    unsigned char bytes[BLOCK * 4];
    for (int t = 0; t < DITHER_BLOCK_TYPES; t++) {
        const dither_block_info *info = dither_block_info_of((dither_block_type)t);
        if (!info->writes)
            continue;
        assert_false(dither_block_fits((dither_block_type)t, BLOCK, x));
        assert_true(dither_block_fits((dither_block_type)t, BLOCK - 1, x + 1));
        dither_block_encode((dither_block_type)t, BLOCK, x, bytes, NULL, 0);
        dither_block_decode((dither_block_type)t, BLOCK, bytes, y);
        assert_true(info->values > 1 || isnan(y[0]));
        if (t != DITHER_BLOCK_Q4_1) /* which has no scale where the smallest value is NaN */
            assert_true(fabsf(y[1] - 1) < 0.2f && fabsf(y[2] + 1) < 0.2f);
        const float tiny[BLOCK] = {0x1p-140f, -0x1p-149f};
        dither_block_encode((dither_block_type)t, BLOCK, tiny, bytes, NULL, 0);
        dither_block_decode((dither_block_type)t, BLOCK, bytes, y);
        for (size_t i = 0; i < BLOCK; i++)
            assert_true(fabsf(y[i]) <= 0x1p-140f);
        const float huge[BLOCK] = {3e38f, -3e38f};
        dither_block_encode((dither_block_type)t, BLOCK, huge, bytes, NULL, 0);
        dither_block_encode((dither_block_type)t, BLOCK, huge, bytes, &(dither_draw){.seed = 1}, 0);
    }
}

static void ranges_are_those_of_the_types(void **state)
{
    (void)state;
    static const struct {
        dither_block_type type;
        float largest;
    } cases[] = {
        {DITHER_BLOCK_F32, 0x1.fffffep127f}, {DITHER_BLOCK_F16, 65504},        {DITHER_BLOCK_BF16, 0x1.fep127f},
        {DITHER_BLOCK_Q4_0, 7 * 65504.0f},   {DITHER_BLOCK_Q4_1, 65504.0f},    {DITHER_BLOCK_Q8_0, 127 * 65504.0f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const float inside = -cases[i].largest, beyond = nextafterf(inside, -INFINITY);
        assert_true(dither_block_fits(cases[i].type, 1, &inside));
        assert_false(dither_block_fits(cases[i].type, 1, &beyond));
        float x[BLOCK] = {inside, cases[i].largest}, y[BLOCK];
        unsigned char bytes[BLOCK * 4];
        for (uint64_t seed = 0; seed < 20; seed++) {
            dither_block_encode(cases[i].type, BLOCK, x, bytes, &(dither_draw){.seed = seed}, 0);
            dither_block_decode(cases[i].type, BLOCK, bytes, y);
            assert_true(isfinite(y[0]) && isfinite(y[1]) && fabsf(y[0] - inside) <= cases[i].largest / 7);
        }
    }
}

/* ---- encoding stochastically ----------------------------------------------------------------------------------- */

/* A row at many magnitudes; the blocks of q4_0 reach farther to either side in turn. */
static void fill_row(float *x)
{
    const dither_draw draw = {.seed = 9};
    for (size_t i = 0; i < COLS; i++) {
        const float u = (float)dither_draw_u32(&draw, 0, i) * 0x1p-31f - 1;
        x[i] = ldexpf(u + (float)(i / BLOCK % 3) * 0.4f, (int)(i / BLOCK) * 3 - 16);
    }
    for (size_t i = 0; i < BLOCK; i++)
        x[i + BLOCK] = 0;
}

/* The distance of neighbouring codes at x; a block's is the largest that was seen between two values of a column. */
static double step_at(dither_block_type type, double x, const double *spread)
{
    if (type == DITHER_BLOCK_F16)
        return fmax(fabs(x) * 0x1p-10, 0x1p-24);
    if (type == DITHER_BLOCK_BF16)
        return fabs(x) * 0x1p-7;
    double step = 0;
    for (size_t i = 0; i < BLOCK; i++)
        step = fmax(step, spread[i]);
    return step;
}

enum { N = 4096 };

/*
 * The mean of N values on either side of x, `step` apart, is off by more than t = 7 step / (2 sqrt N) with probability
 * 2 exp(-2 N t^2 / step^2) = 2 exp(-24.5) < 1e-10 (Hoeffding): 0.055 of a step. `lost` is what f32 loses in d q + m, at
 * most 2^-20 of the block's largest.
 */
static void check_mean(dither_block_type type, const float *x, const double *sum, const float *low, const float *high)
{
    double spread[COLS];
    for (size_t i = 0; i < COLS; i++)
        spread[i] = (double)high[i] - (double)low[i];
    for (size_t i = 0; i < COLS; i++) {
        const double v = (double)x[i], step = step_at(type, v, spread + i / BLOCK * BLOCK);
        const double lost = 0x1p-20 * ldexp(2, (int)(i / BLOCK) * 3 - 16), off = fabs(sum[i] / N - v);
        if ((double)low[i] < v - step - lost || (double)high[i] > v + step + lost)
            fail_msg("%s: column %zu is %a, rounded to %a .. %a", dither_block_info_of(type)->name, i, v,
                     (double)low[i], (double)high[i]);
        if (off > 7 * step / (2 * sqrt(N)) + lost)
            fail_msg("%s: column %zu is %a, its mean off by %a, a step is %a", dither_block_info_of(type)->name, i, v,
                     off, step);
    }
}

static void stochastic_rounding_has_the_mean(void **state)
{
    (void)state;
    float x[COLS], y[COLS], low[COLS], high[COLS];
    unsigned char bytes[COLS * 4];
    fill_row(x);
    for (int t = DITHER_BLOCK_F16; t < DITHER_BLOCK_TYPES; t++) {
        double sum[COLS] = {0};
        for (uint32_t n = 0; n < N && dither_block_info_of((dither_block_type)t)->writes; n++) {
            dither_block_encode((dither_block_type)t, COLS, x, bytes, &(dither_draw){.seed = 5, .step = n}, 7);
            dither_block_decode((dither_block_type)t, COLS, bytes, y);
            for (size_t i = 0; i < COLS; i++) {
                sum[i] += (double)y[i];
                low[i] = n > 0 ? fminf(low[i], y[i]) : y[i];
                high[i] = n > 0 ? fmaxf(high[i], y[i]) : y[i];
            }
        }
        if (dither_block_info_of((dither_block_type)t)->writes)
            check_mean((dither_block_type)t, x, sum, low, high);
    }
}

/* Two codes a value at most, so the step is that of the smallest scale that holds the block, rounded up to f16. */
static void stochastic_scales_are_the_smallest_that_fit(void **state)
{
    (void)state;
    float x[COLS];
    unsigned char bytes[COLS * 4];
    fill_row(x);
    const dither_draw draw = {.seed = 2};
    for (size_t b = 0; b < COLS / BLOCK; b++) {
        double above = 0, below = 0, min = INFINITY, max = -INFINITY;
        for (size_t i = 0; i < BLOCK; i++) {
            const double v = (double)x[b * BLOCK + i];
            above = fmax(above, v);
            below = fmax(below, -v);
            min = fmin(min, v);
            max = fmax(max, v);
        }
        const double four_bits = fmin(fmax(above / 8, below / 7), fmax(above / 7, below / 8));
        const double wanted[3] = {fmax(above, below) / 127, four_bits, 0};
        static const dither_block_type types[3] = {DITHER_BLOCK_Q8_0, DITHER_BLOCK_Q4_0, DITHER_BLOCK_Q4_1};
        for (size_t k = 0; k < 3; k++) {
            uint16_t half, offset;
            dither_block_encode(types[k], COLS, x, bytes, &draw, 0);
            const unsigned char *at = bytes + b * dither_block_info_of(types[k])->bytes;
            memcpy(&half, at, 2);
            memcpy(&offset, at + 2, 2);
            double want = wanted[k];
            if (types[k] == DITHER_BLOCK_Q4_1) {
                const double m = (double)dither_f32_from_f16(offset);
                assert_true(m <= min);
                want = (double)((float)max - (float)m) / 15;
            }
            half &= 0x7fff;
            assert_true((double)dither_f32_from_f16(half) >= want);
            assert_true(half == 0 || (double)dither_f32_from_f16((uint16_t)(half - 1)) < want);
        }
    }
}

/* The draws of a row are those of its columns, wherever other blocks end. */
static void draws_are_addressed_by_column(void **state)
{
    (void)state;
    float x[2 * COLS];
    unsigned char all[4 * COLS * 2], part[4 * COLS * 2];
    fill_row(x);
    fill_row(x + COLS);
    const dither_draw draw = {.seed = 4, .tensor = 3};
    for (int t = 0; t < DITHER_BLOCK_TYPES; t++) {
        if (!dither_block_info_of((dither_block_type)t)->writes)
            continue;
        dither_block_encode((dither_block_type)t, 2 * COLS, x, all, &draw, 1);
        for (size_t count = BLOCK; count < 2 * COLS; count += BLOCK) {
            dither_block_encode((dither_block_type)t, count, x, part, &draw, 1);
            assert_memory_equal(all, part, dither_block_row_bytes((dither_block_type)t, count));
        }
        const size_t half = dither_block_row_bytes((dither_block_type)t, COLS);
        if (t != DITHER_BLOCK_F32)
            assert_memory_not_equal(all, all + half, half); /* the same values */
        dither_block_encode((dither_block_type)t, 2 * COLS, x, part, &draw, 2);
        if (t != DITHER_BLOCK_F32)
            assert_memory_not_equal(all, part, dither_block_row_bytes((dither_block_type)t, 2 * COLS));
    }
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static void types_are_found(void **state)
{
    (void)state;
    dither_block_type type;
    for (int t = 0; t < DITHER_BLOCK_TYPES; t++) {
        const dither_block_info *info = dither_block_info_of((dither_block_type)t);
        assert_true(dither_block_from_gguf(info->gguf, &type));
        assert_int_equal(type, t);
        assert_true(dither_block_from_name(info->name, &type));
        assert_int_equal(type, t);
        assert_int_equal(dither_block_row_bytes(type, 3 * info->values), 3 * info->bytes);
        assert_true(info->values == 1 || dither_block_row_bytes(type, info->values + 1) == SIZE_MAX);
        assert_int_equal(dither_block_row_bytes(type, 0), 0);
    }
    assert_true(dither_block_from_name("Q4_K", &type));
    assert_int_equal(type, DITHER_BLOCK_Q4_K);
    assert_false(dither_block_from_name("q4_k_m_and_then_some", &type));
    assert_false(dither_block_from_name("", &type));
    assert_false(dither_block_from_gguf(4, &type));
    assert_false(dither_block_from_gguf(UINT32_MAX, &type));
    assert_int_equal(dither_block_row_bytes(DITHER_BLOCK_F32, SIZE_MAX / 2), SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoded_values_are_those_of_gguf),
        cmocka_unit_test(every_instruction_set_decodes_the_same),
        cmocka_unit_test(all_f16_codes_go_back_and_forth),
        cmocka_unit_test(encoded_bytes_are_those_of_gguf),
        cmocka_unit_test(nan_and_extremes_are_defined),
        cmocka_unit_test(ranges_are_those_of_the_types),
        cmocka_unit_test(stochastic_rounding_has_the_mean),
        cmocka_unit_test(stochastic_scales_are_the_smallest_that_fit),
        cmocka_unit_test(draws_are_addressed_by_column),
        cmocka_unit_test(types_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
