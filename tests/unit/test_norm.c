#include "nn/norm.h"

#include "layer_check.h"

typedef struct norm_case {
    size_t tokens, dim;
    float eps;
    const float *x, *w, *dy;
    float *y, *dx, *dw;
} norm_case;

static double reference(size_t tokens, size_t dim, double eps, const double *x, const double *w, const float *dy,
                        double *y)
{
    double weighted = 0;
    for (size_t t = 0; t < tokens; t++) {
        double sum = 0;
        for (size_t i = 0; i < dim; i++)
            sum += x[t * dim + i] * x[t * dim + i];
        const double rms = sqrt(sum / (double)dim + eps);
        for (size_t i = 0; i < dim; i++) {
            const double value = x[t * dim + i] / rms * w[i];
            if (y)
                y[t * dim + i] = value;
            weighted += value * (double)dy[t * dim + i];
        }
    }
    return weighted;
}

/* sum of dy y as a function of (x, w) in one vector */
static double weighted(const void *data, const double *at)
{
    const norm_case *c = data;
    return reference(c->tokens, c->dim, (double)c->eps, at, at + c->tokens * c->dim, c->dy, NULL);
}

static void forward(const dither_context *context, void *data)
{
    norm_case *c = data;
    dither_rmsnorm_forward(context, c->tokens, c->dim, c->eps, c->x, c->w, c->y);
}

static void backward(const dither_context *context, void *data)
{
    norm_case *c = data;
    dither_rmsnorm_backward(context, c->tokens, c->dim, c->eps, c->x, c->w, c->dy, c->dx, c->dw);
}

/*
 * Tolerances: a row's sum of squares has relative error below (dim/16 + 5) u, half of which reaches y: 1e-6 holds up to
 * dim 200. Gradients are sums of at most 70 such terms of either sign: 1e-5 of the largest.
 */
static void check(size_t tokens, size_t dim, float eps)
{
    const size_t n = tokens * dim;
    float *joined = layer_random(1, n + dim, 1), *dy = layer_random(2, n, 1);
    float *outputs = layer_new(2 * n + dim, sizeof *outputs), *first = layer_new(2 * n + dim, sizeof *first);
    norm_case c = {tokens, dim, eps, joined, joined + n, dy, outputs, outputs + n, outputs + 2 * n};
    double *y = layer_new(n, sizeof *y), *at = layer_double(n + dim, joined);
    reference(tokens, dim, (double)c.eps, at, at + n, dy, y);
    double *slopes = layer_slopes(n + dim, weighted, &c, joined);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        for (size_t i = 0; i < n + dim; i++)
            outputs[n + i] = 3; /* gradients are added to what is there */
        layer_run(layer_threads[t], forward, &c);
        layer_run(layer_threads[t], backward, &c);
        if (t == 0)
            memcpy(first, outputs, (2 * n + dim) * sizeof *first);
        assert_memory_equal(outputs, first, (2 * n + dim) * sizeof *first);
    }
    layer_near(n, c.y, y, 1e-6);
    for (size_t i = 0; i < n + dim; i++)
        outputs[n + i] -= 3;
    layer_near(n, c.dx, slopes, 1e-5);
    layer_near(dim, c.dw, slopes + n, 1e-5);
    free(joined);
    free(dy);
    free(outputs);
    free(first);
    free(y);
    free(at);
    free(slopes);
}

static void agrees_with_reference(void **state)
{
    (void)state;
    check(1, 1, 0.25f); /* without eps the gradient of a single element cancels to 0 */
    check(1, 16, 1e-5f);
    check(3, 17, 1e-5f);
    check(33, 40, 1e-5f);
    check(70, 7, 1e-5f);
    check(2, 200, 1e-5f);
}

static void works_in_place_and_by_parts(void **state)
{
    (void)state;
    enum { TOKENS = 50, DIM = 37 };
    float *x = layer_random(3, TOKENS * DIM, 1), *w = layer_random(4, DIM, 1), *y = layer_new(TOKENS * DIM, sizeof *y);
    norm_case c = {.tokens = TOKENS, .dim = DIM, .eps = 1e-6f, .x = x, .w = w, .y = y};
    layer_run(2, forward, &c);
    c.tokens = 19;
    c.y = x;
    layer_run(2, forward, &c);
    c.x = c.y = x + 19 * DIM;
    c.tokens = TOKENS - 19;
    layer_run(2, forward, &c);
    assert_memory_equal(x, y, TOKENS * DIM * sizeof *y);
    free(x);
    free(w);
    free(y);
}

typedef struct fused_case {
    size_t tokens, dim;
    float *x, *h;
    const float *w, *dy;
    float *y, *dx, *dw;
    dither_kept kept;
} fused_case;

static void forward_keep(const dither_context *context, void *data)
{
    fused_case *c = data;
    dither_rmsnorm_forward_keep(context, c->tokens, c->dim, 1e-5f, c->x, c->w, c->y, c->kept);
}

static void add_forward(const dither_context *context, void *data)
{
    fused_case *c = data;
    dither_rmsnorm_add_forward(context, c->tokens, c->dim, 1e-5f, c->x, c->h, c->w, c->y, c->kept);
}

static void backward_kept(const dither_context *context, void *data)
{
    fused_case *c = data;
    dither_rmsnorm_backward_kept(context, c->tokens, c->dim, 1e-5f, c->kept, c->w, c->dy, c->dx, c->dw);
}

/* One pass gives the bits of the passes it stands for; kept in f32 (halves 0) and in bf16. */
static void fused_equals_its_parts(void **state)
{
    (void)state;
    enum { TOKENS = 45, DIM = 37, N = TOKENS * DIM };
    const dither_rows *rows = dither_rows_select(0);
    for (int halves = 0; halves < 2; halves++) {
        float *x = layer_random(5, N, 1), *sum = layer_random(5, N, 1), *h = layer_random(6, N, 1);
        float *w = layer_random(7, DIM, 1), *dy = layer_random(8, N, 1), *value = layer_new(N, sizeof *value);
        float *y = layer_new(N, sizeof *y), *want = layer_new(N, sizeof *want), *kept = layer_new(N, sizeof *kept);
        float *dx = layer_new(2 * N, sizeof *dx), *dw = layer_new(2 * DIM, sizeof *dw);
        uint16_t *bits = layer_new(N, sizeof *bits);
        rows->add(N, sum, h);
        rows->to_bf16(N, sum, bits);
        if (halves)
            rows->from_bf16(N, bits, value);
        else
            memcpy(value, sum, N * sizeof *value);
        norm_case plain = {TOKENS, DIM, 1e-5f, sum, w, dy, want, dx, dw};
        layer_run(1, forward, &plain);
        fused_case c = {TOKENS, DIM, x, h, w, dy, y, dx + N, dw + DIM, {kept, halves != 0}};
        layer_run(2, add_forward, &c);
        assert_memory_equal(x, sum, N * sizeof *x);
        assert_memory_equal(y, want, N * sizeof *y);
        assert_memory_equal(kept, halves ? (void *)bits : (void *)sum, N * (halves ? sizeof *bits : sizeof *sum));
        memset(kept, 0xff, N * sizeof *kept);
        memset(y, 0xff, N * sizeof *y);
        layer_run(2, forward_keep, &c);
        assert_memory_equal(y, want, N * sizeof *y);
        assert_memory_equal(kept, halves ? (void *)bits : (void *)sum, N * (halves ? sizeof *bits : sizeof *sum));
        plain.x = value;
        layer_run(1, backward, &plain);
        layer_run(2, backward_kept, &c);
        assert_memory_equal(dx, dx + N, N * sizeof *dx);
        assert_memory_equal(dw, dw + DIM, DIM * sizeof *dw);
        assert_true(dx[N - 1] != 0 && dw[DIM - 1] != 0);
        free(x), free(sum), free(h), free(w), free(dy), free(value);
        free(y), free(want), free(kept), free(dx), free(dw), free(bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(works_in_place_and_by_parts),
        cmocka_unit_test(fused_equals_its_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
