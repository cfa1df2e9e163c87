/*
 * Rounding against an oracle that knows nothing of bits: the sorted values of a format, searched in f64. Neighbouring
 * values are a power of two apart and an f32 between them differs from either by at most 24 significant bits, so every
 * difference, fraction and threshold below is exact in f64.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dither/format.h"
#include "quant/round.h"

enum { VALUES = 1 << 16, INPUTS = 1 << 12 };

static double values[VALUES]; /* the nonnegative values of the format under test, ascending */
static size_t value_count;
static float inputs[INPUTS];
static size_t input_count;

static uint32_t lcg(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state ^ *state >> 15;
}

static float f32_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int ascending(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void load_values(const dither_format *f)
{
    value_count = 0;
    for (uint32_t code = 0; code >> f->bits == 0; code++) {
        const double v = (double)dither_format_decode(f, code);
        if (isfinite(v) && !signbit(v) && v <= f->max) {
            values[value_count++] = v;
        }
    }
    qsort(values, value_count, sizeof values[0], ascending);
    assert_true(values[0] == 0.0 && values[value_count - 1] == f->max);
}

static void add_input(const dither_format *f, double x)
{
    if (x <= f->max && input_count + 2 <= INPUTS) {
        inputs[input_count++] = (float)x;
        inputs[input_count++] = (float)-x;
    }
}

/* Values, ties, their f32 neighbours, fractions with few and many bits, subnormals, random bits. */
static void load_inputs(const dither_format *f, size_t stride, size_t random)
{
    uint32_t seed = 12345;
    input_count = 0;
    for (size_t i = 0; i < value_count; i += stride) {
        const double low = values[i], step = i + 1 < value_count ? values[i + 1] - low : 0.0;
        add_input(f, low);
        add_input(f, low + step / 2);
        add_input(f, (double)nextafterf((float)(low + step / 2), 0.0f));
        add_input(f, (double)nextafterf((float)(low + step / 2), INFINITY));
        add_input(f, (double)nextafterf((float)low, INFINITY));
        add_input(f, low + step * 0.25);
        add_input(f, low + step * 11.0 / 16.0 + step / 2048);
        add_input(f, low + step * (double)(lcg(&seed) >> 9) * 0x1p-23);
    }
    add_input(f, f->max);
    add_input(f, 0x1p-149);
    add_input(f, 0x1p-130);
    add_input(f, f->smallest * 0x1p-31);
    add_input(f, f->smallest * 0x1p-33);
    add_input(f, f->smallest * 0x1.8p-33);
    for (size_t i = 0; i < random; i++) {
        const float x = f32_of(lcg(&seed) & 0x7fffffffu);
        if (isfinite(x)) {
            add_input(f, (double)x);
        }
    }
}

/* The largest value <= |x|, by bisection. */
static size_t below(double magnitude)
{
    size_t low = 0, high = value_count;
    while (high - low > 1) {
        const size_t mid = (low + high) / 2;
        *(values[mid] <= magnitude ? &low : &high) = mid;
    }
    return low;
}

static double fraction(double magnitude, size_t k)
{
    return k + 1 < value_count ? (magnitude - values[k]) / (values[k + 1] - values[k]) : 0.0;
}

/* F = f 2^N, half to even. */
static uint64_t threshold(double f, int bits)
{
    return (uint64_t)nearbyint(ldexp(f, bits));
}

static bool goes_away(dither_rounding rounding, double f, size_t k, bool negative, uint32_t random)
{
    switch (rounding.mode) {
    case DITHER_ROUND_RNE:
        return f > 0.5 || (f == 0.5 && k % 2 == 1); /* to the even code, and k is the code */
    case DITHER_ROUND_SR:
        return (rounding.bits == 32 ? random : random % (1u << rounding.bits)) < threshold(f, rounding.bits);
    case DITHER_ROUND_UP:
        return f > 0.0 && !negative;
    case DITHER_ROUND_DOWN:
        return f > 0.0 && negative;
    case DITHER_ROUND_ZERO:
        break;
    }
    return false;
}

static void check(const dither_format *f, dither_rounding rounding, float x, uint32_t random)
{
    const double magnitude = fabs((double)x);
    const size_t k = below(magnitude);
    const size_t rounded = k + goes_away(rounding, fraction(magnitude, k), k, signbit(x) != 0, random);
    bool clipped = false;
    const uint32_t code = dither_format_encode(f, rounding, x, random, &clipped);
    const double got = (double)dither_format_decode(f, code);
    const bool sign_kept = f->kind != DITHER_KIND_FLOAT || (signbit(got) != 0) == (signbit(x) != 0);
    if (fabs(got) != values[rounded] || got * (double)x < 0.0 || !sign_kept || clipped || code >> f->bits != 0) {
        fail_msg("%s rounding %d:%d of %a draw %u: %a, not %a%s", f->name, rounding.mode, rounding.bits, (double)x,
                 random, got, values[rounded], clipped ? ", clipped" : "");
    }
}

/* Formats with a sign, of few enough bits to search. */
static bool searchable(const dither_format *f, int bits)
{
    return f->bits <= bits && f->kind != DITHER_KIND_SCALE;
}

static void deterministic_roundings_equal_a_search(void **state)
{
    (void)state;
    static const dither_rounding roundings[] = {
        {DITHER_ROUND_RNE, 0}, {DITHER_ROUND_UP, 0}, {DITHER_ROUND_DOWN, 0}, {DITHER_ROUND_ZERO, 0}};
    for (size_t i = 0; i < dither_format_count(); i++) {
        const dither_format *f = dither_format_at(i);
        if (!searchable(f, 16)) {
            continue;
        }
        load_values(f);
        load_inputs(f, 1 + value_count / 200, 200);
        for (size_t r = 0; r < sizeof roundings / sizeof roundings[0]; r++) {
            for (size_t n = 0; n < input_count; n++) {
                check(f, roundings[r], inputs[n], 0xdeadbeefu);
            }
        }
    }
}

/* All draws of N <= 10 bits: each goes where the definition says, and exactly F of them go away from zero. */
static void every_draw_of_few_bits(void **state)
{
    (void)state;
    static const char *const names[] = {"e4m3", "e5m2", "e2m1", "e3m0", "e2m3", "int8", "int3", "ternary", "bf16"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        dither_format f;
        assert_int_equal(dither_format_find(names[i], &f, NULL), DITHER_OK);
        load_values(&f);
        load_inputs(&f, 1 + value_count / 6, 10);
        for (int bits = 1; bits <= 10; bits++) {
            for (size_t n = 0; n < input_count; n++) {
                const double magnitude = fabs((double)inputs[n]);
                const size_t k = below(magnitude);
                uint64_t away = 0;
                for (uint32_t draw = 0; draw < 1u << bits; draw++) {
                    const uint32_t code = dither_format_encode(&f, (dither_rounding){DITHER_ROUND_SR, bits}, inputs[n],
                                                               draw | 0xa5a5a5a5u << bits, NULL);
                    away += fabs((double)dither_format_decode(&f, code)) != values[k];
                }
                assert_true(away == threshold(fraction(magnitude, k), bits));
                check(&f, (dither_rounding){DITHER_ROUND_SR, bits}, inputs[n], (uint32_t)n);
            }
        }
    }
}

/* N bits of every number: the draw F - 1 goes away, the draw F does not. */
static void the_threshold_is_exact(void **state)
{
    (void)state;
    static const int widths[] = {1, 2, 3, 8, 15, 16, 17, 24, 31, 32};
    for (size_t i = 0; i < dither_format_count(); i++) {
        const dither_format *f = dither_format_at(i);
        if (!searchable(f, 16)) {
            continue;
        }
        load_values(f);
        load_inputs(f, 1 + value_count / 30, 30);
        for (size_t n = 0; n < input_count; n++) {
            for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
                const dither_rounding rounding = {DITHER_ROUND_SR, widths[w]};
                const double magnitude = fabs((double)inputs[n]);
                const uint64_t accept = threshold(fraction(magnitude, below(magnitude)), widths[w]);
                const uint64_t last = (UINT64_C(1) << widths[w]) - 1;
                check(f, rounding, inputs[n], 0);
                check(f, rounding, inputs[n], (uint32_t)last);
                check(f, rounding, inputs[n], (uint32_t)(accept > 0 ? accept - 1 : 0));
                check(f, rounding, inputs[n], (uint32_t)(accept <= last ? accept : last));
            }
        }
    }
}

static void beyond_the_largest_saturates_and_is_counted(void **state)
{
    (void)state;
    static const dither_rounding roundings[] = {{DITHER_ROUND_RNE, 0}, {DITHER_ROUND_SR, 32},  {DITHER_ROUND_SR, 4},
                                                {DITHER_ROUND_UP, 0},  {DITHER_ROUND_DOWN, 0}, {DITHER_ROUND_ZERO, 0}};
    for (size_t i = 0; i < dither_format_count(); i++) {
        const dither_format *f = dither_format_at(i);
        const float max = (float)f->max;
        const bool has_nan =
            f->specials == DITHER_SPECIALS_NAN || (f->specials == DITHER_SPECIALS_IEEE && f->mantissa_bits > 0);
        for (size_t r = 0; r < sizeof roundings / sizeof roundings[0]; r++) {
            for (int sign = -1; sign <= 1; sign += 2) {
                const float beyond[] = {nextafterf(max, INFINITY), INFINITY};
                for (size_t n = 0; n < 2; n++) {
                    bool clipped = false;
                    const uint32_t code =
                        dither_format_encode(f, roundings[r], (float)sign * beyond[n], 0xffffffffu, &clipped);
                    const float expected = f->kind != DITHER_KIND_SCALE ? (float)sign * max
                                           : sign > 0                   ? max
                                                                        : 0x1p-127f;
                    assert_true(clipped && dither_format_decode(f, code) == expected);
                }
                bool clipped = false;
                (void)dither_format_encode(f, roundings[r], (float)sign * max, 0, &clipped);
                assert_false(clipped);
            }
            bool clipped = false;
            const float nan = dither_format_decode(f, dither_format_encode(f, roundings[r], NAN, 0, &clipped));
            assert_true((has_nan ? isnan(nan) : nan == 0.0f) && !clipped);
        }
    }
}

static void fixed_point_is_an_absolute_step(void **state)
{
    (void)state;
    dither_format f;
    bool clipped = false;
    const dither_rounding rne = {DITHER_ROUND_RNE, 0};
    assert_int_equal(dither_format_find("fx3", &f, NULL), DITHER_OK);
    assert_int_equal((int32_t)dither_format_encode(&f, rne, -1.0f, 0, &clipped), -8);
    assert_int_equal((int32_t)dither_format_encode(&f, rne, 0.0625f, 0, &clipped), 0);
    assert_int_equal((int32_t)dither_format_encode(&f, rne, 0.1875f, 0, &clipped), 2);
    assert_int_equal((int32_t)dither_format_encode(&f, (dither_rounding){DITHER_ROUND_SR, 32}, 0.03125f, 0x3fffffffu,
                                                   &clipped), 1);
    assert_int_equal((int32_t)dither_format_encode(&f, (dither_rounding){DITHER_ROUND_SR, 32}, 0.03125f, 0x40000000u,
                                                   &clipped), 0);
    assert_int_equal((int32_t)dither_format_encode(&f, rne, 0x1.fffffep27f, 0, &clipped), 0x7fffff80);
    assert_false(clipped);
    assert_int_equal((int32_t)dither_format_encode(&f, rne, -0x1p28f, 0, &clipped), -0x7fffffff);
    assert_true(clipped);
    for (int32_t code = -70000; code <= 70000; code += 7) {
        assert_int_equal((int32_t)dither_format_encode(&f, rne, dither_format_decode(&f, (uint32_t)code), 0, NULL),
                         code);
    }
}

static void f32_is_left_alone(void **state)
{
    (void)state;
    dither_format f;
    assert_int_equal(dither_format_find("f32", &f, NULL), DITHER_OK);
    uint32_t seed = 1;
    for (int n = 0; n < 10000; n++) {
        const uint32_t bits = lcg(&seed);
        for (int mode = DITHER_ROUND_RNE; mode <= DITHER_ROUND_ZERO; mode++) {
            const dither_rounding rounding = {(dither_rounding_mode)mode, mode == DITHER_ROUND_SR ? 32 : 0};
            assert_true(!isfinite(f32_of(bits)) || dither_format_encode(&f, rounding, f32_of(bits), 0, NULL) == bits);
        }
    }
}

static void e8m0_scale_is_the_power_above_or_below(void **state)
{
    (void)state;
    dither_format f;
    assert_int_equal(dither_format_find("ue8m0", &f, NULL), DITHER_OK);
    const dither_rounding up = {DITHER_ROUND_UP, 0}, down = {DITHER_ROUND_DOWN, 0}, rne = {DITHER_ROUND_RNE, 0};
    assert_int_equal(dither_format_encode(&f, up, 1.0f, 0, NULL), 127);
    assert_int_equal(dither_format_encode(&f, up, nextafterf(1.0f, 2.0f), 0, NULL), 128);
    assert_int_equal(dither_format_encode(&f, down, 1.99f, 0, NULL), 127);
    assert_int_equal(dither_format_encode(&f, down, 0x1.8p-127f, 0, NULL), 0);
    assert_int_equal(dither_format_encode(&f, up, 0x1.8p-127f, 0, NULL), 1);
    assert_int_equal(dither_format_encode(&f, rne, 0x1.8p-127f, 0, NULL), 0);
    assert_int_equal(dither_format_encode(&f, rne, 0x1.8p-126f, 0, NULL), 2);
    assert_int_equal(dither_format_encode(&f, rne, 0x1.7p0f, 0, NULL), 127);
    assert_int_equal(dither_format_encode(&f, rne, 0.0f, 0, NULL), 0);
}

static void a_span_is_its_elements(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    float x[COUNT];
    uint32_t random[COUNT], codes[COUNT], seed = 77;
    for (size_t i = 0; i < dither_format_count(); i++) {
        const dither_format *f = dither_format_at(i);
        if (f->kind == DITHER_KIND_SCALE) {
            continue;
        }
        const dither_grid grid = dither_grid_of(f);
        for (int mode = DITHER_ROUND_RNE; mode <= DITHER_ROUND_ZERO; mode++) {
            for (int bits = 3; bits <= 32; bits += 29) {
                const dither_rounding rounding = {(dither_rounding_mode)mode, mode == DITHER_ROUND_SR ? bits : 0};
                for (size_t n = 0; n < COUNT; n++) {
                    random[n] = lcg(&seed);
                    x[n] = n % 3 == 0 ? f32_of(lcg(&seed)) : (float)((int)(lcg(&seed) >> 8) - (1 << 23)) * 0x1p-16f;
                }
                const size_t clips = dither_round_span(&grid, rounding, x, random, COUNT, codes);
                size_t expected = 0;
                for (size_t n = 0; n < COUNT; n++) {
                    bool clipped = false;
                    assert_int_equal(codes[n], dither_format_encode(f, rounding, x[n], random[n], &clipped));
                    expected += clipped;
                }
                assert_int_equal(clips, expected);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deterministic_roundings_equal_a_search),
        cmocka_unit_test(every_draw_of_few_bits),
        cmocka_unit_test(the_threshold_is_exact),
        cmocka_unit_test(beyond_the_largest_saturates_and_is_counted),
        cmocka_unit_test(fixed_point_is_an_absolute_step),
        cmocka_unit_test(f32_is_left_alone),
        cmocka_unit_test(e8m0_scale_is_the_power_above_or_below),
        cmocka_unit_test(a_span_is_its_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
