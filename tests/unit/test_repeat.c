/*
 * The repeated-batch backward pass: its codes and sums are exactly those of a plain loop over the quantizer fxN:sr16,
 * its mean over draws is the unquantized gradient, and that is the derivative of the loss.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "dither/cpu.h"
#include "study/repeat_parts.h"

enum { SAMPLES = 19, HEIGHT = 6, WIDTH = 5, PIXELS = HEIGHT * WIDTH, BLOCK = DITHER_REPEAT_BLOCK };

typedef struct fixture {
    dither_mlp net;
    dither_pictures pictures;
    float x[SAMPLES * PIXELS];
    uint8_t labels[SAMPLES];
    size_t count; /* of parameters */
    float *w, *g, *scratch;
} fixture;

static uint32_t random_at(size_t i)
{
    const dither_draw draw = {.seed = 77};
    return dither_draw_u32(&draw, 0, i);
}

/* Pictures with many zeros, ones and numbers between. */
static void set_up(fixture *f, const char *net)
{
    dither_error error;
    assert_int_equal(dither_mlp_parse("net", net, &f->net, &error), DITHER_OK);
    for (size_t i = 0; i < SAMPLES * PIXELS; i++) {
        const uint32_t value = random_at(i);
        f->x[i] = value % 3 == 0 ? 0.0f : value % 7 == 0 ? 1.0f : (float)(value >> 8 & 255) / 255.0f;
    }
    for (size_t i = 0; i < SAMPLES; i++)
        f->labels[i] = (uint8_t)(random_at(100000 + i) % f->net.width[f->net.layers]);
    f->pictures = (dither_pictures){SAMPLES, HEIGHT, WIDTH, f->x, f->labels};
    f->count = dither_mlp_parameters(&f->net);
    f->w = calloc(f->count, sizeof *f->w);
    f->g = calloc(f->count, sizeof *f->g);
    f->scratch = calloc(dither_mlp_scratch(&f->net, SAMPLES), sizeof *f->scratch);
    assert_true(f->w && f->g && f->scratch);
    dither_mlp_init(&f->net, 5, f->w);
    for (size_t i = 0; i < f->count; i++)
        f->w[i] *= 3; /* units that are off, and probabilities away from each other */
}

static void tear_down(fixture *f)
{
    free(f->w), free(f->g), free(f->scratch);
}

/* Mean loss in double, from the definition. */
static double loss_of(const fixture *f, const float *w, size_t changed, double by)
{
    double sum = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        double a[64], b[64];
        for (size_t j = 0; j < PIXELS; j++)
            a[j] = (double)f->x[i * PIXELS + j];
        for (size_t l = 0; l < f->net.layers; l++) {
            const size_t in = f->net.width[l], out = f->net.width[l + 1], at = dither_mlp_weight_at(&f->net, l);
            for (size_t o = 0; o < out; o++) {
                const size_t bias = dither_mlp_bias_at(&f->net, l) + o;
                b[o] = (double)w[bias] + (bias == changed ? by : 0);
                for (size_t j = 0; j < in; j++)
                    b[o] += ((double)w[at + o * in + j] + (at + o * in + j == changed ? by : 0)) * a[j];
                if (l + 1 < f->net.layers && b[o] < 0)
                    b[o] = 0;
            }
            memcpy(a, b, sizeof a);
        }
        double total = 0;
        for (size_t k = 0; k < f->net.width[f->net.layers]; k++)
            total += exp(a[k]);
        sum += log(total) - a[f->labels[i]];
    }
    return sum / SAMPLES;
}

/* f32 sums of 30 terms and an exponential: 1e-5 of 1; central differences in double: 1e-8, where no unit switches. */
static void the_f32_gradient_is_the_derivative(void **state)
{
    (void)state;
    static const char *const nets[] = {"30-3", "30-17-4", "30-20-11-5"};
    for (size_t k = 0; k < sizeof nets / sizeof nets[0]; k++) {
        fixture f;
        double loss;
        set_up(&f, nets[k]);
        dither_mlp_gradient(&f.net, f.w, SAMPLES, f.x, f.labels, f.scratch, f.g, &loss);
        assert_true(fabs(loss - loss_of(&f, f.w, SIZE_MAX, 0)) < 1e-5);
        for (size_t i = 0; i < f.count; i++) {
            const double h = 1e-5, slope = (loss_of(&f, f.w, i, h) - loss_of(&f, f.w, i, -h)) / (2 * h);
            assert_true(fabs(slope - (double)f.g[i]) < 2e-5);
        }
        tear_down(&f);
    }
}

static int32_t code_of(const dither_format *format, float x, const dither_draw *draw, size_t row, size_t column)
{
    const dither_rounding rounding = {DITHER_ROUND_SR, DITHER_REPEAT_BITS};
    uint32_t random;
    dither_draw_fill(draw, row, column, 1, DITHER_REPEAT_BITS, &random);
    return (int32_t)dither_format_encode(format, rounding, x, random, NULL);
}

/* A pixel's column: patches of this picture that are not all 0 stand beside each other. */
static size_t pixel_column(const fixture *f, size_t i, size_t pixel)
{
    const size_t across = (WIDTH + 3) / 4, place = dither_repeat_place(pixel / WIDTH, pixel % WIDTH, across);
    size_t before = 0;
    for (size_t patch = 0; patch < place / BLOCK; patch++) {
        bool some = false;
        for (size_t j = 0; j < PIXELS; j++)
            some = some || (dither_repeat_place(j / WIDTH, j % WIDTH, across) / BLOCK == patch &&
                            f->x[i * PIXELS + j] != 0.0f);
        before += some;
    }
    return before * BLOCK + place % BLOCK;
}

/* Sums of products of codes of every layer, sample by sample from the definition; `r` lends its activations. */
static void plain_sums(const fixture *f, const dither_repeat *r, int step_log2, uint64_t seed, uint32_t step,
                       size_t repeats, double *sums)
{
    char name[8] = "fx0";
    dither_format format;
    const size_t layers = f->net.layers;
    name[2] = (char)('0' - step_log2);
    assert_int_equal(dither_format_find(name, &format, NULL), DITHER_OK);
    for (size_t repeat = 0; repeat < repeats; repeat++) {
        for (size_t i = 0; i < SAMPLES; i++) {
            float dy[64] = {0};
            (void)dither_mlp_loss(f->net.width[layers], r->layer[layers - 1].y + i * r->layer[layers - 1].out,
                                  f->labels[i], dy);
            for (size_t l = layers; l-- > 0;) {
                const size_t in = f->net.width[l], out = f->net.width[l + 1], padded = r->layer[l].out;
                dither_draw draw = {.seed = seed, .step = step, .microbatch = (uint32_t)repeat, .tensor = (uint32_t)l};
                int32_t codes[64];
                float dx[64] = {0};
                draw.role = DITHER_ROLE_GOACT;
                for (size_t o = 0; o < out; o++)
                    codes[o] = l + 1 == layers ? code_of(&format, dy[o], &draw, i / 8, i % 8 * padded + o)
                                               : code_of(&format, dy[o], &draw, i, o);
                draw.role = DITHER_ROLE_BACT;
                for (size_t j = 0; j < in; j++) {
                    const float x = l ? r->layer[l - 1].y[i * r->layer[l - 1].out + j] : f->x[i * PIXELS + j];
                    const int32_t code = x == 0.0f ? 0 : code_of(&format, x, &draw, i, l ? j : pixel_column(f, i, j));
                    for (size_t o = 0; o < out; o++) {
                        const size_t at = dither_mlp_weight_at(&f->net, l) + o * in + j;
                        sums[at] += codes[o] * code;
                        dx[j] += (float)codes[o] * f->w[at];
                    }
                    dx[j] = l && x > 0.0f ? dx[j] * r->grid : 0.0f;
                }
                for (size_t o = 0; o < out; o++)
                    sums[dither_mlp_bias_at(&f->net, l) + o] += (double)dy[o];
                memcpy(dy, dx, sizeof dy);
            }
        }
    }
}

static void codes_and_sums_are_those_of_a_plain_loop(void **state)
{
    (void)state;
    static const struct {
        const char *net;
        int step_log2;
        size_t repeats;
    } cases[] = {{"30-3", -1, 1},      {"30-17-4", -1, 3},    {"30-17-4", -4, 2}, {"30-20-18-5", -2, 4},
                 {"30-40-33-50", -3, 9}, {"30-20-18-5", -9, 3} /* 16 bits hold no product of these */};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const dither_repeat_rows *rows;
        for (size_t v = 0; (rows = dither_repeat_rows_at(v)) != NULL; v++) {
            if ((rows->needs & dither_cpu_active()->features) != rows->needs)
                continue;
            fixture f;
            dither_repeat *r;
            dither_error error;
            set_up(&f, cases[k].net);
            double *const sums = calloc(f.count, sizeof *sums);
            float *const back = calloc(f.count, sizeof *back);
            assert_int_equal(dither_repeat_open(&r, &f.net, &f.pictures, cases[k].step_log2, rows, &error), DITHER_OK);
            dither_repeat_load(r, f.w);
            dither_repeat_store(r, back);
            assert_memory_equal(back, f.w, f.count * sizeof *back);
            for (uint32_t step = 0; step < 2; step++) /* nothing of the step before is left */
                assert_int_equal(dither_repeat_backward(r, 99, step, cases[k].repeats, &error), DITHER_OK);
            dither_repeat_gradient(r, f.g);
            plain_sums(&f, r, cases[k].step_log2, 99, 1, cases[k].repeats, sums);
            const double batch = (double)(SAMPLES * cases[k].repeats), unit = pow(4, cases[k].step_log2) / batch;
            for (size_t l = 0; l < f.net.layers; l++) {
                for (size_t i = dither_mlp_weight_at(&f.net, l); i < dither_mlp_bias_at(&f.net, l); i++)
                    assert_true(f.g[i] == (float)unit * (float)sums[i]);
                for (size_t i = dither_mlp_bias_at(&f.net, l); i < dither_mlp_weight_at(&f.net, l + 1); i++)
                    assert_true(fabs((double)f.g[i] - sums[i] / batch) < 1e-5); /* f32 sums of up to 171 terms */
            }
            dither_repeat_descend(r, 0.5f);
            dither_repeat_store(r, back);
            for (size_t i = 0; i < f.count; i++)
                assert_true(fabs((double)back[i] - ((double)f.w[i] - 0.5 * (double)f.g[i])) <=
                            0x1p-22 * (1 + fabs((double)f.w[i])));
            dither_repeat_close(r);
            free(sums), free(back);
            tear_down(&f);
        }
    }
}

/*
 * The mean of 3,000 gradients is within 7 of its own standard errors of the f32 one in each element (normal: 3e-12 for
 * each, so below 1e-8 for a net and a step, whose seeds are fixed), beside f32's rounding.
 */
static void the_mean_over_draws_is_the_f32_gradient(void **state)
{
    (void)state;
    enum { DRAWS = 3000 };
    for (int step_log2 = -1; step_log2 >= -4; step_log2 -= 3) {
        fixture f;
        dither_repeat *r;
        dither_error error;
        double loss;
        set_up(&f, "30-20-18-5");
        float *const g = calloc(f.count, sizeof *g);
        double *const sum = calloc(f.count, sizeof *sum), *const square = calloc(f.count, sizeof *square);
        const dither_repeat_rows *const rows = dither_repeat_rows_select(dither_cpu_active()->features);
        assert_int_equal(dither_repeat_open(&r, &f.net, &f.pictures, step_log2, rows, &error), DITHER_OK);
        dither_repeat_load(r, f.w);
        dither_mlp_gradient(&f.net, f.w, SAMPLES, f.x, f.labels, f.scratch, f.g, &loss);
        for (uint32_t draw = 0; draw < DRAWS; draw++) {
            assert_int_equal(dither_repeat_backward(r, 3, draw, 2, &error), DITHER_OK);
            dither_repeat_gradient(r, g);
            for (size_t i = 0; i < f.count; i++) {
                sum[i] += (double)g[i] - (double)f.g[i];
                square[i] += pow((double)g[i] - (double)f.g[i], 2);
            }
        }
        for (size_t i = 0; i < f.count; i++) {
            const double mean = sum[i] / DRAWS, spread = sqrt(square[i] / DRAWS / DRAWS);
            assert_true(fabs(mean) <= 7 * spread + 2e-5);
        }
        dither_repeat_close(r);
        free(g), free(sum), free(square);
        tear_down(&f);
    }
}

/* Every row adds 16 * 16 to each sum, the most that the grid 1/16 has: 16 bits are full after 127 of them. */
static void sums_of_16_bits_are_emptied_in_time(void **state)
{
    (void)state;
    fixture f;
    dither_repeat *r;
    dither_error error;
    set_up(&f, "30-2");
    memset(f.w, 0, f.count * sizeof *f.w);
    f.w[dither_mlp_bias_at(&f.net, 0) + 1] = 80; /* p = 0 and 1 in f32 */
    for (size_t i = 0; i < SAMPLES * PIXELS; i++)
        f.x[i] = 1;
    memset(f.labels, 0, sizeof f.labels);
    const dither_repeat_rows *const rows = dither_repeat_rows_select(dither_cpu_active()->features);
    assert_int_equal(dither_repeat_open(&r, &f.net, &f.pictures, -4, rows, &error), DITHER_OK);
    dither_repeat_load(r, f.w);
    for (size_t repeats = 1; repeats <= DITHER_REPEATS_MAX; repeats += repeats / 8 + 1) {
        assert_int_equal(dither_repeat_backward(r, 1, 0, repeats, &error), DITHER_OK);
        dither_repeat_gradient(r, f.g);
        for (size_t j = 0; j < 2 * PIXELS; j++)
            assert_true(fabs((double)f.g[j] - (j < PIXELS ? -1 : 1)) < 1e-6);
    }
    dither_repeat_close(r);
    tear_down(&f);
}

static void a_diverged_run_is_said(void **state)
{
    (void)state;
    fixture f;
    dither_repeat *r;
    dither_error error;
    set_up(&f, "30-17-4");
    for (size_t i = 0; i < f.count; i++)
        f.w[i] *= 1e6f;
    const dither_repeat_rows *const rows = dither_repeat_rows_select(0);
    assert_int_equal(dither_repeat_open(&r, &f.net, &f.pictures, -4, rows, &error), DITHER_OK);
    dither_repeat_load(r, f.w);
    assert_int_equal(dither_repeat_backward(r, 1, 0, 1, &error), DITHER_E_NUMERIC);
    assert_non_null(strstr(error.text, "diverged"));
    dither_repeat_close(r);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_f32_gradient_is_the_derivative),
        cmocka_unit_test(codes_and_sums_are_those_of_a_plain_loop),
        cmocka_unit_test(the_mean_over_draws_is_the_f32_gradient),
        cmocka_unit_test(sums_of_16_bits_are_emptied_in_time),
        cmocka_unit_test(a_diverged_run_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
