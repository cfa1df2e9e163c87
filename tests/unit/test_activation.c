#include "nn/activation.h"

#include "layer_check.h"

typedef struct activation_case {
    dither_activation kind;
    size_t tokens, ffn;
    const float *gu, *da;
    float *a, *dgu;
} activation_case;

/* Hendrycks & Gimpel's own form, with a tanh. */
static double gelu(double g)
{
    return 0.5 * g * (1 + tanh(sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g)));
}

static double reference(const activation_case *c, const double *gu, double *a)
{
    const size_t ffn = c->ffn, width = dither_activation_inputs(c->kind) * ffn;
    double weighted = 0;
    for (size_t t = 0; t < c->tokens; t++) {
        for (size_t i = 0; i < ffn; i++) {
            const double g = gu[t * width + i], u = gu[t * width + width - ffn + i];
            const double value = c->kind == DITHER_ACTIVATION_SILU_GATE   ? g / (1 + exp(-g)) * u
                                 : c->kind == DITHER_ACTIVATION_GELU_GATE ? gelu(g) * u
                                                                          : gelu(u);
            if (a)
                a[t * ffn + i] = value;
            weighted += c->da ? value * (double)c->da[t * ffn + i] : 0;
        }
    }
    return weighted;
}

static double weighted(const void *data, const double *at)
{
    return reference(data, at, NULL);
}

static void forward(const dither_context *context, void *data)
{
    activation_case *c = data;
    dither_activation_forward(context, c->kind, c->tokens, c->ffn, c->gu, c->a);
}

static void backward(const dither_context *context, void *data)
{
    activation_case *c = data;
    dither_activation_backward(context, c->kind, c->tokens, c->ffn, c->gu, c->da, c->dgu);
}

/* Each element is a handful of roundings, and exp within 1 ulp: 1e-6 of the largest. */
static void check(dither_activation kind, size_t tokens, size_t ffn)
{
    const size_t n = tokens * ffn, in = dither_activation_inputs(kind) * n, all = n + in;
    float *gu = layer_random(1, in, 4), *da = layer_random(2, n, 1);
    float *outputs = layer_new(all, sizeof *outputs), *first = layer_new(all, sizeof *first);
    activation_case c = {kind, tokens, ffn, gu, da, outputs, outputs + n};
    double *a = layer_new(n, sizeof *a), *at = layer_double(in, gu);
    reference(&c, at, a);
    double *slopes = layer_slopes(in, weighted, &c, gu);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        memset(outputs, 0xff, all * sizeof *outputs);
        layer_run(layer_threads[t], forward, &c);
        layer_run(layer_threads[t], backward, &c);
        if (t == 0)
            memcpy(first, outputs, all * sizeof *first);
        assert_memory_equal(outputs, first, all * sizeof *first);
    }
    layer_near(n, c.a, a, 1e-6);
    layer_near(in, c.dgu, slopes, 1e-6);
    free(gu);
    free(da);
    free(outputs);
    free(first);
    free(a);
    free(at);
    free(slopes);
}

static void agrees_with_reference(void **state)
{
    (void)state;
    for (int kind = DITHER_ACTIVATION_SILU_GATE; kind <= DITHER_ACTIVATION_GELU; kind++) {
        check((dither_activation)kind, 1, 1);
        check((dither_activation)kind, 3, 17);
        check((dither_activation)kind, 40, 13);
        check((dither_activation)kind, 16, 32);
    }
}

/* silu over its whole range: 4 ulp where exp(-g) is finite, and quietly 0 or g beyond. */
static void holds_over_the_whole_range(void **state)
{
    (void)state;
    enum { COUNT = 40001 };
    float *gu = layer_new(2 * COUNT, sizeof *gu), *dgu = layer_new(2 * COUNT, sizeof *dgu);
    float *a = layer_new(COUNT, sizeof *a);
    for (size_t i = 0; i < COUNT; i++) {
        gu[i] = ((float)i - 20000) * 0.005f;
        gu[COUNT + i] = 1;
    }
    gu[0] = -3e38f;
    gu[COUNT - 1] = 3e38f;
    float *ones = layer_new(COUNT, sizeof *ones);
    for (size_t i = 0; i < COUNT; i++)
        ones[i] = 1;
    activation_case c = {DITHER_ACTIVATION_SILU_GATE, 1, COUNT, gu, ones, a, dgu};
    layer_run(2, forward, &c);
    layer_run(2, backward, &c);
    for (size_t i = 0; i < COUNT; i++) {
        const double g = (double)gu[i], exact = g / (1 + exp(-g)), s = 1 / (1 + exp(-g));
        assert_true(fabs((double)a[i] - exact) <= 4 * 0x1p-23 * fabs(exact) + 1e-36);
        assert_true(fabs((double)dgu[i] - (s + exact * exp(-g) * s)) <= 1e-6 || i == 0 || i == COUNT - 1);
        assert_true(isfinite(dgu[i]) && isfinite(dgu[COUNT + i]));
    }
    free(gu);
    free(a);
    free(dgu);
    free(ones);
}

/* Of a wide range, the largest f32 too: u is 1, so that both gelus are the same. */
static void gelu_holds_over_the_whole_range(void **state)
{
    (void)state;
    enum { COUNT = 8003 };
    float *gu = layer_new(2 * COUNT, sizeof *gu), *outputs = layer_new(5 * COUNT, sizeof *outputs);
    float *ones = layer_new(COUNT, sizeof *ones);
    for (size_t i = 0; i < COUNT; i++) {
        gu[i] = ((float)i - 4000) * 0.02f;
        gu[COUNT + i] = ones[i] = 1;
    }
    gu[0] = -3e38f;
    gu[COUNT - 1] = 3e38f;
    float *a = outputs, *dgu = outputs + COUNT, *alone = outputs + 3 * COUNT, *slope = outputs + 4 * COUNT;
    activation_case gated = {DITHER_ACTIVATION_GELU_GATE, 1, COUNT, gu, ones, a, dgu};
    activation_case plain = {DITHER_ACTIVATION_GELU, 1, COUNT, gu, ones, alone, slope};
    layer_run(2, forward, &gated);
    layer_run(2, backward, &gated);
    layer_run(2, forward, &plain);
    layer_run(2, backward, &plain);
    assert_memory_equal(a, alone, COUNT * sizeof *a);
    assert_memory_equal(dgu, slope, COUNT * sizeof *a);
    for (size_t i = 1; i + 1 < COUNT; i++) {
        const double g = (double)gu[i], h = 1e-5;
        /* 2 z, up to 20 where the share is above 1e-9, enters exp with a few of its own roundings. */
        assert_true(fabs((double)a[i] - gelu(g)) <= 1e-6 * fabs(g) + 1e-9);
        assert_true(fabs((double)slope[i] - (gelu(g + h) - gelu(g - h)) / (2 * h)) <= 4e-6);
    }
    assert_true(a[0] == 0 && slope[0] == 0 && a[COUNT - 1] == gu[COUNT - 1] && slope[COUNT - 1] == 1);
    free(gu), free(outputs), free(ones);
}

typedef struct kept_case {
    activation_case plain;
    dither_kept kept;
} kept_case;

static void forward_keep(const dither_context *context, void *data)
{
    kept_case *c = data;
    dither_activation_forward_keep(context, c->plain.kind, c->plain.tokens, c->plain.ffn, c->plain.gu, c->plain.a,
                                   c->kept);
}

static void backward_kept(const dither_context *context, void *data)
{
    kept_case *c = data;
    dither_activation_backward_kept(context, c->plain.kind, c->plain.tokens, c->plain.ffn, c->kept, c->plain.da,
                                    c->plain.dgu);
}

/* What is kept, in f32 (halves 0) and in bf16, gives the gradient of the values it stands for, bit for bit. */
static void kept_equals_its_values(void **state)
{
    (void)state;
    enum { TOKENS = 35, FFN = 29, N = TOKENS * FFN };
    const dither_rows *rows = dither_rows_select(0);
    for (int mode = 0; mode < 6; mode++) {
        const bool halves = mode % 2;
        const dither_activation kind = (dither_activation)(mode / 2);
        const size_t in = dither_activation_inputs(kind) * N;
        float *gu = layer_random(5, in, 4), *value = layer_random(5, in, 4), *da = layer_random(6, N, 1);
        float *a = layer_new(2 * N, sizeof *a), *dgu = layer_new(2 * in, sizeof *dgu);
        float *kept = layer_new(in, sizeof *kept);
        uint16_t *bits = layer_new(in, sizeof *bits);
        rows->to_bf16(in, gu, bits);
        if (halves)
            rows->from_bf16(in, bits, value);
        kept_case c = {{kind, TOKENS, FFN, gu, da, a, dgu}, {kept, halves}};
        layer_run(1, forward, &c.plain);
        c.plain.a = a + N;
        layer_run(2, forward_keep, &c);
        assert_memory_equal(a, a + N, N * sizeof *a);
        assert_memory_equal(kept, halves ? (void *)bits : (void *)gu, in * (halves ? sizeof *bits : sizeof *gu));
        c.plain.gu = value;
        layer_run(1, backward, &c.plain);
        c.plain.dgu = dgu + in;
        layer_run(2, backward_kept, &c);
        assert_memory_equal(dgu, dgu + in, in * sizeof *dgu);
        assert_true(dgu[in - 1] != 0);
        free(gu), free(value), free(da), free(a), free(dgu), free(kept), free(bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(holds_over_the_whole_range),
        cmocka_unit_test(gelu_holds_over_the_whole_range),
        cmocka_unit_test(kept_equals_its_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
