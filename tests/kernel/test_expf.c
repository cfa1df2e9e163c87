#include "kernel/expf.h"

#include "kernel/bf16.h"
#include "layer_check.h"

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* One float of 61 between the smallest that moves exp away from 1 and the ends of the range. */
static void error_is_below_one_ulp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint32_t bits = 0x32000000; bits < 0x42b17200; bits += 61) { /* 2^-27 .. 88.72 */
        for (uint32_t sign = 0; sign < 2; sign++) {
            const float x = float_of(bits | sign << 31);
            if (x < -86.98f)
                continue;
            int exponent;
            const double exact = exp((double)x);
            (void)frexp(exact, &exponent);
            const double error = fabs((double)dither_expf(x) - exact) / ldexp(1, exponent - 24);
            worst = error > worst ? error : worst;
        }
    }
    assert_true(worst <= 1.0);
}

static void ends_of_the_range(void **state)
{
    (void)state;
    assert_true(dither_expf(0) == 1 && dither_expf(-0.0f) == 1);
    assert_true(dither_expf(1e-30f) == 1 && dither_expf(-1e-30f) == 1);
    static const float zeros[] = {-86.99f, -88, -104, -1e4f, -1e10f, -3e38f, -INFINITY};
    static const float infinities[] = {88.73f, 88.76f, 89, 200, 1e10f, 3e38f, INFINITY};
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++) {
        assert_true(dither_expf(zeros[i]) == 0 && !signbit(dither_expf(zeros[i])));
        assert_true(dither_expf(infinities[i]) == INFINITY);
    }
    assert_true(isfinite(dither_expf(88.72f)));
    assert_true(isnan(dither_expf(NAN)) && isnan(dither_expf(-NAN)));
}

/* Every bf16 value, and the points around the middle of its step. */
static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t high = 0; high < 0x10000; high++) {
        const uint32_t bits = high << 16;
        if (isnan(float_of(bits))) {
            assert_true(isnan(dither_bf16_round(float_of(bits | 0xffff))));
            continue;
        }
        assert_true(dither_bf16_round(float_of(bits)) == float_of(bits));
        if ((high & 0x7fff) == 0x7f80)
            continue;
        const float up = float_of(bits + 0x10000), tie = high & 1 ? up : float_of(bits);
        assert_true(dither_bf16_round(float_of(bits | 0x7fff)) == float_of(bits));
        assert_true(dither_bf16_round(float_of(bits | 0x8000)) == tie);
        assert_true(dither_bf16_round(float_of(bits | 0x8001)) == up);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_is_below_one_ulp),
        cmocka_unit_test(ends_of_the_range),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
