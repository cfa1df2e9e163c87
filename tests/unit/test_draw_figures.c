/*
 * Figures of draws: the same as two passes over all draws in plain code, and intervals that hold the truth about as
 * often as they say, for Gaussian errors with and without a bias, many dimensions and few.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "study/draw_figures.h"

enum { DIMS = 48, DRAWS = 64 };

/* Errors of one series of draws: a bias, and noise of a deviation for each coordinate (Box & Muller 1958). */
typedef struct source {
    size_t dims;
    double bias[DIMS], deviation[DIMS];
} source;

static double normal(uint64_t series, size_t draw, size_t dim)
{
    const dither_draw at = {.seed = series, .step = (uint32_t)draw};
    const double u = ((double)dither_draw_u32(&at, 0, 2 * dim) + 0.5) / 4294967296.0;
    const double v = (double)dither_draw_u32(&at, 0, 2 * dim + 1) / 4294967296.0;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void errors_of(const source *from, uint64_t series, size_t draws, double (*e)[DIMS])
{
    for (size_t r = 0; r < draws; r++)
        for (size_t i = 0; i < from->dims; i++)
            e[r][i] = from->bias[i] + from->deviation[i] * normal(series, r, i);
}

static dither_draw_figures figures_of(size_t dims, size_t draws, double (*e)[DIMS])
{
    dither_draw_figures figures = {.draws = 0};
    double total[DIMS] = {0};
    for (size_t r = 0; r < draws; r++) {
        dither_draw_products p = {.tt = 4.0 * (double)dims}; /* t = 2 everywhere */
        for (size_t i = 0; i < dims; i++) {
            const double m = r ? total[i] / (double)r : 0;
            p.ee += e[r][i] * e[r][i];
            p.et += 2 * e[r][i];
            p.em += e[r][i] * m;
            p.mm += m * m;
            total[i] += e[r][i];
        }
        dither_draw_figures_add(&figures, &p);
    }
    return figures;
}

static void make_source(source *from, size_t dims, double bias, double decay)
{
    *from = (source){.dims = dims};
    for (size_t i = 0; i < dims; i++) {
        from->deviation[i] = exp(-decay * (double)i);
        from->bias[i] = bias * (double)(1 + i % 3) / sqrt((double)dims);
    }
}

static void test_two_passes(void **state)
{
    (void)state;
    static double e[DRAWS][DIMS];
    source from;
    make_source(&from, 7, 0.3, 0.2);
    errors_of(&from, 5, 20, e);
    const dither_draw_figures figures = figures_of(7, 20, e);
    double mean[DIMS] = {0}, bias2 = 0, square = 0, spread = 0, cosine = 0;
    for (size_t r = 0; r < 20; r++)
        for (size_t i = 0; i < 7; i++)
            mean[i] += e[r][i] / 20;
    for (size_t i = 0; i < 7; i++)
        bias2 += mean[i] * mean[i];
    for (size_t r = 0; r < 20; r++) {
        double dot = 0, length = 0;
        for (size_t i = 0; i < 7; i++) {
            square += e[r][i] * e[r][i] / 20;
            spread += (e[r][i] - mean[i]) * (e[r][i] - mean[i]) / 19;
            dot += 2 * (2 + e[r][i]);
            length += (2 + e[r][i]) * (2 + e[r][i]);
        }
        cosine += dot / sqrt(28 * length) / 20;
    }
    assert_true(fabs(figures.variance.mean / spread - 1) < 1e-12);
    assert_true(fabs(figures.error2.mean / square - 1) < 1e-12);
    assert_true(fabs(figures.bias2 / (bias2 - spread / 20) - 1) < 1e-10);
    assert_true(fabs(figures.cosine.mean / cosine - 1) < 1e-12);
}

static void test_few(void **state)
{
    (void)state;
    static double e[DRAWS][DIMS];
    source from;
    make_source(&from, 3, 0, 0);
    errors_of(&from, 1, 3, e);
    dither_draw_figures figures = figures_of(3, 1, e);
    assert_true(isnan(dither_draw_figures_bias2(&figures).value));
    figures = figures_of(3, 2, e);
    assert_true(isinf(dither_draw_figures_bias2(&figures).high));
    figures = figures_of(3, 3, e);
    assert_true(isfinite(dither_draw_figures_bias2(&figures).high));
}

static bool holds(dither_interval interval, double truth)
{
    return interval.low <= truth && truth <= interval.high;
}

/* How many of 1000 series have the truth in their intervals. */
static void cover(const source *from, size_t draws, unsigned *bias, unsigned *variance)
{
    static double e[DRAWS][DIMS];
    double bias2 = 0, trace = 0;
    for (size_t i = 0; i < from->dims; i++) {
        bias2 += from->bias[i] * from->bias[i];
        trace += from->deviation[i] * from->deviation[i];
    }
    *bias = *variance = 0;
    for (uint64_t series = 0; series < 1000; series++) {
        errors_of(from, 1000 + series, draws, e);
        const dither_draw_figures figures = figures_of(from->dims, draws, e);
        *bias += holds(dither_draw_figures_bias2(&figures), bias2);
        *variance += holds(dither_running_mean_interval(&figures.variance), trace);
    }
}

static void test_coverage(void **state)
{
    (void)state;
    static const struct {
        size_t dims, draws;
        double bias, decay;
    } cases[] = {{48, 4, 0, 0},   {48, 8, 0, 0},   {48, 32, 0, 0},   {48, 4, 3, 0},    {48, 8, 3, 0},  {48, 32, 3, 0},
                 {48, 8, 0.3, 0}, {48, 8, 0, 0.3}, {48, 32, 0, 0.3}, {48, 32, 1, 0.3}, {48, 4, 0, 0.3}, {2, 8, 0, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        source from;
        unsigned bias, variance;
        make_source(&from, cases[k].dims, cases[k].bias, cases[k].decay);
        cover(&from, cases[k].draws, &bias, &variance);
        /* Student's interval takes means for Gaussian; a variance of few coordinates is skewed. */
        print_message("%2zu coordinates, %2zu draws, bias %g: %u and %u of 1000\n", cases[k].dims, cases[k].draws,
                      cases[k].bias, bias, variance);
        assert_true(bias >= 900 && variance >= (cases[k].dims > 2 && cases[k].decay == 0 ? 930 : 870));
        assert_true(variance <= 980);
    }
}

/* Draws that end once the interval is narrow enough have intervals that are a little too narrow. */
static void test_stopping(void **state)
{
    (void)state;
    static double e[DRAWS][DIMS];
    source from;
    make_source(&from, 48, 0, 0);
    for (int k = 0; k < 3; k++) {
        const double precision = (double[]){0.3, 0.15, 0.08}[k];
        unsigned held = 0;
        size_t taken = 0;
        for (uint64_t series = 0; series < 1000; series++) {
            errors_of(&from, 50000 + series, DRAWS, e);
            dither_interval v;
            size_t draws = 4;
            for (;; draws++) {
                const dither_draw_figures figures = figures_of(48, draws, e);
                v = dither_running_mean_interval(&figures.variance);
                if (v.high - v.value <= precision * v.value || draws == DRAWS)
                    break;
            }
            held += holds(v, 48);
            taken += draws;
        }
        print_message("to %g: %u of 1000 with %.1f draws\n", precision, held, (double)taken / 1000);
        assert_true(held >= 870 && taken < 1000 * DRAWS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_passes),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_stopping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
