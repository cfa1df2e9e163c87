/*
 * Noise of gradients against brute force: the gradients of many draws, one by one, by the portable kernels, their means
 * and squares in plain code. Everything has a fixed seed: what is within an interval here stays there.
 */
#include "gradient_fixture.h"
#include "study/gradient_sums.h"
#include "study/noise_options.h"
#include "study/scheme_part.h"
#include "temporary.h"

enum { SEQ = 16, MANY = 500 };

static char folder[256], model[300], text[300];
static const char *data[1];

static int set_up(void **state)
{
    (void)state;
    temporary_create(folder);
    (void)snprintf(model, sizeof model, "%s/model", folder);
    (void)snprintf(text, sizeof text, "%s/text.txt", folder);
    FILE *file = fopen(text, "w");
    if (!file)
        return -1;
    for (unsigned i = 0; i < 300; i++)
        fprintf(file, "%u times %u is %u\n", i % 13, i % 7, i % 13 * (i % 7));
    if (fclose(file))
        return -1;
    data[0] = text;
    dither_train_options options;
    dither_train_options_init(&options);
    options.new_model = "layers=1,heads=2,kv_heads=1,dim=16,ffn=24,ctx=16";
    options.data = data;
    options.data_count = 1;
    options.out = model;
    options.steps = 20;
    options.lr = 0.01;
    options.batch = 4;
    options.threads = 1;
    return dither_train(&options, NULL, NULL, NULL, NULL) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    temporary_remove(folder);
    return 0;
}

static dither_noise_options options_of(const char *scheme, const uint64_t *batches, size_t count)
{
    dither_noise_options options;
    dither_noise_options_init(&options);
    options.model = model;
    options.data = data;
    options.data_count = 1;
    options.scheme = scheme;
    options.batches = batches;
    options.batch_count = count;
    options.precision = 0;
    options.threads = 1;
    return options;
}

static dither_noise *measured(const dither_noise_options *options)
{
    dither_noise *noise;
    dither_error error = {.text = ""};
    const dither_status status = dither_noise_measure(options, &noise, NULL, NULL, NULL, &error);
    if (status)
        print_message("%s\n", error.text);
    assert_int_equal(status, DITHER_OK);
    return noise;
}

/* ---- brute force ------------------------------------------------------------------------------------------- */

/* The same model and sequences, and gradients of one draw after another. */
typedef struct brute {
    dither_run run;
    dither_gradient gradient;
    dither_scheme scheme, f32;
    uint32_t ids[SEQ], targets[SEQ], window[SEQ + 1];
    size_t elements;
    double *truth, *mean, *square; /* [elements] */
} brute;

static void brute_open(brute *b, const char *scheme)
{
    static const uint64_t one[] = {1};
    dither_noise_options options = options_of(scheme, one, 1);
    dither_error error;
    *b = (brute){.scheme = fixture_scheme(scheme), .f32 = fixture_scheme("f32")};
    assert_int_equal(dither_noise_options_open(&options, &b->run, &error), DITHER_OK);
    const dither_scheme schemes[] = {b->scheme, b->f32};
    const dither_gradient_request request = {.config = &b->run.config, .schemes = schemes, .scheme_count = 2,
                                             .batch = 1, .seq = SEQ, .blocks = 1, .seed = 99, .threads = 1};
    assert_int_equal(dither_gradient_open(&b->gradient, &request, &error), DITHER_OK);
    assert_int_equal(dither_gradient_load(&b->gradient, model, &error), DITHER_OK);
    b->elements = b->gradient.network.elements;
    b->truth = calloc(b->elements, sizeof(double));
    b->mean = calloc(b->elements, sizeof(double));
    b->square = calloc(b->elements, sizeof(double));
    assert_true(b->truth && b->mean && b->square);
}

static void brute_close(brute *b)
{
    dither_gradient_close(&b->gradient);
    dither_run_close(&b->run);
    free(b->truth);
    free(b->mean);
    free(b->square);
}

/* The gradient of sequences first .. first + count - 1, each quantized by itself, in the gradient's block. */
static const float *brute_draw(brute *b, uint64_t first, uint64_t count, uint32_t draw)
{
    const dither_batch_buffers buffers = {.ids = b->ids, .targets = b->targets, .window = b->window};
    float *const block = b->gradient.block[0];
    for (uint64_t i = 0; i < count; i++) {
        const dither_batch_view view = dither_samples_fill(&b->run.samples, first + i, 1, &buffers);
        const dither_gradient_draw at = {draw, (uint32_t)i};
        assert_int_equal(dither_gradient_add(&b->gradient, &view, at, (float)(1.0 / (double)(count * SEQ)), i == 0,
                                             block, NULL, NULL), DITHER_OK);
    }
    return block;
}

static void brute_scheme(brute *b, const dither_scheme *scheme)
{
    assert_int_equal(dither_gradient_scheme(&b->gradient, scheme, NULL), DITHER_OK);
}

static void brute_truth(brute *b, uint64_t first, uint64_t count)
{
    brute_scheme(b, &b->f32);
    const float *const g = brute_draw(b, first, count, 0);
    for (size_t i = 0; i < b->elements; i++)
        b->truth[i] = (double)g[i];
}

static void brute_moments(brute *b, const dither_scheme *scheme, uint64_t first, uint64_t count, uint32_t draws)
{
    memset(b->mean, 0, b->elements * sizeof(double));
    memset(b->square, 0, b->elements * sizeof(double));
    brute_truth(b, first, count);
    brute_scheme(b, scheme);
    for (uint32_t r = 0; r < draws; r++) {
        const float *const g = brute_draw(b, first, count, 1 + r);
        for (size_t i = 0; i < b->elements; i++) {
            const double error = (double)g[i] - b->truth[i];
            b->mean[i] += error / draws;
            b->square[i] += error * error / draws;
        }
    }
}

/* Of the elements of a parameter's place; 0: of all. The block's gaps are 0. */
static void brute_figures(const brute *b, size_t place, uint32_t draws, double *bias2, double *variance, double *norm2)
{
    const dither_network *net = &b->gradient.network;
    *bias2 = *variance = *norm2 = 0;
    for (size_t k = 0; k < net->table_count; k++) {
        const dither_parameter *row = &net->table[k];
        const size_t at = row->layer == 0 ? 2 : row->role == DITHER_PARAMETER_EMBEDDING ? 1 : 3;
        for (size_t i = row->offset; i < row->offset + row->rows * row->cols && (!place || at == place); i++) {
            *bias2 += b->mean[i] * b->mean[i];
            *variance += b->square[i] - b->mean[i] * b->mean[i];
            *norm2 += b->truth[i] * b->truth[i];
        }
    }
    *variance *= draws / (draws - 1.0);
    *bias2 -= *variance / draws;
}

/* Brute force is known no better than its own draws allow: half of the interval again. */
static void is_near(dither_interval interval, double truth)
{
    const double half = (interval.high - interval.low) / 2;
    if (!(fabs(interval.value - truth) <= 1.5 * half))
        print_message("%g +- %g, but brute force says %g\n", interval.value, half, truth);
    assert_true(fabs(interval.value - truth) <= 1.5 * half);
}

static brute b;

static const char backward_sr[] = "bact=int4/row:sr,goact=int4/row:sr,goweight=int4/row:sr";
static const char backward_rne[] = "bact=int4/row,goact=int4/row,goweight=int4/row";

/* Bias and variance of the whole and of each role, by place. */
static void test_brute_force(void **state)
{
    (void)state;
    static const uint64_t batches[] = {2};
    static const char scheme[] = "act=int8/row,weight=int4/row,bact=int4/row:sr,goact=int4/row:sr,goweight=int4/row:sr,"
                                 "same_weight";
    dither_noise_options options = options_of(scheme, batches, 1);
    options.draws = 64;
    dither_noise *noise = measured(&options);
    assert_int_equal(noise->place_count, 4);
    brute_open(&b, scheme);
    static const size_t parts[] = {0, 1 + DITHER_ROLE_BACT, 1 + DITHER_ROLE_GOACT, 1 + DITHER_ROLE_GOWEIGHT};
    for (size_t k = 0; k < 4; k++) {
        const dither_scheme part = dither_scheme_part(&b.scheme, parts[k]);
        brute_moments(&b, &part, 0, 2, MANY);
        for (size_t place = 0; place < 4; place++) {
            double bias2, variance, norm2;
            brute_figures(&b, place, MANY, &bias2, &variance, &norm2);
            const dither_noise_cell *cell = dither_noise_at(noise, 0, parts[k], place);
            assert_true(fabs(noise->norm2[place] / norm2 - 1) < 1e-12);
            if (variance == 0) { /* nothing random reaches it */
                assert_true(cell->variance.value == 0);
                continue;
            }
            is_near(cell->variance, variance);
            is_near(cell->bias2, bias2);
            is_near(cell->error2, bias2 + variance);
        }
        assert_int_equal(noise->counts[parts[k]].draws, 64);
    }
    /* What is rounded to nearest is exact with one draw. */
    for (size_t role = DITHER_ROLE_ACT; role <= DITHER_ROLE_WEIGHT; role++) {
        const dither_scheme part = dither_scheme_part(&b.scheme, 1 + role);
        brute_moments(&b, &part, 0, 2, 2);
        double bias2, variance, norm2;
        brute_figures(&b, 0, 2, &bias2, &variance, &norm2);
        const dither_noise_cell *cell = dither_noise_at(noise, 0, 1 + role, 0);
        assert_true(fabs(cell->bias2.value / bias2 - 1) < 1e-9 && cell->bias2.low == cell->bias2.high);
        assert_true(cell->variance.value == 0 && variance < 1e-12 * bias2);
        assert_int_equal(noise->counts[1 + role].draws, 1);
    }
    brute_close(&b);
    dither_noise_free(noise);
}

/* Sequences that are quantized by themselves: the variance of a batch is the sum of theirs, over b^2. */
static void test_batches(void **state)
{
    (void)state;
    static const uint64_t batches[] = {1, 2, 4};
    dither_noise_options options = options_of(backward_sr, batches, 3);
    options.draws = 96;
    options.parts = 1u << DITHER_NOISE_WHOLE;
    dither_noise *noise = measured(&options);
    brute_open(&b, backward_sr);
    double sum = 0, bias2, variance, norm2;
    for (uint64_t i = 0; i < 4; i++) {
        brute_moments(&b, &b.scheme, i, 1, 400);
        brute_figures(&b, 0, 400, &bias2, &variance, &norm2);
        sum += variance;
        const double n = (double)(i + 1);
        if (i != 2)
            is_near(dither_noise_at(noise, i == 3 ? 2 : i, 0, 0)->variance, sum / (n * n));
        if (i == 0) /* as far as its own draws can tell, there is no bias */
            assert_true(fabs(bias2) < 0.05 * variance);
    }
    is_near(dither_noise_per_sample(noise, 0, 0), sum / 4);
    for (size_t i = 0; i < 3; i++)
        assert_true(dither_noise_at(noise, i, 0, 0)->bias2.low <= 0);
    assert_true(isnan(dither_noise_at(noise, 0, 1 + DITHER_ROLE_BACT, 0)->bias2.value)); /* not asked for */
    brute_close(&b);
    dither_noise_free(noise);
}

/* To nearest there is a bias, of which a larger batch does not take away what it takes of the variance. */
static void test_nearest(void **state)
{
    (void)state;
    static const uint64_t batches[] = {1, 8};
    const dither_noise_options options = options_of(backward_rne, batches, 2);
    dither_noise *noise = measured(&options);
    const dither_noise_options random = options_of(backward_sr, batches, 2);
    dither_noise *unbiased = measured(&random);
    for (size_t i = 0; i < 2; i++) {
        const dither_noise_cell *nearest = dither_noise_at(noise, i, 0, 0), *sr = dither_noise_at(unbiased, i, 0, 0);
        assert_true(nearest->bias2.low == nearest->bias2.value && nearest->variance.value == 0);
        assert_true(nearest->bias2.value > sr->bias2.high && sr->bias2.low <= 0);
        assert_int_equal(noise->counts[i * DITHER_NOISE_PARTS].draws, 1);
    }
    char caveat[DITHER_NOISE_CAVEAT];
    assert_true(dither_noise_caveat(&noise->scheme, 2, caveat));
    assert_string_equal(caveat, "goweight=int4/row rounds to nearest in the backward pass: a bias that does not fall "
                                "with the batch");
    assert_false(dither_noise_caveat(&noise->scheme, 3, caveat));
    assert_false(dither_noise_caveat(&unbiased->scheme, 0, caveat));
    dither_noise_free(noise);
    dither_noise_free(unbiased);
}

/* s2 of plain code: squared distances of each sequence's gradient from the mean of all. */
static void test_sampling(void **state)
{
    (void)state;
    static const uint64_t batches[] = {2};
    dither_noise_options options = options_of("f32", batches, 1);
    options.samples = 6;
    dither_noise *noise = measured(&options);
    brute_open(&b, "f32");
    double sum = 0;
    for (uint64_t k = 0; k < 6; k++) {
        brute_truth(&b, 0, 6);
        const float *const g = brute_draw(&b, k, 1, 0);
        for (size_t i = 0; i < b.elements; i++)
            sum += ((double)g[i] - b.truth[i]) * ((double)g[i] - b.truth[i]) / 5;
    }
    const dither_interval s2 = noise->sampling[0];
    assert_true(fabs(s2.value / sum - 1) < 1e-9 && s2.low < sum && sum < s2.high);
    assert_true(dither_noise_batch_factor(noise) == 1); /* nothing is rounded */
    options.samples = 2; /* each is as far from their mean as the other: that says nothing of the spread */
    dither_noise *two = measured(&options);
    assert_true(two->sampling[0].value > 0 && isinf(two->sampling[0].high));
    options.samples = 1;
    dither_noise *none = measured(&options);
    assert_true(isnan(none->sampling[0].value) && isnan(dither_noise_batch_factor(none)));
    dither_noise_free(two);
    dither_noise_free(none);
    for (size_t part = 0; part < DITHER_NOISE_PARTS; part++)
        for (size_t place = 0; place < noise->place_count; place++) {
            const dither_noise_cell *cell = dither_noise_at(noise, 0, part, place);
            assert_true(cell->bias2.value == 0 && cell->variance.value == 0 && cell->error2.value == 0);
            assert_true(cell->cosine.value == 1 && cell->clip_rate == 0);
        }
    brute_close(&b);
    dither_noise_free(noise);
}

static void see(void *context, const dither_noise_progress *progress)
{
    dither_noise_progress *last = context;
    assert_true(progress->done > last->done && progress->done <= progress->total);
    *last = *progress;
}

static void test_threads(void **state)
{
    (void)state;
    static const uint64_t batches[] = {1, 3};
    dither_noise_options options = options_of("int4", batches, 2);
    options.precision = 0.3;
    dither_noise_progress last = {.done = 0};
    dither_noise *one, *three;
    assert_int_equal(dither_noise_measure(&options, &one, see, &last, NULL, NULL), DITHER_OK);
    assert_true(last.done == last.total && last.done == one->passes);
    options.threads = 3;
    three = measured(&options);
    assert_memory_equal(one->cells, three->cells, 2 * DITHER_NOISE_PARTS * one->place_count * sizeof *one->cells);
    assert_memory_equal(one->norm2, three->norm2, 2 * one->place_count * sizeof *one->norm2);
    assert_memory_equal(one->sampling, three->sampling, one->place_count * sizeof *one->sampling);
    bool fewer = false; /* draws end where the precision is reached */
    for (size_t i = 0; i < 2 * DITHER_NOISE_PARTS; i++) {
        const dither_interval v = one->cells[i * one->place_count].variance;
        fewer = fewer || (one->counts[i].random && one->counts[i].draws < 32);
        assert_true(!one->counts[i].random || one->counts[i].draws == 32 || v.high - v.value <= 0.3 * v.value);
    }
    assert_true(fewer);
    const volatile sig_atomic_t stop = 1;
    dither_noise *none = one;
    assert_int_equal(dither_noise_measure(&options, &none, NULL, NULL, &stop, NULL), DITHER_E_STOPPED);
    assert_null(none);
    dither_noise_free(one);
    dither_noise_free(three);
}

/* Eight draws a hundred times: the truth, from thousands, is in most of the intervals. */
static void test_coverage(void **state)
{
    (void)state;
    enum { REPEATS = 100, DRAWS = 8 };
    static const char *const schemes[] = {backward_sr,
                                          "act=int4/row,bact=int4/row:sr,goact=int4/row:sr,goweight=int4/row:sr"};
    for (size_t k = 0; k < 2; k++) {
        brute_open(&b, schemes[k]);
        brute_moments(&b, &b.scheme, 0, 1, 1200);
        double bias2, variance, norm2;
        brute_figures(&b, 0, 1200, &bias2, &variance, &norm2);
        dither_gradient_places places;
        assert_int_equal(dither_gradient_places_init(&places, &b.gradient.network), DITHER_OK);
        float *const truth = calloc(b.elements, sizeof *truth), *const total = calloc(b.elements, sizeof *total);
        assert_true(truth && total);
        for (size_t i = 0; i < b.elements; i++)
            truth[i] = (float)b.truth[i];
        unsigned in_bias = 0, in_variance = 0;
        for (uint32_t repeat = 0; repeat < REPEATS; repeat++) {
            dither_draw_figures figures = {.draws = 0};
            for (uint32_t r = 0; r < DRAWS; r++) {
                dither_draw_products sums[4];
                const float *const g = brute_draw(&b, 0, 1, 10000 + repeat * DRAWS + r);
                dither_gradient_sum(&places, truth, g, 1, total, r, sums, 1);
                dither_draw_figures_add(&figures, &sums[0]);
            }
            const dither_interval bias = dither_draw_figures_bias2(&figures);
            const dither_interval spread = dither_running_mean_interval(&figures.variance);
            in_bias += bias.low <= bias2 && bias2 <= bias.high;
            in_variance += spread.low <= variance && variance <= spread.high;
        }
        print_message("%u and %u of %d intervals hold bias2 and variance\n", in_bias, in_variance, REPEATS);
        assert_true(in_bias >= 85 && in_variance >= 85);
        free(truth);
        free(total);
        dither_gradient_places_free(&places);
        brute_close(&b);
    }
}

int main(void)
{
    (void)setenv("DITHER_CPU", "ref", 1); /* before anything asks */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force), cmocka_unit_test(test_batches), cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_sampling),    cmocka_unit_test(test_threads), cmocka_unit_test(test_coverage),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
