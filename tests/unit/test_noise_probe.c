/*
 * The noise of stochastic rounding as a run measures it: against the variance over many draws, what it leaves alone,
 * when it gives the alarm, and what --auto-batch makes of that.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dither/train.h"
#include "kernel/vector.h"
#include "train/noise_probe.h"
#include "train/step.h"
#include "training.h"

#define BITS(QUANTIZER) \
    "act=bf16,weight=int8/row,bact=" QUANTIZER ",goact=" QUANTIZER ",goweight=" QUANTIZER ",same_weight"

static dither_train_options small_options(const char *name, const char *scheme, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%s", temporary_folder, name);
    dither_train_options options = training_options("layers=2,heads=4,kv_heads=2,dim=32,ffn=48,ctx=24", out);
    options.scheme = scheme;
    options.batch = 2;
    options.accumulate = 2;
    options.steps = 12;
    options.warmup = 3;
    return options;
}

/* ---- against the definition -------------------------------------------------------------------------------- */

static dither_run *open_run(const char *name, const char *scheme)
{
    char out[512];
    dither_error error = {0};
    dither_run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    dither_train_options options = small_options(name, scheme, out, sizeof out);
    if (dither_run_open(run, &options, &error) || dither_run_begin(run, &error))
        fail_msg("%s: %s", scheme, error.text);
    return run;
}

static void close_run(dither_run *run)
{
    dither_run_close(run);
    free(run);
}

/* The gradient of a whole step on the samples from `first` on, with draws of this seed, as dither_step_run makes it. */
static void step_gradient(dither_run *run, uint64_t first, uint64_t seed)
{
    const dither_train_options *o = &run->options;
    const double trained = (double)(o->batch * o->accumulate * o->seq);
    dither_context context = run->context;
    context.clips = context.roles = NULL;
    context.seed = seed;
    assert_int_equal(dither_network_refresh(&run->network, &context, NULL), DITHER_OK);
    for (uint64_t k = 0; k < o->accumulate; k++) {
        double loss;
        context.microbatch = (uint32_t)k;
        context.fresh = k == 0;
        const dither_batch_view view =
            dither_samples_fill(&run->samples, first + k * o->batch, (size_t)o->batch, &run->batch);
        assert_int_equal(dither_network_loss(&run->network, &context, DITHER_HEAD_TRAIN, &view, (float)(1 / trained),
                                             &loss, NULL),
                         DITHER_OK);
    }
}

/* Sum over elements of the variance of that gradient, over `draws` draws. */
static double step_variance(dither_run *run, uint64_t first, int draws)
{
    const size_t n = run->network.elements;
    double *sum = calloc(n, sizeof *sum), squares = 0, mean_square = 0;
    assert_non_null(sum);
    for (int d = 0; d < draws; d++) {
        step_gradient(run, first, 1000 + (uint64_t)d);
        for (size_t i = 0; i < n; i++) {
            const double g = (double)run->network.gradients[i];
            sum[i] += g;
            squares += g * g;
        }
    }
    for (size_t i = 0; i < n; i++)
        mean_square += sum[i] * sum[i] / draws;
    free(sum);
    return (squares - mean_square) / (draws - 1);
}

/*
 * Over the same samples, the mean of many probes and the variance over many draws, and both with one deviation of a few
 * per cent of their own: within 10 %.
 */
static void equals_the_variance_over_draws(void **state)
{
    (void)state;
    enum { STEPS = 6, DRAWS = 60, PROBES = 12 };
    static const char *const schemes[] = {"paper-int8", "int4", "mxfp4", BITS("int3/row:sr"), "paper-e4m1"};
    for (size_t s = 0; s < sizeof schemes / sizeof schemes[0]; s++) {
        char name[32];
        (void)snprintf(name, sizeof name, "draws%zu", s);
        dither_run *run = open_run(name, schemes[s]);
        const dither_train_options *o = &run->options;
        const uint64_t trained = o->batch * o->accumulate * o->seq;
        double wanted = 0;
        dither_rounding_noise noise = {0};
        double variances = 0, tokens_seen = 0;
        for (uint64_t step = 0; step < STEPS; step++) {
            const uint64_t first = step * o->batch * o->accumulate;
            wanted += step_variance(run, first, DRAWS) / STEPS;
            for (uint64_t k = 0; k < o->accumulate; k++)
                for (uint32_t p = 0; p < PROBES; p++) {
                    double variance;
                    uint64_t tokens;
                    run->context.step = 1 + (uint32_t)step * PROBES + p; /* other draws */
                    assert_int_equal(dither_probe_measure(run, first + k * o->batch, 0, &variance, &tokens), DITHER_OK);
                    assert_int_equal(tokens, o->batch * o->seq);
                    dither_rounding_noise_add_probe(&noise, variance, tokens);
                    variances += variance;
                    tokens_seen += (double)tokens;
                }
        }
        const double mean = variances / tokens_seen / (double)trained;
        assert_true(wanted > 0);
        if (fabs(mean / wanted - 1) > 0.1)
            fail_msg("%s: %.4g, but %.4g over draws", schemes[s], mean, wanted);
        assert_true(dither_rounding_noise_of(&noise, trained) > 0);
        close_run(run);
    }
}

/*
 * A role that draws nothing adds nothing; the others' parts are the whole, to first order. With a transform, too, whose
 * signs both operands of a product share: a role alone must not get others.
 */
static void roles_alone(void **state)
{
    (void)state;
    enum { PROBES = 40 };
    static const char *const schemes[] = {BITS("int6/row:sr"), BITS("int6/row:sr") ",rht=8"};
    static const uint32_t masks[] = {0, 1u << DITHER_ROLE_ACT, 1u << DITHER_ROLE_BACT, 1u << DITHER_ROLE_GOACT,
                                     1u << DITHER_ROLE_GOWEIGHT};
    for (size_t s = 0; s < 2; s++) {
        dither_run *run = open_run(s ? "roles_rht" : "roles", schemes[s]);
        double sums[5] = {0};
        for (uint32_t p = 0; p < PROBES; p++)
            for (size_t m = 0; m < 5; m++) {
                double variance;
                uint64_t tokens;
                run->context.step = 1 + p;
                assert_int_equal(dither_probe_measure(run, 0, masks[m], &variance, &tokens), DITHER_OK);
                sums[m] += variance;
            }
        assert_true(sums[0] > 0);
        assert_true(sums[1] < 1e-9 * sums[0]); /* two times one gradient: what is left is the order of f32 sums */
        for (size_t m = 2; m < 5; m++)
            assert_true(sums[m] > 0.01 * sums[0] && sums[m] < sums[0]);
        if (fabs((sums[2] + sums[3] + sums[4]) / sums[0] - 1) > 0.1)
            fail_msg("%s: %g + %g + %g, not %g", schemes[s], sums[2], sums[3], sums[4], sums[0]);
        close_run(run);
    }
}

static void schemes_without_draws_have_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool exists;
    } schemes[] = {
        {"f32", false},
        {"bf16", false},
        {"paper-int8", true},
        {"int4", true},
        {"weight=int8/row:sr,same_weight", false}, /* one draw a step: batch does not help */
        {"act=int8/row:sr", true},
        {"bact=int8/row,goweight=int8/row,rht=16", true},
        {"head.goact=int8/row:sr", true},
        {"act=int8/row,bact=int8/row,goact=int8/row,goweight=int8/row,weight=int8/row", false},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        dither_scheme scheme;
        assert_int_equal(dither_scheme_parse(schemes[i].text, &scheme, NULL), DITHER_OK);
        assert_int_equal(dither_probe_exists(&scheme), schemes[i].exists);
    }
}

/* ---- the running estimate and the alarm -------------------------------------------------------------------- */

static void running_means(void **state)
{
    (void)state;
    dither_rounding_noise noise = {0};
    assert_true(dither_rounding_noise_of(&noise, 10) == 0 && dither_rounding_noise_ratio(&noise, 10) == 0);
    dither_rounding_noise_add_step(&noise, 3);
    dither_rounding_noise_add_probe(&noise, 40, 5); /* 8 a token; the first alone is not pulled to 0 */
    assert_true(fabs(dither_rounding_noise_of(&noise, 4) - 2) < 1e-12);
    assert_true(fabs(dither_rounding_noise_of(&noise, 8) - 1) < 1e-12); /* as 1 / tokens */
    assert_true(fabs(dither_rounding_noise_ratio(&noise, 4) - 2.0 / 7) < 1e-12);
    for (int i = 0; i < 60; i++) {
        dither_rounding_noise_add_probe(&noise, i % 2 ? 30 : 10, i % 2 ? 15 : 5);
        dither_rounding_noise_add_step(&noise, 2);
    }
    assert_true(fabs(dither_rounding_noise_of(&noise, 1) - 2) < 1e-6);
    assert_true(fabs(dither_rounding_noise_ratio(&noise, 1) - 1) < 0.2); /* 2 / (4 - 2); the 9 is not quite gone */
    const dither_rounding_noise buried = {.variance = 9, .tokens = 1, .square = 4, .weight = 1};
    assert_true(isinf(dither_rounding_noise_ratio(&buried, 1)));
}

static bool probe(dither_rounding_noise *noise, double q)
{
    for (int i = 0; i < 200; i++)
        dither_rounding_noise_add_step(noise, sqrt(1 + q)); /* |g| = 1 beside the noise q */
    dither_rounding_noise_add_probe(noise, q, 1);
    return dither_rounding_noise_alarm(noise, 1);
}

static void alarm_once_a_crossing(void **state)
{
    (void)state;
    dither_rounding_noise noise = {0};
    for (int i = 0; i < 20; i++)
        assert_false(probe(&noise, 0.3)); /* below 1/3 */
    assert_false(probe(&noise, 40)); /* one large probe */
    for (int i = 0; i < 40; i++)
        assert_false(probe(&noise, 0.3));
    int given = 0;
    for (int i = 0; i < 20; i++)
        given += probe(&noise, 0.5);
    assert_int_equal(given, 1);
    for (int i = 0; i < 40; i++)
        given += probe(&noise, 0.3); /* between the two bounds: not yet calm */
    for (int i = 0; i < 20; i++)
        given += probe(&noise, 0.5);
    assert_int_equal(given, 1);
    for (int i = 0; i < 40; i++)
        given += probe(&noise, 0.1);
    for (int i = 0; i < 20; i++)
        given += probe(&noise, 2.0);
    assert_int_equal(given, 2);
    assert_true(fabs(dither_rounding_noise_ratio(&noise, 1) - 2) < 0.2);
    const dither_rounding_noise loud = {.variance = 2, .tokens = 1, .square = 3.1, .weight = 1};
    assert_int_equal(dither_rounding_noise_factor(&loud, 1), 6);
    dither_rounding_noise_double(&noise);
    assert_int_equal(noise.doublings, 1);
    assert_true(dither_rounding_noise_ratio(&noise, 2) == 0 && dither_rounding_noise_of(&noise, 2) > 0);
    assert_false(probe(&noise, 2.0));
    assert_false(probe(&noise, 2.0));
    assert_true(probe(&noise, 2.0)); /* three probes of the new batch */
}

static void state_goes_through_json(void **state)
{
    (void)state;
    const dither_rounding_noise noise = {.variance = 0.1, .tokens = 1.0 / 3, .latest = 5e-324, .square = 1e300,
                                .weight = 0x1.fffffffffffffp-1, .below = 2, .alarmed = true, .doublings = 4};
    dither_rounding_noise back;
    dither_error error = {0};
    cJSON *object = dither_rounding_noise_json(&noise);
    char *text = cJSON_PrintUnformatted(object);
    cJSON *parsed = cJSON_Parse(text);
    assert_int_equal(dither_rounding_noise_read(parsed, "x", &back, &error), DITHER_OK);
    assert_true(back.variance == noise.variance && back.tokens == noise.tokens && back.latest == noise.latest &&
                back.square == noise.square && back.weight == noise.weight && back.below == noise.below &&
                back.alarmed == noise.alarmed && back.doublings == noise.doublings);
    static const char *const keys[] = {"variance", "tokens", "latest", "square", "weight", "below", "doublings"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        cJSON_ReplaceItemInObjectCaseSensitive(parsed, keys[i], cJSON_CreateNumber(-1));
        assert_int_equal(dither_rounding_noise_read(parsed, "x", &back, &error), DITHER_E_FORMAT);
        cJSON_ReplaceItemInObjectCaseSensitive(parsed, keys[i], cJSON_CreateNumber(1));
    }
    cJSON_ReplaceItemInObjectCaseSensitive(parsed, "doublings", cJSON_CreateNumber(13));
    assert_int_equal(dither_rounding_noise_read(parsed, "x", &back, &error), DITHER_E_FORMAT);
    cJSON_DeleteItemFromObjectCaseSensitive(parsed, "below");
    assert_int_equal(dither_rounding_noise_read(parsed, "x", &back, &error), DITHER_E_FORMAT);
    assert_int_equal(dither_rounding_noise_read(NULL, "x", &back, &error), DITHER_OK); /* an older checkpoint */
    assert_true(back.doublings == 0 && back.tokens == 0);
    cJSON_free(text);
    cJSON_Delete(parsed);
    cJSON_Delete(object);
}

/* ---- whole runs -------------------------------------------------------------------------------------------- */

static void assert_same_file(const char *a, const char *b, const char *name)
{
    size_t size_a, size_b;
    unsigned char *x = temporary_read(temporary_path(a, name), &size_a);
    unsigned char *y = temporary_read(temporary_path(b, name), &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(x, y, size_a);
    free(x);
    free(y);
}

enum { STEPS_KEPT = 160 };

/* What a run reported. */
typedef struct report {
    size_t notices;
    double noise[STEPS_KEPT], ratio[STEPS_KEPT], probe[STEPS_KEPT];
    uint64_t accumulate[STEPS_KEPT];
    dither_clips roles[STEPS_KEPT][DITHER_ROLES];
    char text[1024];
} report;

static void keep(void *context, const dither_event *event)
{
    report *r = context;
    if (event->kind == DITHER_EVENT_NOTICE) {
        (void)snprintf(r->text, sizeof r->text, "%s", event->text);
        r->notices++;
    }
    if (event->kind != DITHER_EVENT_STEP || event->step >= STEPS_KEPT)
        return;
    r->noise[event->step] = event->noise;
    r->ratio[event->step] = event->noise_ratio;
    r->probe[event->step] = event->noise_probe;
    r->accumulate[event->step] = event->accumulate;
    memcpy(r->roles[event->step], event->roles, sizeof r->roles[0]);
}

static void train(const dither_train_options *options, report *r)
{
    dither_error error = {0};
    static report unread;
    *(r ? r : &unread) = (report){0};
    if (dither_train(options, keep, r ? r : &unread, NULL, &error))
        fail_msg("%s: %s", options->out, error.text);
}

static void probes_change_no_weight(void **state)
{
    (void)state;
    static const char *const schemes[] = {"paper-int8", "int8", "mxfp4", "act=int8/row:sr,weight=int8/row:sr"};
    for (size_t s = 0; s < 4; s++) {
        char without[512], with[512], name[32];
        (void)snprintf(name, sizeof name, "off%zu", s);
        dither_train_options options = small_options(name, schemes[s], without, sizeof without);
        report r;
        options.noise_every = 0;
        train(&options, &r);
        assert_true(r.noise[12] == 0);
        (void)snprintf(name, sizeof name, "on%zu", s);
        options = small_options(name, schemes[s], with, sizeof with);
        options.noise_every = 2;
        train(&options, &r);
        assert_true(r.noise[1] == 0 && r.noise[2] > 0 && r.noise[12] > 0 && r.ratio[12] > 0);
        assert_true(r.noise[3] == r.noise[2] && r.noise[4] != r.noise[2]);
        assert_true(fabs(r.probe[2] / r.noise[2] - 1) < 1e-12 && r.probe[3] == 0 && r.probe[4] > 0);
        assert_true(r.probe[4] != r.noise[4]);
        assert_same_file(without, with, "model.safetensors");
    }
}

static void roles_are_reported(void **state)
{
    (void)state;
    char out[512];
    dither_train_options options = small_options("by_role", "paper-int8", out, sizeof out);
    report r[2];
    train(&options, &r[0]);
    options = small_options("by_role_threads", "paper-int8", out, sizeof out);
    options.threads = 3;
    train(&options, &r[1]);
    const dither_clips *roles = r[0].roles[5];
    for (int role = 0; role < DITHER_ROLES; role++) {
        const bool shared = role == DITHER_ROLE_BWEIGHT; /* same_weight */
        const bool rounds = role == DITHER_ROLE_BACT || role == DITHER_ROLE_GOACT || role == DITHER_ROLE_GOWEIGHT;
        assert_int_equal(roles[role].elements > 0, !shared);
        assert_int_equal(roles[role].clipped, 0);
        assert_int_equal(roles[role].square > 0, rounds);
        /* int8: D is a 127th of the row's largest; uniform f would give D^2 / 6. */
        if (rounds)
            assert_true(roles[role].variance > 0 && roles[role].variance < 1e-3 * roles[role].square);
    }
    for (uint64_t step = 1; step <= options.steps; step++)
        assert_memory_equal(r[0].roles[step], r[1].roles[step], sizeof r[0].roles[step]);
}

/* The same figures and the same bytes for any number of threads, stopped and resumed, with the batch growing. */
static void threads_and_resuming_do_not_show(void **state)
{
    (void)state;
    char whole[512], other[512];
    static report r, again;
    dither_train_options options = small_options("auto", BITS("int2/row:sr"), whole, sizeof whole);
    options.batch = options.accumulate = 1;
    options.steps = 30;
    options.noise_every = 2;
    options.auto_batch = true;
    options.auto_batch_max = 4;
    train(&options, &r);
    assert_int_equal(r.accumulate[1], 1);
    assert_int_equal(r.accumulate[30], 4); /* and no further */
    assert_true(r.notices >= 2);
    options.threads = 3;
    (void)snprintf(other, sizeof other, "%s/auto_threads", temporary_folder);
    options.out = other;
    train(&options, &again);
    assert_memory_equal(&r, &again, sizeof r);
    assert_same_file(whole, other, "model.safetensors");
    assert_same_file(whole, other, "state/checkpoint.safetensors");
    (void)snprintf(other, sizeof other, "%s/auto_parts", temporary_folder);
    options.resume = true;
    for (uint64_t stop = 5; stop <= 30; stop += 5) {
        options.stop_at = stop;
        train(&options, &again);
        assert_true(again.noise[stop] == r.noise[stop] && again.accumulate[stop] == r.accumulate[stop]);
    }
    assert_same_file(whole, other, "model.safetensors");
    assert_same_file(whole, other, "state/checkpoint.safetensors");
}

static dither_batch_view samples_batch(dither_run *run, uint64_t sample)
{
    return dither_samples_fill(&run->samples, sample, (size_t)run->options.batch, &run->batch);
}

static void take_step(dither_run *run)
{
    dither_step_result result;
    assert_int_equal(dither_step_run(run, samples_batch, dither_step_tokens(run), &result, NULL), DITHER_OK);
}

/* Doubled micro-batches draw the samples that follow, each once, and probes keep their cost. */
static void doubling_goes_on_with_the_samples(void **state)
{
    (void)state;
    dither_run *run = open_run("samples", "paper-int8");
    assert_int_equal(dither_step_accumulate(run), 2);
    assert_int_equal(dither_step_sample(run), 0);
    assert_int_equal(dither_probe_interval(run), 128);
    take_step(run);
    assert_int_equal(dither_step_sample(run), 2 * 2);
    run->noise.doublings = 2;
    assert_int_equal(dither_step_accumulate(run), 8);
    assert_int_equal(dither_step_tokens(run), 2 * 8 * 24);
    take_step(run);
    assert_int_equal(dither_step_sample(run), 2 * 2 + 2 * 8);
    assert_int_equal(dither_probe_interval(run), 32);
    run->noise.doublings = 9;
    assert_int_equal(dither_probe_interval(run), 1);
    run->options.noise_every = 7;
    assert_int_equal(dither_probe_interval(run), 7);
    close_run(run);
}

static void alarm_at_three_bits_not_at_eight(void **state)
{
    (void)state;
    char out[512];
    static report r;
    dither_train_options options = small_options("three", BITS("int3/row:sr"), out, sizeof out);
    options.batch = options.accumulate = 1;
    options.steps = 150;
    options.schedule = DITHER_SCHEDULE_CONSTANT;
    options.lr = 2e-3;
    options.noise_every = 3;
    train(&options, &r);
    assert_true(r.notices >= 1);
    assert_non_null(strstr(r.text, "sqrt(3)"));
    assert_non_null(strstr(r.text, "int3/row:sr"));
    assert_non_null(strstr(r.text, "--accumulate "));
    options = small_options("eight", BITS("int8/row:sr"), out, sizeof out);
    options.batch = 16;
    options.accumulate = 1;
    options.steps = 150;
    options.schedule = DITHER_SCHEDULE_CONSTANT;
    options.lr = 2e-3;
    options.noise_every = 3;
    train(&options, &r);
    assert_int_equal(r.notices, 0);
    assert_true(r.ratio[150] > 0 && r.ratio[150] < 0.05);
}

static void refused(void **state)
{
    (void)state;
    char out[512];
    dither_error error = {0};
    dither_train_options options = small_options("refused", "f32", out, sizeof out);
    options.auto_batch = true;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_E_USAGE);
    assert_non_null(strstr(error.text, "f32"));
    options.scheme = "paper-int8";
    options.noise_every = 0;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_E_USAGE);
    assert_non_null(strstr(error.text, "--noise-every"));
    options.noise_every = DITHER_NOISE_EVERY_AUTO;
    options.auto_batch_max = 0;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_variance_over_draws),
        cmocka_unit_test(roles_alone),
        cmocka_unit_test(schemes_without_draws_have_none),
        cmocka_unit_test(running_means),
        cmocka_unit_test(alarm_once_a_crossing),
        cmocka_unit_test(state_goes_through_json),
        cmocka_unit_test(probes_change_no_weight),
        cmocka_unit_test(roles_are_reported),
        cmocka_unit_test(threads_and_resuming_do_not_show),
        cmocka_unit_test(doubling_goes_on_with_the_samples),
        cmocka_unit_test(alarm_at_three_bits_not_at_eight),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, training_setup, temporary_teardown);
}
