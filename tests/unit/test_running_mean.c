/*
 * The running mean against two passes in plain code; quantiles of Student's t against the definition: its density,
 * integrated from the quantile's mirror image to the quantile, is 0.95.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "study/running_mean.h"

static void test_mean(void **state)
{
    (void)state;
    const double x[] = {3, 1e6 + 1, 1e6 - 4, 7.5, -2, 1e6};
    const size_t n = sizeof x / sizeof x[0];
    dither_running_mean running = {0};
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        dither_running_mean_add(&running, x[i]);
        sum += x[i];
    }
    for (size_t i = 0; i < n; i++)
        square += (x[i] - sum / 6) * (x[i] - sum / 6);
    assert_true(fabs(running.mean - sum / 6) < 1e-9);
    assert_true(fabs(running.square / square - 1) < 1e-12);
    const dither_interval interval = dither_running_mean_interval(&running);
    const double half = 2.570582 * sqrt(square / 30);
    assert_true(fabs(interval.high - (sum / 6 + half)) < 1e-6 * half);
    assert_true(fabs(interval.low - (sum / 6 - half)) < 1e-6 * half);
}

static void test_few(void **state)
{
    (void)state;
    dither_running_mean running = {0};
    assert_true(isnan(dither_running_mean_interval(&running).value));
    dither_running_mean_add(&running, 2);
    const dither_interval once = dither_running_mean_interval(&running);
    assert_true(once.value == 2 && once.low == -INFINITY && once.high == INFINITY);
    dither_running_mean_add(&running, 2);
    const dither_interval exact = dither_running_mean_interval(&running);
    assert_true(exact.value == 2 && exact.low == 2 && exact.high == 2);
}

/* Simpson's rule on the density; x = sqrt(n) tan(angle) takes its tails to a finite place: the density becomes
 * cos(angle)^(n-1) up to a factor. */
static double inside(uint64_t degrees, double t)
{
    enum { STEPS = 20000 };
    const double n = (double)degrees, angle = atan(t / sqrt(n)), right = acos(0.0);
    double part[2] = {0, 0};
    const double end[] = {angle, right};
    for (int k = 0; k < 2; k++) {
        const double h = end[k] / STEPS;
        for (int i = 0; i <= STEPS; i++) {
            const double weight = i == 0 || i == STEPS ? 1 : i % 2 ? 4 : 2;
            const double cosine = cos(i * h);
            part[k] += weight * h / 3 * (n == 1 ? 1 : pow(cosine > 0 ? cosine : 0, n - 1));
        }
    }
    return part[0] / part[1];
}

static void test_student(void **state)
{
    (void)state;
    for (uint64_t degrees = 1; degrees <= 60; degrees++) {
        /* The probability moves by the density times what the quantile is off: 1e-5 relative allows less than 1e-5. */
        assert_true(fabs(inside(degrees, dither_student_t(degrees)) - 0.95) < 2e-6);
        assert_true(dither_student_t(degrees + 1) < dither_student_t(degrees));
    }
    assert_true(fabs(dither_student_t(1000000) - 1.959966) < 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_student),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
