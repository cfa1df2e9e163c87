#include "nn/head_norm.h"

#include "layer_check.h"

typedef struct head_norm_case {
    dither_head_norm norm;
    size_t tokens;
    float *x, *dx, *dq, *dk;
    dither_kept kept;
    const float *dy;
} head_norm_case;

/* sum of dy y as a function of (x, q, k) in one vector; y of the values too, which stay as they are */
static double reference(const head_norm_case *c, const double *x, const double *q, const double *k, double *y)
{
    const dither_head_norm *n = &c->norm;
    double weighted = 0;
    for (size_t t = 0; t < c->tokens; t++) {
        for (size_t j = 0; j < n->stride; j++) {
            const size_t head = j / n->head_dim, i = j % n->head_dim, at = t * n->stride + j;
            double value = x[at], squares = 0;
            if (head < n->heads + n->kv_heads) {
                for (size_t e = 0; e < n->head_dim; e++)
                    squares += x[at - i + e] * x[at - i + e];
                value *= (head < n->heads ? q : k)[i] / sqrt(squares / (double)n->head_dim + (double)n->eps);
            }
            if (y)
                y[at] = value;
            weighted += value * (double)c->dy[at];
        }
    }
    return weighted;
}

static double weighted(const void *data, const double *at)
{
    const head_norm_case *c = data;
    const size_t n = c->tokens * c->norm.stride;
    return reference(c, at, at + n, at + n + c->norm.head_dim, NULL);
}

static void forward(const dither_context *context, void *data)
{
    head_norm_case *c = data;
    dither_head_norm_forward(context, &c->norm, c->tokens, c->x, c->kept);
}

static void backward(const dither_context *context, void *data)
{
    head_norm_case *c = data;
    dither_head_norm_backward(context, &c->norm, c->tokens, c->kept, c->dx, c->dq, c->dk);
}

/* As in test_norm: a handful of roundings and sums of at most 70 * 4 terms. */
static void check(size_t tokens, size_t heads, size_t kv_heads, size_t dim)
{
    const size_t stride = (heads + 2 * kv_heads) * dim, n = tokens * stride, all = n + 2 * dim;
    const size_t width = (heads + kv_heads) * dim;
    float *joined = layer_random(1, all, 1), *dy = layer_random(2, n, 1);
    float *kept = layer_new(tokens * width, sizeof *kept);
    float *x = layer_new(n, sizeof *x), *out = layer_new(all, sizeof *out), *first = layer_new(n + all, sizeof *first);
    head_norm_case c = {.norm = {heads, kv_heads, dim, stride, 1e-5f, joined + n, joined + n + dim},
                        .tokens = tokens, .x = x, .dx = out, .dq = out + n, .dk = out + n + dim,
                        .kept = {.at = kept}, .dy = dy};
    double *y = layer_new(n, sizeof *y), *at = layer_double(all, joined);
    reference(&c, at, at + n, at + n + dim, y);
    double *slopes = layer_slopes(all, weighted, &c, joined);
    for (size_t r = 0; r < LAYER_THREADS; r++) {
        memcpy(x, joined, n * sizeof *x);
        memcpy(out, dy, n * sizeof *dy);
        for (size_t i = n; i < all; i++)
            out[i] = 3;
        layer_run(layer_threads[r], forward, &c);
        for (size_t t = 0; t < tokens; t++)
            assert_memory_equal(kept + t * width, joined + t * stride, width * sizeof *kept);
        layer_run(layer_threads[r], backward, &c);
        if (r == 0) {
            memcpy(first, x, n * sizeof *x);
            memcpy(first + n, out, all * sizeof *out);
        }
        assert_memory_equal(first, x, n * sizeof *x);
        assert_memory_equal(first + n, out, all * sizeof *out);
    }
    layer_near(n, x, y, 1e-6);
    for (size_t i = n; i < all; i++)
        out[i] -= 3;
    layer_near(n, out, slopes, 1e-5);
    layer_near(dim, out + n, slopes + n, 1e-5);
    layer_near(dim, out + n + dim, slopes + n + dim, 1e-5);
    free(joined), free(dy), free(kept), free(x), free(out), free(first), free(y), free(at), free(slopes);
}

static void agrees_with_reference(void **state)
{
    (void)state;
    check(1, 1, 1, 2);
    check(3, 2, 1, 6);
    check(35, 4, 2, 8);
    check(16, 3, 3, 4);
}

/* What is kept in bf16 gives the gradient of the values it stands for, bit for bit. */
static void kept_equals_its_values(void **state)
{
    (void)state;
    enum { TOKENS = 20, HEADS = 3, KV = 1, DIM = 10, WIDTH = (HEADS + KV) * DIM, STRIDE = WIDTH + KV * DIM };
    enum { N = TOKENS * STRIDE, KEPT = TOKENS * WIDTH };
    const dither_rows *rows = dither_rows_select(0);
    float *w = layer_random(3, 2 * DIM, 1), *value = layer_new(KEPT, sizeof *value);
    float *x = layer_random(1, N, 1), *dx = layer_random(2, N, 1), *again = layer_random(2, N, 1);
    float *dw = layer_new(4 * DIM, sizeof *dw);
    uint16_t *bits = layer_new(KEPT, sizeof *bits);
    head_norm_case c = {.norm = {HEADS, KV, DIM, STRIDE, 1e-6f, w, w + DIM}, .tokens = TOKENS, .x = x, .dx = dx,
                        .dq = dw, .dk = dw + DIM, .kept = {.at = bits, .bf16 = true}};
    layer_run(2, forward, &c);
    layer_run(2, backward, &c);
    rows->from_bf16(KEPT, bits, value);
    c.dx = again;
    c.dq = dw + 2 * DIM;
    c.dk = dw + 3 * DIM;
    c.kept = (dither_kept){.at = value};
    layer_run(1, backward, &c);
    assert_memory_equal(dx, again, N * sizeof *dx);
    assert_memory_equal(dw, dw + 2 * DIM, 2 * DIM * sizeof *dw);
    assert_true(dw[0] != 0 && dw[DIM] != 0);
    free(w), free(value), free(x), free(dx), free(again), free(dw), free(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(kept_equals_its_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
