/*
 * The sums of the scaling study against plain restatements: batches formed and averaged one by one, the floor from
 * every pair of sequences, its jackknife by leaving each out in turn; and a sample that finds every element alike.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "study/scaling.h"

enum { N = 8, LEVELS = 4, ELEMENTS = 50 };

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(b) + 1e-3);
}

static uint32_t random_bits(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void fill(float *x, float common)
{
    uint32_t state = 7;
    for (size_t i = 0; i < ELEMENTS * N; i++)
        x[i] = common + (float)random_bits(&state) / (float)(1 << 23) - 1;
}

/* |sum of w_k x_k|^2 over elements first .. end - 1. */
static double square(const float *x, size_t first, size_t end, const double *w)
{
    double all = 0;
    for (size_t e = first; e < end; e++) {
        double sum = 0;
        for (size_t k = 0; k < N; k++)
            sum += w[k] * (double)x[e * N + k];
        all += sum * sum;
    }
    return all;
}

/* Mean of x_i . x_j over pairs of the sequences but `left`. */
static double pairs(const float *x, size_t first, size_t end, size_t left)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            if (i == j || i == left || j == left)
                continue;
            for (size_t e = first; e < end; e++)
                sum += (double)x[e * N + i] * (double)x[e * N + j];
            count++;
        }
    return sum / count;
}

static void check(const dither_scaling_figures *f, const float *x, size_t first, size_t end, double factor)
{
    for (size_t level = 0; level < LEVELS; level++) {
        const size_t b = (size_t)1 << level;
        double mean = 0;
        for (size_t from = 0; from < N; from += b) {
            double w[N] = {0};
            for (size_t k = from; k < from + b; k++)
                w[k] = 1 / (double)b;
            mean += square(x, first, end, w) * (double)b / N;
        }
        assert_true(near(f->batches[level], factor * mean));
    }
    assert_true(near(f->floor, factor * pairs(x, first, end, N)));
    double mean = 0, spread = 0;
    for (size_t k = 0; k < N; k++)
        mean += factor * pairs(x, first, end, k) / N;
    for (size_t k = 0; k < N; k++)
        spread += pow(factor * pairs(x, first, end, k) - mean, 2);
    assert_true(near(f->spread, sqrt((N - 1.0) / N * spread)));
}

static void test_sums(void **state)
{
    (void)state;
    float x[ELEMENTS * N];
    size_t first[] = {0, 0, 11, 11, ELEMENTS}; /* place 2 has no element */
    const dither_scaling_sample sample = {.count = ELEMENTS, .first = first, .factor = 3};
    dither_scaling_figures figures[4];
    fill(x, 0.25f);
    dither_scaling_sum(&sample, 4, x, LEVELS, figures);
    check(&figures[0], x, 0, ELEMENTS, 3);
    check(&figures[1], x, 0, 11, 3);
    check(&figures[3], x, 11, ELEMENTS, 3);
    assert_true(figures[2].batches[0] == 0 && figures[2].floor == 0);
}

/* The same error in every sequence: all floor, no spread. Opposite ones: what a batch of two takes away. */
static void test_ends(void **state)
{
    (void)state;
    float x[ELEMENTS * N];
    size_t first[] = {0, 0, ELEMENTS};
    const dither_scaling_sample sample = {.count = ELEMENTS, .first = first, .factor = 1};
    dither_scaling_figures figures[2];
    for (size_t i = 0; i < ELEMENTS * N; i++)
        x[i] = 2;
    dither_scaling_sum(&sample, 2, x, LEVELS, figures);
    for (size_t level = 0; level < LEVELS; level++)
        assert_true(near(figures[0].batches[level], 4 * ELEMENTS));
    assert_true(near(figures[0].floor, 4 * ELEMENTS) && figures[0].spread < 1e-9);
    for (size_t i = 0; i < ELEMENTS * N; i++)
        x[i] = i % 2 ? 2 : -2;
    dither_scaling_sum(&sample, 2, x, LEVELS, figures);
    assert_true(near(figures[0].batches[0], 4 * ELEMENTS) && figures[0].batches[1] == 0);
    assert_true(figures[0].floor < 0);
}

/* Every element is taken where there is room; else about one in eight, of no one column. */
static void test_sample(void **state)
{
    (void)state;
    enum { ROWS = 400, COLS = 96, ALL = ROWS * COLS };
    dither_gradient_piece pieces[] = {{0, ALL / 2, 1}, {ALL / 2, 1000, 2}, {ALL / 2 + 1000, ALL / 2 - 1000, 1}};
    const dither_gradient_places places = {.count = 3, .pieces = pieces, .piece_count = 3};
    dither_scaling_sample sample;
    assert_int_equal(dither_scaling_sample_init(&sample, &places, ALL, ALL), DITHER_OK);
    assert_int_equal(sample.count, ALL);
    assert_true(sample.factor == 1);
    assert_int_equal(sample.first[1], 0);
    assert_int_equal(sample.first[3] - sample.first[2], 1000);
    assert_int_equal(sample.element[sample.first[2]], ALL / 2);
    dither_scaling_sample_free(&sample);
    assert_int_equal(dither_scaling_sample_init(&sample, &places, ALL, ALL / 8), DITHER_OK);
    assert_true(sample.factor == 8);
    assert_true(fabs((double)sample.count * 8 / ALL - 1) < 0.02);
    size_t column[COLS] = {0};
    for (size_t i = 0; i < sample.count; i++) {
        assert_true(sample.element[i] < ALL);
        column[sample.element[i] % COLS]++;
    }
    for (size_t c = 0; c < COLS; c++) /* 50 are expected, of a binomial whose deviation is below 7 */
        assert_true(column[c] > 50 - 6 * 7 && column[c] < 50 + 6 * 7);
    dither_scaling_sample_free(&sample);
}

static void test_steps(void **state)
{
    (void)state;
    assert_true(near(dither_scaling_step("int8") - dither_scaling_step("int3"), log2(3.0 / 127)));
    assert_true(near(dither_scaling_step("e4m3") - dither_scaling_step("e4m0"), -3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
