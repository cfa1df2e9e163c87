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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(holds_over_the_whole_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
