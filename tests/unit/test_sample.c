/*
 * The laws of sampling: each candidate has exactly the share of the random numbers that its probability says, found by
 * enumeration on small vocabularies and by a restatement in double.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/sample.h"

enum { MOST = 6000 };

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

typedef struct likely {
    double logit;
    size_t id;
} likely;

static int by_logit(const void *a, const void *b)
{
    const likely *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit ? 1 : -1) : x->id < y->id ? -1 : 1;
}

/* Probabilities as the header says them, by sorting everything. @param p  [vocab], written */
static void restate(const dither_sampling *s, size_t vocab, const float *logits, const uint32_t *recent, size_t count,
                    double *p)
{
    likely *all = calloc(vocab, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < vocab; i++) {
        bool seen = false;
        for (size_t k = 0; k < count; k++)
            seen = seen || recent[k] == i;
        double logit = (double)logits[i];
        if (seen && s->repeat_penalty > 0)
            logit = logit > 0 ? logit / s->repeat_penalty : logit * s->repeat_penalty;
        all[i] = (likely){(double)(float)logit, i};
        p[i] = 0;
    }
    qsort(all, vocab, sizeof *all, by_logit);
    size_t kept = s->top_k && s->top_k < vocab ? s->top_k : vocab;
    double mass = 0, sum = 0, left = 0;
    for (size_t i = 0; i < kept; i++)
        mass += exp((all[i].logit - all[0].logit) / s->temperature);
    if (s->top_p > 0 && s->top_p < 1) {
        size_t n = 0;
        while (n < kept && (n == 0 || sum < s->top_p * mass))
            sum += exp((all[n++].logit - all[0].logit) / s->temperature);
        kept = n;
    }
    for (size_t i = 0; i < kept; i++)
        if (i == 0 || exp((all[i].logit - all[0].logit) / s->temperature) >= s->min_p)
            left += p[all[i].id] = exp((all[i].logit - all[0].logit) / s->temperature);
    for (size_t i = 0; i < vocab; i++)
        p[i] /= left;
    free(all);
}

/* Each exponent has f32's error of its argument, each sum that of its terms: some units in the sixth decimal. */
static void check(const dither_sampling *s, size_t vocab, const float *logits, const uint32_t *recent, size_t count)
{
    static double expected[MOST], share[MOST];
    dither_sample sample;
    assert_int_equal(dither_sample_open(&sample, vocab, NULL), DITHER_OK);
    dither_sample_candidates(&sample, s, logits, recent, count);
    restate(s, vocab, logits, recent, count, expected);
    memset(share, 0, sizeof share);
    double sum = 0;
    for (size_t i = 0; i < sample.count; i++) {
        assert_true(sample.candidates[i].id < vocab && share[sample.candidates[i].id] == 0); /* each once */
        share[sample.candidates[i].id] = (double)sample.candidates[i].weight / sample.sum;
        sum += (double)sample.candidates[i].weight;
    }
    assert_true(fabs(sum - sample.sum) <= 1e-12 * sum);
    for (size_t i = 0; i < vocab; i++)
        if (!(fabs(share[i] - expected[i]) <= 2e-5 * expected[i] + 1e-30))
            fail_msg("T %g k %zu p %g m %g of %zu: token %zu has %g where %g is right", s->temperature, s->top_k,
                     s->top_p, s->min_p, vocab, i, share[i], expected[i]);
    dither_sample_close(&sample);
}

static void every_law_on_many_vocabularies(void **state)
{
    (void)state;
    const dither_sampling laws[] = {
        {.temperature = 1},
        {.temperature = 0.7, .top_k = 5},
        {.temperature = 1.3, .top_k = 1},
        {.temperature = 1, .top_p = 0.5},
        {.temperature = 1, .top_p = 0.999},
        {.temperature = 2, .top_p = 0.9, .top_k = 40},
        {.temperature = 1, .min_p = 0.05},
        {.temperature = 0.5, .min_p = 1},
        {.temperature = 1, .top_p = 0.95, .min_p = 0.1},
        {.temperature = 1.5, .top_k = 20, .min_p = 0.3, .top_p = 0.99},
        {.temperature = 1, .repeat_penalty = 1.3},
        {.temperature = 0.8, .repeat_penalty = 2, .top_k = 10, .top_p = 0.8},
        {.temperature = 1, .top_k = 1000000},
        {.temperature = 1, .top_p = 1, .repeat_penalty = 1},
        {.temperature = 50, .top_p = 0.5},
    };
    const size_t vocabs[] = {1, 2, 3, 17, 256, 4097, MOST};
    static float logits[MOST];
    uint32_t random = 5, recent[30];
    for (size_t v = 0; v < sizeof vocabs / sizeof vocabs[0]; v++)
        for (size_t k = 0; k < sizeof laws / sizeof laws[0]; k++) {
            for (size_t i = 0; i < vocabs[v]; i++) /* apart, so that no two stand at a border by rounding */
                logits[i] = ((float)(next(&random) % 4096) + (float)i / MOST) / 200 - 10;
            for (size_t i = 0; i < 30; i++)
                recent[i] = next(&random) % (uint32_t)vocabs[v]; /* some of them twice */
            check(&laws[k], vocabs[v], logits, recent, 30);
        }
}

/*
 * Of the 2^32 numbers that a draw can be, each candidate gets a run: its borders are found by bisection, and its length
 * is its probability to a number or two (the borders are rounded, and f32's share of the weights is given).
 */
static void a_draw_gives_each_its_share(void **state)
{
    (void)state;
    const float logits[] = {1, -2, 0.5f, 3, 2.9f, -40};
    const size_t vocab = sizeof logits / sizeof logits[0];
    const dither_sampling s = {.temperature = 1, .top_k = 5};
    dither_sample sample;
    assert_int_equal(dither_sample_open(&sample, vocab, NULL), DITHER_OK);
    dither_sample_candidates(&sample, &s, logits, NULL, 0);
    assert_int_equal(sample.count, 5);
    uint64_t begin = 0;
    for (size_t i = 0; i < sample.count; i++) {
        uint64_t low = begin, high = (uint64_t)1 << 32; /* the last that still gives i is before high */
        while (low < high) {
            const uint64_t middle = low + (high - low) / 2;
            const double u = ((double)middle + 0.5) / 4294967296.0;
            bool still = false;
            for (size_t k = 0; k <= i; k++)
                still = still || dither_sample_choose(&sample, u) == sample.candidates[k].id;
            if (still)
                low = middle + 1;
            else
                high = middle;
        }
        const double wanted = (double)sample.candidates[i].weight / sample.sum * 4294967296.0;
        assert_true(fabs((double)(low - begin) - wanted) <= 2);
        begin = low;
    }
    assert_true(begin == (uint64_t)1 << 32);
    dither_sample_close(&sample);
}

static void nothing_random_is_the_likeliest(void **state)
{
    (void)state;
    float logits[100] = {0};
    dither_sample sample;
    assert_int_equal(dither_sample_open(&sample, 100, NULL), DITHER_OK);
    const dither_sampling greedy = {.temperature = 0, .top_k = 3};
    for (size_t i = 0; i < 100; i++) {
        logits[i] = 5;
        logits[99] = 5; /* of equals the first */
        dither_sample_candidates(&sample, &greedy, logits, NULL, 0);
        assert_int_equal(sample.count, 1);
        assert_int_equal(dither_sample_choose(&sample, 0.999), i);
        const dither_sampling first = {.temperature = 0.9, .top_k = 1};
        dither_sample_candidates(&sample, &first, logits, NULL, 0);
        assert_int_equal(dither_sample_choose(&sample, 0.999), i);
        logits[i] = 0;
    }
    logits[3] = logits[50] = 4; /* as likely as the likeliest is enough for a min_p of 1 */
    const dither_sampling alike = {.temperature = 0.9, .top_k = 60, .min_p = 1};
    dither_sample_candidates(&sample, &alike, logits, NULL, 0);
    assert_int_equal(sample.count, 2);
    assert_int_equal(sample.candidates[1].id, 50);
    logits[3] = logits[50] = 0;
    logits[7] = 2, logits[8] = 1.5f;
    const dither_sampling penalized = {.temperature = 0, .repeat_penalty = 1.5};
    const uint32_t recent[] = {7, 7, 3};
    dither_sample_candidates(&sample, &penalized, logits, recent, 3);
    assert_int_equal(dither_sample_choose(&sample, 0.5), 8);
    dither_sample_close(&sample);
}

/* Huge logits and tiny temperatures overflow nothing. */
static void extremes_stay_numbers(void **state)
{
    (void)state;
    const float logits[] = {-3e38f, 3e38f, 2.9e38f, 0, 3e38f};
    const double temperatures[] = {1e-300, 1e-6, 1, 1e30};
    for (size_t t = 0; t < 4; t++) {
        const dither_sampling s = {.temperature = temperatures[t], .top_p = 0.9};
        dither_sample sample;
        assert_int_equal(dither_sample_open(&sample, 5, NULL), DITHER_OK);
        dither_sample_candidates(&sample, &s, logits, NULL, 0);
        assert_true(sample.count >= 2 && isfinite(sample.sum));
        assert_int_equal(sample.candidates[0].id, 1);
        assert_int_equal(sample.candidates[1].id, 4);
        dither_sample_close(&sample);
    }
}

static void numbers_out_of_range_are_named(void **state)
{
    (void)state;
    const dither_sampling wrong[] = {{.temperature = -1}, {.temperature = (double)NAN}, {.top_p = 1.5}, {.min_p = -0.1},
                                     {.repeat_penalty = -2}, {.temperature = (double)INFINITY}};
    const char *const names[] = {"temperature", "temperature", "top_p", "min_p", "repeat_penalty", "temperature"};
    for (size_t i = 0; i < 6; i++) {
        dither_error error = {.text = ""};
        assert_int_equal(dither_sampling_check(&wrong[i], &error), DITHER_E_USAGE);
        assert_string_equal(error.where, names[i]);
    }
    const dither_sampling right = {.temperature = 1, .top_p = 1, .min_p = 1, .repeat_penalty = 1.1};
    assert_int_equal(dither_sampling_check(&right, NULL), DITHER_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_law_on_many_vocabularies),
        cmocka_unit_test(a_draw_gives_each_its_share),
        cmocka_unit_test(nothing_random_is_the_likeliest),
        cmocka_unit_test(extremes_stay_numbers),
        cmocka_unit_test(numbers_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
