/*
 * Bounds of tails against the tails themselves: for n draws of probability p the binomial law is summed up exactly, and
 * at every outcome the bound that belongs to its score is at least the probability of being as far off.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "study/limits.h"

enum { N = 60 };

/* P(S = s) of N draws of probability p. */
static void binomial(double p, double law[N + 1])
{
    for (int s = 0; s <= N; s++)
        law[s] = exp(lgamma(N + 1.0) - lgamma(s + 1.0) - lgamma(N - s + 1.0) + s * log(p) + (N - s) * log1p(-p));
}

/* P(|S - N p| >= |s - N p|) */
static double tail(const double law[N + 1], double p, int s)
{
    double sum = 0.0;
    for (int other = 0; other <= N; other++)
        if (fabs(other - N * p) >= fabs(s - N * p) - 1e-9)
            sum += law[other];
    return sum;
}

static double bound(double score)
{
    return 2.0 * exp(-score * score / 2.0);
}

static void even_draws(void **state)
{
    (void)state;
    double law[N + 1];
    binomial(0.5, law);
    for (int s = 0; s <= N; s++) {
        const double score = dither_score_even((uint64_t)s, N);
        assert_true(tail(law, 0.5, s) <= bound(score) * (1.0 + 1e-9));
        assert_true(fabs(score - dither_score_even((uint64_t)(N - s), N)) < 1e-9);
    }
    /* All alike: 2 2^-N, the tail itself. */
    assert_true(fabs(bound(dither_score_even(N, N)) - 2.0 * exp2(-N)) < 1e-24);
    assert_true(dither_score_even(N / 2, N) == 0.0);
    assert_true(dither_score_even(0, 0) == 0.0);
}

static void any_draws(void **state)
{
    (void)state;
    static const double probabilities[] = {0.5, 0.25, 0.1, 1.0 / 256, 0.9, 255.0 / 256};
    for (size_t i = 0; i < sizeof probabilities / sizeof probabilities[0]; i++) {
        const double p = probabilities[i], variance = p * (1.0 - p);
        double law[N + 1];
        binomial(p, law);
        for (int s = 0; s <= N; s++) {
            assert_true(tail(law, p, s) <= bound(dither_score_sum(s - N * p, N * variance, 1.0)) * (1.0 + 1e-9));
            /* The squares less their mean, of which each is 1 - 2 p times what the draw itself is off by. */
            const double square = (1.0 - 2.0 * p) * (s - N * p);
            const double score = dither_score_sum(square, N * (1.0 - 2.0 * p) * (1.0 - 2.0 * p) * variance, 1.0);
            assert_true(tail(law, p, s) <= bound(score) * (1.0 + 1e-9));
        }
    }
    assert_true(dither_score_sum(0.0, 0.0, 1.0) == 0.0);
    assert_true(dither_score_sum(1.0, 0.0, 1.0) > 0.0);
}

/* Bonferroni: the shares of all tests together are the rate. */
static void shares(void **state)
{
    (void)state;
    assert_true(fabs(bound(dither_limit()) * DITHER_LIMIT_TESTS / DITHER_LIMIT_ALARMS - 1.0) < 1e-9);
    assert_true(dither_limit() > 8.0 && dither_limit() < 9.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_draws),
        cmocka_unit_test(any_draws),
        cmocka_unit_test(shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
