#include "nn/swiglu.h"

#include "layer_check.h"

typedef struct swiglu_case {
    size_t tokens, ffn;
    const float *gu, *da;
    float *a, *dgu;
} swiglu_case;

static double reference(size_t tokens, size_t ffn, const double *gu, const float *da, double *a)
{
    double weighted = 0;
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < ffn; i++) {
            const double g = gu[t * 2 * ffn + i], value = g / (1 + exp(-g)) * gu[t * 2 * ffn + ffn + i];
            if (a)
                a[t * ffn + i] = value;
            weighted += da ? value * (double)da[t * ffn + i] : 0;
        }
    }
    return weighted;
}

static double weighted(const void *data, const double *at)
{
    const swiglu_case *c = data;
    return reference(c->tokens, c->ffn, at, c->da, NULL);
}

static void forward(const dither_context *context, void *data)
{
    swiglu_case *c = data;
    dither_swiglu_forward(context, c->tokens, c->ffn, c->gu, c->a);
}

static void backward(const dither_context *context, void *data)
{
    swiglu_case *c = data;
    dither_swiglu_backward(context, c->tokens, c->ffn, c->gu, c->da, c->dgu);
}

/* Each element is a handful of roundings, and exp within 1 ulp: 1e-6 of the largest. */
static void check(size_t tokens, size_t ffn)
{
    const size_t n = tokens * ffn;
    float *gu = layer_random(1, 2 * n, 4), *da = layer_random(2, n, 1);
    float *outputs = layer_new(3 * n, sizeof *outputs), *first = layer_new(3 * n, sizeof *first);
    swiglu_case c = {tokens, ffn, gu, da, outputs, outputs + n};
    double *a = layer_new(n, sizeof *a), *at = layer_double(2 * n, gu);
    reference(tokens, ffn, at, da, a);
    double *slopes = layer_slopes(2 * n, weighted, &c, gu);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        memset(outputs, 0xff, 3 * n * sizeof *outputs);
        layer_run(layer_threads[t], forward, &c);
        layer_run(layer_threads[t], backward, &c);
        if (t == 0)
            memcpy(first, outputs, 3 * n * sizeof *first);
        assert_memory_equal(outputs, first, 3 * n * sizeof *first);
    }
    layer_near(n, c.a, a, 1e-6);
    layer_near(2 * n, c.dgu, slopes, 1e-6);
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
    check(1, 1);
    check(3, 17);
    check(40, 13);
    check(16, 32);
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
    swiglu_case c = {1, COUNT, gu, ones, a, dgu};
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

typedef struct kept_case {
    swiglu_case plain;
    dither_kept kept;
} kept_case;

static void forward_keep(const dither_context *context, void *data)
{
    kept_case *c = data;
    dither_swiglu_forward_keep(context, c->plain.tokens, c->plain.ffn, c->plain.gu, c->plain.a, c->kept);
}

static void backward_kept(const dither_context *context, void *data)
{
    kept_case *c = data;
    dither_swiglu_backward_kept(context, c->plain.tokens, c->plain.ffn, c->kept, c->plain.da, c->plain.dgu);
}

/* What is kept, in f32 (halves 0) and in bf16, gives the gradient of the values it stands for, bit for bit. */
static void kept_equals_its_values(void **state)
{
    (void)state;
    enum { TOKENS = 35, FFN = 29, N = TOKENS * FFN };
    const dither_rows *rows = dither_rows_select(0);
    for (int halves = 0; halves < 2; halves++) {
        float *gu = layer_random(5, 2 * N, 4), *value = layer_random(5, 2 * N, 4), *da = layer_random(6, N, 1);
        float *a = layer_new(2 * N, sizeof *a), *dgu = layer_new(4 * N, sizeof *dgu);
        float *kept = layer_new(2 * N, sizeof *kept);
        uint16_t *bits = layer_new(2 * N, sizeof *bits);
        rows->to_bf16(2 * N, gu, bits);
        if (halves)
            rows->from_bf16(2 * N, bits, value);
        kept_case c = {{TOKENS, FFN, gu, da, a, dgu}, {kept, halves != 0}};
        layer_run(1, forward, &c.plain);
        c.plain.a = a + N;
        layer_run(2, forward_keep, &c);
        assert_memory_equal(a, a + N, N * sizeof *a);
        assert_memory_equal(kept, halves ? (void *)bits : (void *)gu, 2 * N * (halves ? sizeof *bits : sizeof *gu));
        c.plain.gu = value;
        layer_run(1, backward, &c.plain);
        c.plain.dgu = dgu + 2 * N;
        layer_run(2, backward_kept, &c);
        assert_memory_equal(dgu, dgu + 2 * N, 2 * N * sizeof *dgu);
        assert_true(dgu[2 * N - 1] != 0);
        free(gu), free(value), free(da), free(a), free(dgu), free(kept), free(bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(holds_over_the_whole_range),
        cmocka_unit_test(kept_equals_its_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
