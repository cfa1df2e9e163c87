#include "nn/rope.h"

#include "layer_check.h"

typedef struct rope_case {
    size_t tokens, seq, start, heads, head_dim, stride;
    const float *table;
    bool inverse;
    float *x;
} rope_case;

static void apply(const dither_context *context, void *data)
{
    rope_case *c = data;
    dither_rope_apply(context, c->tokens, c->seq, c->start, c->heads, c->head_dim, c->stride, c->table, c->inverse,
                      c->x);
}

/* x as the pairs' complex numbers, turned by position * base^(-2i/head_dim) */
static void reference(const rope_case *c, double base, double *x)
{
    const size_t half = c->head_dim / 2;
    for (size_t t = 0; t < c->tokens; t++) {
        for (size_t j = 0; j < c->heads * half; j++) {
            const size_t i = j % half;
            double *low = x + t * c->stride + j / half * c->head_dim + i, *high = low + half;
            const double position = (double)(c->start + t % c->seq);
            const double angle = position / pow(base, 2 * (double)i / (double)c->head_dim);
            const double a = *low, b = *high, sine = c->inverse ? -sin(angle) : sin(angle);
            *low = a * cos(angle) - b * sine;
            *high = a * sine + b * cos(angle);
        }
    }
}

static void check(rope_case c, double base)
{
    const size_t n = c.tokens * c.stride, positions = c.start + c.seq;
    float *table = layer_new(positions * c.head_dim, sizeof *table);
    dither_rope_table(positions, c.head_dim, base, table);
    float *start = layer_random(1, n, 1), *first = layer_new(n, sizeof *first);
    double *exact = layer_double(n, start);
    reference(&c, base, exact);
    c.table = table;
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        c.x = layer_random(1, n, 1);
        layer_run(layer_threads[t], apply, &c);
        if (t == 0)
            memcpy(first, c.x, n * sizeof *first);
        assert_memory_equal(c.x, first, n * sizeof *first);
        for (size_t i = 0; i < n; i++)
            if (i % c.stride >= c.heads * c.head_dim)
                assert_true(c.x[i] == start[i]);
        /* Two products and a sum of numbers below 1, on a table rounded once: 4 u each way. */
        layer_near(n, c.x, exact, 4 * 0x1p-23);
        c.inverse = !c.inverse;
        layer_run(layer_threads[t], apply, &c);
        c.inverse = !c.inverse;
        for (size_t i = 0; i < n; i++)
            assert_true(fabsf(c.x[i] - start[i]) <= 8 * 0x1p-24f * 2);
        free(c.x);
    }
    free(table);
    free(start);
    free(first);
    free(exact);
}

static void agrees_with_reference_and_inverts(void **state)
{
    (void)state;
    check((rope_case){.tokens = 1, .seq = 1, .heads = 1, .head_dim = 2, .stride = 2}, 1e4);
    check((rope_case){.tokens = 70, .seq = 35, .heads = 3, .head_dim = 10, .stride = 41}, 1e4);
    check((rope_case){.tokens = 65, .seq = 65, .heads = 2, .head_dim = 32, .stride = 64, .inverse = true}, 5e5);
    check((rope_case){.tokens = 1, .seq = 1, .start = 99, .heads = 2, .head_dim = 8, .stride = 24}, 1e4);
}

/* <R(p) q, R(p + d) k> depends on d alone. */
static void products_depend_on_distance(void **state)
{
    (void)state;
    enum { HEAD = 16, POSITIONS = 200, DISTANCE = 13 };
    float *table = layer_new(POSITIONS * HEAD, sizeof *table);
    dither_rope_table(POSITIONS, HEAD, 1e4, table);
    double before = 0;
    for (size_t position = 0; position + DISTANCE < POSITIONS; position += 17) {
        float *q = layer_random(2, HEAD, 1), *k = layer_random(3, HEAD, 1);
        rope_case c = {.tokens = 1, .seq = 1, .start = position, .heads = 1, .head_dim = HEAD, .stride = HEAD,
                       .table = table, .x = q};
        layer_run(1, apply, &c);
        c.start += DISTANCE;
        c.x = k;
        layer_run(1, apply, &c);
        double dot = 0;
        for (size_t i = 0; i < HEAD; i++)
            dot += (double)q[i] * (double)k[i];
        if (position > 0)
            assert_true(fabs(dot - before) <= HEAD * 8 * 0x1p-24);
        before = dot;
        free(q);
        free(k);
    }
    free(table);
}

typedef struct kept_case {
    rope_case plain;
    dither_kept kept;
} kept_case;

static void forward_keep(const dither_context *context, void *data)
{
    kept_case *k = data;
    const rope_case *c = &k->plain;
    dither_rope_forward_keep(context, c->tokens, c->seq, c->start, c->heads, c->head_dim, c->stride, c->table, c->x,
                             k->kept);
}

/* The whole row is kept, rotated and not, in f32 (halves 0) and in bf16. */
static void keeps_what_it_rotated(void **state)
{
    (void)state;
    enum { TOKENS = 40, HEAD = 6, STRIDE = 25, N = TOKENS * STRIDE };
    float *table = layer_new(TOKENS * HEAD, sizeof *table), *kept = layer_new(N, sizeof *kept);
    uint16_t *bits = layer_new(N, sizeof *bits);
    dither_rope_table(TOKENS, HEAD, 1e4, table);
    for (int halves = 0; halves < 2; halves++) {
        float *x = layer_random(4, N, 1), *want = layer_random(4, N, 1);
        rope_case plain = {.tokens = TOKENS, .seq = TOKENS, .heads = 3, .head_dim = HEAD, .stride = STRIDE,
                           .table = table, .x = want};
        layer_run(1, apply, &plain);
        dither_rows_select(0)->to_bf16(N, want, bits);
        kept_case c = {plain, {kept, halves != 0}};
        c.plain.x = x;
        layer_run(2, forward_keep, &c);
        assert_memory_equal(x, want, N * sizeof *x);
        assert_memory_equal(kept, halves ? (void *)bits : (void *)want, N * (halves ? sizeof *bits : sizeof *want));
        free(x);
        free(want);
    }
    free(table);
    free(kept);
    free(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference_and_inverts),
        cmocka_unit_test(products_depend_on_distance),
        cmocka_unit_test(keeps_what_it_rotated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
