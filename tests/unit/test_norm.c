#include "nn/norm.h"

#include "layer_check.h"

typedef struct norm_case {
    dither_norm norm;
    size_t tokens;
    const float *x, *dy;
    float *y, *dx, *dw, *dbias;
} norm_case;

/* wb: w, then for LayerNorm the bias */
static double reference(const norm_case *c, const double *x, const double *wb, double *y)
{
    const size_t dim = c->norm.dim;
    double weighted = 0;
    for (size_t t = 0; t < c->tokens; t++) {
        double mean = 0, sum = 0;
        for (size_t i = 0; i < dim && c->norm.layer; i++)
            mean += x[t * dim + i] / (double)dim;
        for (size_t i = 0; i < dim; i++)
            sum += (x[t * dim + i] - mean) * (x[t * dim + i] - mean);
        const double rms = sqrt(sum / (double)dim + (double)c->norm.eps);
        for (size_t i = 0; i < dim; i++) {
            const double value = (x[t * dim + i] - mean) / rms * wb[i] + (c->norm.layer ? wb[dim + i] : 0);
            if (y)
                y[t * dim + i] = value;
            weighted += value * (double)c->dy[t * dim + i];
        }
    }
    return weighted;
}

/* sum of dy y as a function of (x, w, bias) in one vector */
static double weighted(const void *data, const double *at)
{
    const norm_case *c = data;
    return reference(c, at, at + c->tokens * c->norm.dim, NULL);
}

static void forward(const dither_context *context, void *data)
{
    norm_case *c = data;
    dither_norm_forward(context, &c->norm, c->tokens, c->x, c->y);
}

static void backward(const dither_context *context, void *data)
{
    norm_case *c = data;
    dither_norm_backward(context, &c->norm, c->tokens, c->x, c->dy, c->dx, c->dw, c->dbias);
}

/*
 * Tolerances: a row's sum of squares has relative error below (dim/16 + 5) u, half of which reaches y: 1e-6 holds up to
 * dim 200. Gradients are sums of at most 70 such terms of either sign: 1e-5 of the largest.
 */
static void check_kind(bool layer, size_t tokens, size_t dim, float eps)
{
    const size_t n = tokens * dim, all = n + (layer ? 2 : 1) * dim;
    float *joined = layer_random(1, all, 1), *dy = layer_random(2, n, 1);
    float *outputs = layer_new(n + all, sizeof *outputs), *first = layer_new(n + all, sizeof *first);
    norm_case c = {.norm = {layer, dim, eps, joined + n, layer ? joined + n + dim : NULL},
                   .tokens = tokens,
                   .x = joined,
                   .dy = dy,
                   .y = outputs,
                   .dx = outputs + n,
                   .dw = outputs + 2 * n,
                   .dbias = layer ? outputs + 2 * n + dim : NULL};
    double *y = layer_new(n, sizeof *y), *at = layer_double(all, joined);
    reference(&c, at, at + n, y);
    double *slopes = layer_slopes(all, weighted, &c, joined);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        for (size_t i = 0; i < all; i++)
            outputs[n + i] = 3; /* gradients are added to what is there */
        layer_run(layer_threads[t], forward, &c);
        layer_run(layer_threads[t], backward, &c);
        if (t == 0)
            memcpy(first, outputs, (n + all) * sizeof *first);
        assert_memory_equal(outputs, first, (n + all) * sizeof *first);
    }
    layer_near(n, c.y, y, 1e-6);
    for (size_t i = 0; i < all; i++)
        outputs[n + i] -= 3;
    layer_near(n, c.dx, slopes, 1e-5);
    layer_near(dim, c.dw, slopes + n, 1e-5);
    if (layer)
        layer_near(dim, c.dbias, slopes + n + dim, 1e-5);
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
    for (int layer = 0; layer < 2; layer++) {
        if (!layer)
            check_kind(false, 1, 1, 0.25f); /* without eps the gradient of a single element cancels to 0 */
        check_kind(layer, 1, 16, 1e-5f);
        check_kind(layer, 3, 17, 1e-5f);
        check_kind(layer, 33, 40, 1e-5f);
        check_kind(layer, 70, 7, 1e-5f);
        check_kind(layer, 2, 200, 1e-5f);
    }
}

/* A row far from 0: what LayerNorm gives does not depend on where it lies. */
static void the_mean_is_taken_off(void **state)
{
    (void)state;
    enum { DIM = 64 };
    float x[DIM], y[DIM], w[DIM], bias[DIM], dy[DIM], dx[DIM] = {0}, dw[DIM] = {0}, dbias[DIM] = {0};
    for (size_t i = 0; i < DIM; i++) {
        x[i] = 1000 + (float)(i % 2);
        w[i] = 2;
        bias[i] = 0.25f;
        dy[i] = 3;
    }
    norm_case c = {{true, DIM, 0, w, bias}, 1, x, dy, y, dx, dw, dbias};
    layer_run(1, forward, &c);
    layer_run(1, backward, &c);
    for (size_t i = 0; i < DIM; i++) {
        assert_true(y[i] == (i % 2 ? 2.25f : -1.75f));
        assert_true(dx[i] == 0 && dw[i] == (i % 2 ? 3.0f : -3.0f) && dbias[i] == 3);
    }
}

static void works_in_place_and_by_parts(void **state)
{
    (void)state;
    enum { TOKENS = 50, DIM = 37 };
    float *x = layer_random(3, TOKENS * DIM, 1), *w = layer_random(4, DIM, 1), *y = layer_new(TOKENS * DIM, sizeof *y);
    norm_case c = {.norm = {.dim = DIM, .eps = 1e-6f, .w = w}, .tokens = TOKENS, .x = x, .y = y};
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
    dither_norm norm;
    size_t tokens;
    float *x, *h;
    const float *dy;
    float *y, *dx, *dw, *dbias;
    dither_kept kept;
} fused_case;

static void forward_keep(const dither_context *context, void *data)
{
    fused_case *c = data;
    dither_norm_forward_keep(context, &c->norm, c->tokens, c->x, c->y, c->kept);
}

static void add_forward(const dither_context *context, void *data)
{
    fused_case *c = data;
    dither_norm_add_forward(context, &c->norm, c->tokens, c->x, c->h, c->y, c->kept);
}

static void backward_kept(const dither_context *context, void *data)
{
    fused_case *c = data;
    dither_norm_backward_kept(context, &c->norm, c->tokens, c->kept, c->dy, c->dx, c->dw, c->dbias);
}

/* One pass gives the bits of the passes it stands for; kept in f32 (halves 0) and in bf16. */
static void fused_equals_its_parts(void **state)
{
    (void)state;
    enum { TOKENS = 45, DIM = 37, N = TOKENS * DIM };
    const dither_rows *rows = dither_rows_select(0);
    for (int mode = 0; mode < 4; mode++) {
        const bool halves = mode % 2, layer = mode / 2;
        float *x = layer_random(5, N, 1), *sum = layer_random(5, N, 1), *h = layer_random(6, N, 1);
        float *w = layer_random(7, 2 * DIM, 1), *dy = layer_random(8, N, 1), *value = layer_new(N, sizeof *value);
        float *y = layer_new(N, sizeof *y), *want = layer_new(N, sizeof *want), *kept = layer_new(N, sizeof *kept);
        float *dx = layer_new(2 * N, sizeof *dx), *dw = layer_new(4 * DIM, sizeof *dw);
        uint16_t *bits = layer_new(N, sizeof *bits);
        rows->add(N, sum, h);
        rows->to_bf16(N, sum, bits);
        if (halves)
            rows->from_bf16(N, bits, value);
        else
            memcpy(value, sum, N * sizeof *value);
        const dither_norm norm = {layer, DIM, 1e-5f, w, layer ? w + DIM : NULL};
        norm_case plain = {norm, TOKENS, sum, dy, want, dx, dw, dw + DIM};
        layer_run(1, forward, &plain);
        fused_case c = {norm, TOKENS, x, h, dy, y, dx + N, dw + 2 * DIM, dw + 3 * DIM, {kept, halves}};
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
        assert_memory_equal(dw, dw + 2 * DIM, 2 * DIM * sizeof *dw);
        assert_true(dx[N - 1] != 0 && dw[DIM - 1] != 0 && (dw[2 * DIM - 1] != 0) == layer);
        free(x), free(sum), free(h), free(w), free(dy), free(value);
        free(y), free(want), free(kept), free(dx), free(dw), free(bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(the_mean_is_taken_off),
        cmocka_unit_test(works_in_place_and_by_parts),
        cmocka_unit_test(fused_equals_its_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
