/* Every code of every format of up to 16 bits, against the definition worked out in f64. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dither/format.h"

static dither_format find(const char *name)
{
    dither_format format;
    dither_error error;
    assert_int_equal(dither_format_find(name, &format, &error), DITHER_OK);
    return format;
}

static float decode(const char *name, uint32_t code)
{
    const dither_format format = find(name);
    return dither_format_decode(&format, code);
}

/* The value of a code by the definition, in f64. */
static double defined(const dither_format *format, uint32_t code)
{
    const int x = format->exponent_bits, y = format->mantissa_bits;
    if (format->kind == DITHER_KIND_SCALE) {
        return code == 255 ? NAN : ldexp(1.0, (int)code - 127);
    }
    if (format->kind == DITHER_KIND_INT) {
        const int top = 1 << (format->bits - 1);
        return (int)code >= top ? (int)code - 2 * top : (int)code;
    }
    const double sign = code >> (x + y) & 1 ? -1.0 : 1.0;
    const int exponent = (int)(code >> y) & ((1 << x) - 1);
    const int fraction = (int)code & ((1 << y) - 1);
    const int bias = (1 << (x - 1)) - 1;
    const int ones = (1 << x) - 1;
    if (format->specials == DITHER_SPECIALS_IEEE && exponent == ones) {
        return fraction == 0 ? sign * INFINITY : NAN;
    }
    if (format->specials == DITHER_SPECIALS_NAN && exponent == ones && fraction == (1 << y) - 1) {
        return NAN;
    }
    return exponent == 0 ? sign * ldexp(fraction, 1 - bias - y)
                         : sign * ldexp(fraction + (1 << y), exponent - bias - y);
}

static void table_is_well_formed(void **state)
{
    (void)state;
    assert_true(dither_format_count() == 3 + 77 - 1 + 7 + 2);
    for (size_t i = 0; i < dither_format_count(); i++) {
        const dither_format *f = dither_format_at(i);
        assert_int_equal(f->group_bytes * 8 % f->group_codes == 0 ? 8 * f->group_bytes / f->group_codes : f->bits,
                         strcmp(f->name, "ternary") == 0 ? 2 : f->bits);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(f->name, dither_format_at(j)->name);
        }
        if (f->kind == DITHER_KIND_FLOAT) {
            assert_int_equal(f->bits, 1 + f->exponent_bits + f->mantissa_bits);
            assert_int_equal(f->bias, (1 << (f->exponent_bits - 1)) - 1);
            assert_int_equal(f->min_exponent, 1 - f->bias);
            assert_true(f->smallest == ldexp(1.0, f->min_exponent - f->mantissa_bits));
        }
        const dither_format found = find(f->name);
        assert_string_equal(found.name, f->name);
        assert_true(found.max == f->max);
    }
    for (int x = 2; x <= 8; x++) {
        for (int y = 0; y <= 10; y++) {
            char name[16];
            snprintf(name, sizeof name, "e%dm%d", x, y);
            const dither_format f = find(name);
            assert_int_equal(f.exponent_bits, x);
            assert_int_equal(f.mantissa_bits, y);
            const dither_specials expected = x == 8 || (x == 5 && y == 2) ? DITHER_SPECIALS_IEEE
                                             : x == 4 && y == 3           ? DITHER_SPECIALS_NAN
                                                                          : DITHER_SPECIALS_NONE;
            assert_int_equal(f.specials, expected);
        }
    }
}

static void all_codes_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < dither_format_count(); i++) {
        const dither_format *f = dither_format_at(i);
        double largest = 0.0, smallest = INFINITY;
        for (uint32_t code = 0; f->bits <= 19 && code >> f->bits == 0; code++) {
            const double expected = defined(f, code);
            const double got = (double)dither_format_decode(f, code);
            if (isnan(expected) ? !isnan(got) : got != expected || (signbit(got) != 0) != (signbit(expected) != 0)) {
                fail_msg("%s code %u: %g, not %g", f->name, code, got, expected);
            }
            const bool symmetric = f->kind != DITHER_KIND_INT || code != 1u << (f->bits - 1);
            if (isfinite(got) && symmetric) {
                largest = fmax(largest, fabs(got));
                smallest = got > 0.0 ? fmin(smallest, got) : smallest;
            }
            assert_true(isnan(expected) ||
                        dither_format_decode(f, code | (f->bits < 32 ? 0xffffffffu << f->bits : 0)) == (float)expected);
        }
        assert_true(f->bits > 19 || (largest == f->max && smallest == f->smallest));
    }
}

static void codes_round_to_themselves(void **state)
{
    (void)state;
    static const dither_rounding roundings[] = {{DITHER_ROUND_RNE, 0}, {DITHER_ROUND_SR, 32},  {DITHER_ROUND_SR, 1},
                                                {DITHER_ROUND_UP, 0},  {DITHER_ROUND_DOWN, 0}, {DITHER_ROUND_ZERO, 0}};
    for (size_t i = 0; i < dither_format_count(); i++) {
        const dither_format *f = dither_format_at(i);
        for (uint32_t code = 0; f->bits <= 19 && code >> f->bits == 0; code++) {
            const float value = dither_format_decode(f, code);
            const bool used = isfinite(value) && (f->kind != DITHER_KIND_INT || code != 1u << (f->bits - 1));
            for (size_t r = 0; used && r < sizeof roundings / sizeof roundings[0]; r++) {
                bool clipped = false;
                const uint32_t back = dither_format_encode(f, roundings[r], value, 0, &clipped);
                if (back != code || clipped) {
                    fail_msg("%s code %u came back as %u under rounding %zu", f->name, code, back, r);
                }
            }
        }
    }
}

static void published_values(void **state)
{
    (void)state;
    assert_true(decode("e4m3", 0x7e) == 448.0f);
    assert_true(decode("e4m3", 0xfe) == -448.0f);
    assert_true(isnan(decode("e4m3", 0x7f)) && isnan(decode("e4m3", 0xff)));
    assert_true(decode("e4m3", 0x01) == 0x1p-9f);
    assert_true(decode("e5m2", 0x7b) == 57344.0f);
    assert_true(isinf(decode("e5m2", 0x7c)) && isnan(decode("e5m2", 0x7d)));
    assert_true(decode("e5m2", 0x01) == 0x1p-16f);
    static const float e2m1[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    for (uint32_t code = 0; code < 8; code++) {
        assert_true(decode("e2m1", code) == e2m1[code]);
    }
    assert_true(decode("e2m3", 0x1f) == 7.5f);
    assert_true(decode("e3m2", 0x1f) == 28.0f);
    assert_true(decode("bf16", 0x3fc0) == 1.5f);
    assert_true(decode("f16", 0x7bff) == 65504.0f && isinf(decode("f16", 0x7c00)));
    assert_true(decode("e5m10", 0x7fff) == 131008.0f);
    assert_true(decode("e8m0", 254) == 0x1p127f && isinf(decode("e8m0", 255)) && decode("e8m0", 0) == 0.0f);
    assert_true(decode("ue8m0", 0) == 0x1p-127f && decode("ue8m0", 254) == 0x1p127f && isnan(decode("ue8m0", 255)));
    assert_true(decode("int8", 0x81) == -127.0f && decode("int2", 3) == -1.0f && decode("ternary", 3) == -1.0f);
    assert_true(decode("fx3", 0xffffffffu) == -0.125f && decode("fx0", 7) == 7.0f);
    assert_true(decode("f32", 1) == 0x1p-149f);
}

static void fixed_point_is_found_by_name(void **state)
{
    (void)state;
    for (int n = 0; n <= 31; n++) {
        char name[16];
        snprintf(name, sizeof name, "fx%d", n);
        const dither_format f = find(name);
        assert_string_equal(f.name, name);
        assert_int_equal(f.kind, DITHER_KIND_FIXED);
        assert_int_equal(f.bits, 32);
        assert_true(f.smallest == ldexp(1.0, -n) && f.max == ldexp(2147483647.0, -n));
    }
    static const char *const wrong[] = {"fx32", "fx",   "fx-1", "fx03",  "fx1x", "int1",
                                        "int9", "e1m3", "e9m1", "e4m11", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        dither_format f;
        dither_error error = {.status = DITHER_OK};
        assert_int_equal(dither_format_find(wrong[i], &f, &error), DITHER_E_USAGE);
        assert_int_equal(error.status, DITHER_E_USAGE);
        assert_true(strlen(error.text) > 0);
    }
}

static void aliases_give_the_canonical_row(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"e8m7", "bf16"}, {"fp16", "f16"}, {"half", "f16"}, {"fp32", "f32"},
                                           {"float", "f32"}, {"s8", "int8"},  {"s4", "int4"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_string_equal(find(pairs[i][0]).name, pairs[i][1]);
    }
}

static void an_unknown_format_names_the_nearest(void **state)
{
    (void)state;
    dither_format f;
    dither_error error;
    assert_int_equal(dither_format_find("int9", &f, &error), DITHER_E_USAGE);
    assert_string_equal(error.text, "no format \"int9\"; did you mean int8?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_well_formed),
        cmocka_unit_test(all_codes_decode),
        cmocka_unit_test(codes_round_to_themselves),
        cmocka_unit_test(published_values),
        cmocka_unit_test(fixed_point_is_found_by_name),
        cmocka_unit_test(aliases_give_the_canonical_row),
        cmocka_unit_test(an_unknown_format_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
