/* What stochastic rounding adds: sum of D^2 f(1-f) against the neighbours that the encoder knows, and its sample. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "quant/variance.h"

enum { COUNT = 300 };

static float noise(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(int32_t)(*seed >> 32) * 0x1p-31f;
}

static double neighbour(const dither_format *format, dither_rounding_mode mode, float x)
{
    const dither_rounding rounding = {.mode = mode};
    bool clipped = false;
    return (double)dither_format_decode(format, dither_format_encode(format, rounding, x, 0, &clipped));
}

/* D^2 f(1-f) = (above - x)(x - below): 0 beyond the largest value, where both neighbours are it. */
static double by_definition(const dither_format *format, float x)
{
    const double below = neighbour(format, DITHER_ROUND_DOWN, x), above = neighbour(format, DITHER_ROUND_UP, x);
    return below == above ? 0 : (above - (double)x) * ((double)x - below);
}

static void spans_equal_the_definition(void **state)
{
    (void)state;
    static const char *const names[] = {"int2", "int3", "int4", "int8", "ternary", "fx4", "fx0", "e4m3", "e5m2",
                                        "e2m1", "e3m2", "e4m1", "e4m0", "e8m0",    "bf16", "f16"};
    uint64_t seed = 3;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        dither_quantizer q;
        assert_int_equal(dither_quantizer_parse(names[n], &q, NULL), DITHER_OK);
        const dither_grid grid = dither_grid_of(&q.format);
        const float largest = q.format.max < 1000 ? (float)q.format.max : 1000.0f;
        for (size_t count = 1; count <= COUNT; count += 23) {
            float x[COUNT], scale[COUNT];
            double variance = 0, square = 0;
            for (size_t j = 0; j < count; j++) {
                /* Scales that are powers of two: the quotient is exact. Small values reach subnormals. */
                scale[j] = ldexpf(1.0f, (int)(j % 7) - 3);
                const float value = 1.1f * largest * noise(&seed) * (j % 5 == 0 ? 0x1p-10f : 1.0f);
                x[j] = j % 11 == 10 ? 0.0f : value * scale[j];
                variance += (double)scale[j] * (double)scale[j] * by_definition(&q.format, x[j] / scale[j]);
                square += (double)x[j] * (double)x[j];
            }
            const dither_variance sums = dither_variance_span(&grid, count, x, scale);
            /* f is exact, 1 - f and the product with f are f32: 2^-23 of each term; sums are double. */
            if (fabs(sums.variance - variance) > 0x1p-22 * variance)
                fail_msg("%s: %.9g, not %.9g", names[n], sums.variance, variance);
            assert_true(fabs(sums.square - square) <= 1e-12 * square);
        }
    }
}

static void zeros_add_nothing(void **state)
{
    (void)state;
    dither_quantizer q;
    assert_int_equal(dither_quantizer_parse("int4", &q, NULL), DITHER_OK);
    const dither_grid grid = dither_grid_of(&q.format);
    const float x[3] = {0, 0, 3}, scale[3] = {0, 1, 1};
    const dither_variance sums = dither_variance_span(&grid, 3, x, scale);
    assert_true(sums.variance == 0 && sums.square == 9);
}

/* One row in 256 stands for all: on the average over addresses the sum over all of them. */
static void sample_is_unbiased(void **state)
{
    (void)state;
    enum { ROWS = 600, COLS = 260, TRIES = 300 };
    static float x[ROWS * COLS];
    static const char *const texts[] = {"int4/row:sr", "e2m1/g16e4m3:sr8", "e4m3:sr", "int8/tensor:sr16"};
    uint64_t seed = 5;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < COLS; j++)
            x[i * COLS + j] = noise(&seed) * (i % 50 == 7 ? 8.0f : 1.0f); /* one row in a band counts for most */
    for (size_t n = 0; n < sizeof texts / sizeof texts[0]; n++) {
        dither_quantizer q;
        dither_codes codes;
        assert_int_equal(dither_quantizer_parse(texts[n], &q, NULL), DITHER_OK);
        void *memory = aligned_alloc(64, (dither_codes_bytes(&q, DITHER_AXIS_COLS, ROWS, COLS) + 63) / 64 * 64);
        assert_int_equal(dither_codes_init(&codes, &q, DITHER_AXIS_COLS, ROWS, COLS, memory), DITHER_OK);
        double variance = 0, square = 0, mean_variance = 0, mean_square = 0, spread = 0;
        for (uint32_t step = 0; step < TRIES; step++) {
            const dither_draw draw = {.seed = 9, .step = step, .tensor = 3, .role = DITHER_ROLE_GOACT};
            dither_clips clips = {0};
            assert_int_equal(dither_quantize(&codes, x, NULL, NULL, &draw, &clips, 1 + (int)step % 3), DITHER_OK);
            mean_variance += clips.variance / TRIES;
            mean_square += clips.square / TRIES;
            spread += clips.square * clips.square / TRIES;
        }
        const dither_grid grid = dither_grid_of(&q.format);
        for (size_t i = 0; i < ROWS; i++) {
            float scale[COLS];
            for (size_t j = 0; j < COLS; j++)
                scale[j] = dither_codes_scale(&codes, i, j);
            const dither_variance row = dither_variance_span(&grid, COLS, x + i * COLS, scale);
            variance += row.variance;
            square += row.square;
        }
        /* Fixed draws; 7 deviations of the mean, 2.6e-12 of a normal one. The rows' variances spread no wider. */
        const double deviation = sqrt((spread - mean_square * mean_square) / TRIES) / square;
        assert_true(deviation > 0.01);
        assert_true(fabs(mean_square / square - 1) < 7 * deviation);
        assert_true(fabs(mean_variance / variance - 1) < 7 * deviation);
        free(memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_equal_the_definition),
        cmocka_unit_test(zeros_add_nothing),
        cmocka_unit_test(sample_is_unbiased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
