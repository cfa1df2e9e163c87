#include "nn/attention.h"

#include "kernel/bf16.h"
#include "layer_check.h"

typedef struct attention_case {
    dither_attention shape;
    size_t tokens, width, out; /* tokens of the batch, columns of qkv and of o */
    const float *qkv, *dout;
    float *o, *lse, *dqkv;
} attention_case;

/* Plain softmax attention in double. @return sum of dout o */
static double reference(const attention_case *c, const double *qkv, double *o, double *lse)
{
    const dither_attention *s = &c->shape;
    double weighted = 0, *p = layer_new(s->seq, sizeof *p);
    for (size_t row = 0; row < c->tokens * s->heads; row++) {
        const size_t t = row / s->heads, head = row % s->heads, first = t - t % s->seq;
        const size_t kv_head = head / (s->heads / s->kv_heads);
        const double *q = qkv + t * c->width + head * s->head_dim;
        const double *k = qkv + first * c->width + (s->heads + kv_head) * s->head_dim;
        const double *v = k + s->kv_heads * s->head_dim;
        double sum = 0;
        for (size_t u = 0; u <= t - first; u++) {
            double dot = 0;
            for (size_t i = 0; i < s->head_dim; i++)
                dot += q[i] * k[u * c->width + i];
            p[u] = exp(dot / sqrt((double)s->head_dim));
            sum += p[u];
        }
        for (size_t i = 0; i < s->head_dim; i++) {
            double value = 0;
            for (size_t u = 0; u <= t - first; u++)
                value += p[u] / sum * v[u * c->width + i];
            const size_t at = t * c->out + head * s->head_dim + i;
            weighted += value * (double)c->dout[at];
            if (o)
                o[at] = value;
        }
        if (lse)
            lse[row] = log(sum);
    }
    free(p);
    return weighted;
}

static double weighted(const void *data, const double *at)
{
    return reference(data, at, NULL, NULL);
}

static void forward(const dither_context *context, void *data)
{
    attention_case *c = data;
    dither_attention_forward(context, &c->shape, c->qkv, c->o, c->lse);
}

static void backward(const dither_context *context, void *data)
{
    attention_case *c = data;
    dither_attention_backward(context, &c->shape, c->qkv, c->o, c->lse, c->dout, c->dqkv);
}

static attention_case open_case(dither_attention shape)
{
    attention_case c = {.shape = shape, .tokens = shape.batch * shape.seq, .out = shape.heads * shape.head_dim};
    c.width = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
    c.qkv = layer_random(1, c.tokens * c.width, 1.5f);
    c.dout = layer_random(2, c.tokens * c.out, 1);
    c.o = layer_new(c.tokens * c.out, sizeof *c.o);
    c.lse = layer_new(c.tokens * shape.heads, sizeof *c.lse);
    c.dqkv = layer_new(c.tokens * c.width, sizeof *c.dqkv);
    return c;
}

static void close_case(attention_case *c)
{
    free((void *)(uintptr_t)c->qkv);
    free((void *)(uintptr_t)c->dout);
    free(c->o);
    free(c->lse);
    free(c->dqkv);
}

/* Both passes at every number of threads, into memory full of NaN: the same bits, and everything written. */
static void run_threads(attention_case *c)
{
    const size_t o = c->tokens * c->out * sizeof(float), lse = c->tokens * c->shape.heads * sizeof(float);
    const size_t dqkv = c->tokens * c->width * sizeof(float);
    float *first_o = layer_new(1, o), *first_lse = layer_new(1, lse), *first_dqkv = layer_new(1, dqkv);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        memset(c->o, 0xff, o);
        memset(c->lse, 0xff, lse);
        memset(c->dqkv, 0xff, dqkv);
        layer_run(layer_threads[t], forward, c);
        layer_run(layer_threads[t], backward, c);
        if (t == 0) {
            memcpy(first_o, c->o, o);
            memcpy(first_lse, c->lse, lse);
            memcpy(first_dqkv, c->dqkv, dqkv);
        }
        assert_memory_equal(c->o, first_o, o);
        assert_memory_equal(c->lse, first_lse, lse);
        assert_memory_equal(c->dqkv, first_dqkv, dqkv);
    }
    free(first_o);
    free(first_lse);
    free(first_dqkv);
}

/* Every `step`-th gradient against a central difference. */
static void check_slopes(const attention_case *c, size_t step, double tolerance)
{
    const size_t n = c->tokens * c->width;
    double *at = layer_double(n, c->qkv), largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)c->dqkv[i]));
    for (size_t i = 0; i < n; i += step) {
        const double slope = layer_slope(weighted, c, at, i);
        if (!(fabs((double)c->dqkv[i] - slope) <= tolerance * largest))
            fail_msg("gradient %zu of %zu: %g, should be %g", i, n, (double)c->dqkv[i], slope);
    }
    free(at);
}

/*
 * A score is a sum of head_dim <= 33 products of numbers below 1.5: its error of about 33 u 2.25 sqrt(33) = 3e-5 at the
 * very worst, 2e-6 in practice, is p's relative error; o is an average of v by p. 1e-5 of the largest holds with room,
 * and a key that is lost, doubled or masked wrongly moves some o by more than 1e-3.
 */
static void check(dither_attention shape, size_t step)
{
    attention_case c = open_case(shape);
    run_threads(&c);
    double *o = layer_new(c.tokens * c.out, sizeof *o), *lse = layer_new(c.tokens * shape.heads, sizeof *lse);
    double *qkv = layer_double(c.tokens * c.width, c.qkv);
    reference(&c, qkv, o, lse);
    layer_near(c.tokens * c.out, c.o, o, 1e-5);
    layer_near(c.tokens * shape.heads, c.lse, lse, 1e-5);
    check_slopes(&c, step, 1e-5);
    free(o);
    free(lse);
    free(qkv);
    close_case(&c);
}

static void agrees_with_reference(void **state)
{
    (void)state;
    check((dither_attention){.batch = 1, .seq = 1, .heads = 1, .kv_heads = 1, .head_dim = 1}, 1);
    check((dither_attention){.batch = 3, .seq = 1, .heads = 2, .kv_heads = 2, .head_dim = 5}, 1);
    check((dither_attention){.batch = 2, .seq = 7, .heads = 6, .kv_heads = 2, .head_dim = 3}, 1);
    check((dither_attention){.batch = 1, .seq = 63, .heads = 2, .kv_heads = 1, .head_dim = 4}, 5);
    check((dither_attention){.batch = 2, .seq = 64, .heads = 2, .kv_heads = 2, .head_dim = 8}, 23);
    check((dither_attention){.batch = 2, .seq = 65, .heads = 3, .kv_heads = 1, .head_dim = 6}, 23);
    check((dither_attention){.batch = 1, .seq = 130, .heads = 4, .kv_heads = 2, .head_dim = 33}, 331);
    check((dither_attention){.batch = 1, .seq = 200, .heads = 2, .kv_heads = 1, .head_dim = 2}, 17);
}

/*
 * Scores of up to several hundred: exp overflows without the running maximum. An error of a score is an error of p, so
 * the bound on o is that of a score: |s| 4 u = 1e-4.
 */
static void survives_large_scores(void **state)
{
    (void)state;
    attention_case c = open_case((dither_attention){.batch = 1, .seq = 150, .heads = 1, .kv_heads = 1, .head_dim = 16});
    float *qkv = layer_random(1, c.tokens * c.width, 1.5f);
    for (size_t i = 0; i < c.tokens * c.width; i++)
        if (i % c.width < 32)
            qkv[i] *= 8;
    free((void *)(uintptr_t)c.qkv);
    c.qkv = qkv;
    run_threads(&c);
    double *at = layer_double(c.tokens * c.width, qkv), *o = layer_new(c.tokens * c.out, sizeof *o);
    reference(&c, at, o, NULL);
    layer_near(c.tokens * c.out, c.o, o, 1e-4);
    check_slopes(&c, 101, 1e-3);
    free(at);
    free(o);
    close_case(&c);
}

/* bf16 operands: each carries a relative error of 2^-9, so o and gradients stay within a few of them of f32's. */
static void bf16_is_near_and_differs(void **state)
{
    (void)state;
    dither_attention shape = {.batch = 2, .seq = 70, .heads = 4, .kv_heads = 2, .head_dim = 16};
    attention_case exact = open_case(shape);
    run_threads(&exact);
    shape.bf16 = true;
    attention_case rounded = open_case(shape);
    run_threads(&rounded);
    double *o = layer_double(exact.tokens * exact.out, exact.o);
    double *dqkv = layer_double(exact.tokens * exact.width, exact.dqkv);
    layer_near(exact.tokens * exact.out, rounded.o, o, 4 * 0x1p-9);
    layer_near(exact.tokens * exact.width, rounded.dqkv, dqkv, 8 * 0x1p-9);
    size_t moved = 0;
    for (size_t i = 0; i < exact.tokens * exact.width; i++)
        moved += fabs((double)rounded.dqkv[i] - dqkv[i]) > 0x1p-14 * fabs(dqkv[i]);
    assert_true(moved > exact.tokens * exact.width / 2);
    free(o);
    free(dqkv);
    close_case(&exact);
    close_case(&rounded);
}

static double rounded(double x)
{
    return (double)dither_bf16_round((float)x);
}

/*
 * One sequence of one head of one block, both passes in double with every operand of a product rounded where the header
 * says: q, k, v and do, exp(s - max) in forward, softmax and ds in backward.
 */
static void rounded_reference(const attention_case *c, double *o, double *dqkv)
{
    const size_t dim = c->shape.head_dim, seq = c->shape.seq;
    const double scale = 1 / sqrt((double)dim);
    double *qkv = layer_double(seq * c->width, c->qkv), *dout = layer_double(seq * dim, c->dout);
    double *s = layer_new(seq, sizeof *s);
    for (size_t i = 0; i < seq * c->width; i++)
        qkv[i] = rounded(qkv[i]);
    for (size_t i = 0; i < seq * dim; i++)
        dout[i] = rounded(dout[i]);
    for (size_t t = 0; t < seq; t++) {
        double max = -INFINITY, sum = 0, d = 0;
        for (size_t u = 0; u <= t; u++) {
            s[u] = 0;
            for (size_t i = 0; i < dim; i++)
                s[u] += scale * qkv[t * c->width + i] * qkv[u * c->width + dim + i];
            max = fmax(max, s[u]);
        }
        for (size_t u = 0; u <= t; u++) {
            sum += exp(s[u] - max);
            for (size_t i = 0; i < dim; i++)
                o[t * dim + i] += rounded(exp(s[u] - max)) * qkv[u * c->width + 2 * dim + i];
        }
        for (size_t i = 0; i < dim; i++) {
            o[t * dim + i] /= sum;
            d += o[t * dim + i] * dout[t * dim + i];
        }
        for (size_t u = 0; u <= t; u++) {
            const double p = exp(s[u] - max) / sum;
            double dp = 0;
            for (size_t i = 0; i < dim; i++)
                dp += dout[t * dim + i] * qkv[u * c->width + 2 * dim + i];
            const double ds = rounded(p * (dp - d));
            for (size_t i = 0; i < dim; i++) {
                dqkv[t * c->width + i] += scale * ds * qkv[u * c->width + dim + i];
                dqkv[u * c->width + dim + i] += scale * ds * qkv[t * c->width + i];
                dqkv[u * c->width + 2 * dim + i] += rounded(p) * dout[t * dim + i];
            }
        }
    }
    free(qkv);
    free(dout);
    free(s);
}

static double relative_distance(size_t count, const float *x, const double *y)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        size += y[i] * y[i];
    }
    return sqrt(difference / size);
}

/*
 * Leaving out one rounding moves the result by about 2^-9 / sqrt(3) = 1e-3 of its norm. f32 errors of 1e-6 flip about
 * one rounding in 2000, by 2^-8: 2^-8 / sqrt(2000) = 9e-5. The bound lies between.
 */
static void bf16_rounds_what_the_header_says(void **state)
{
    (void)state;
    attention_case c = open_case(
        (dither_attention){.batch = 1, .seq = 60, .heads = 1, .kv_heads = 1, .head_dim = 24, .bf16 = true});
    run_threads(&c);
    double *o = layer_new(c.tokens * c.out, sizeof *o), *dqkv = layer_new(c.tokens * c.width, sizeof *dqkv);
    rounded_reference(&c, o, dqkv);
    assert_true(relative_distance(c.tokens * c.out, c.o, o) <= 3e-4);
    for (size_t part = 0; part < 3; part++) { /* dq, dk and dv each */
        float *found = layer_new(c.tokens * c.out, sizeof *found);
        double *exact = layer_new(c.tokens * c.out, sizeof *exact);
        for (size_t i = 0; i < c.tokens * c.out; i++) {
            const size_t at = i / c.out * c.width + part * c.out + i % c.out;
            found[i] = c.dqkv[at];
            exact[i] = dqkv[at];
        }
        assert_true(relative_distance(c.tokens * c.out, found, exact) <= 3e-4);
        free(found);
        free(exact);
    }
    free(o);
    free(dqkv);
    close_case(&c);
}

/* What comes later changes no bit of what came before, and no other sequence. */
static void future_is_masked(void **state)
{
    (void)state;
    enum { SEQ = 130 };
    static const size_t changed[] = {1, 63, 64, 100, 129};
    attention_case c = open_case((dither_attention){.batch = 2, .seq = SEQ, .heads = 4, .kv_heads = 2, .head_dim = 8});
    layer_run(2, forward, &c);
    attention_case other = open_case(c.shape);
    float *qkv = layer_random(1, c.tokens * c.width, 1.5f);
    free((void *)(uintptr_t)other.qkv);
    other.qkv = qkv;
    for (size_t i = sizeof changed / sizeof *changed; i-- > 0;) {
        const size_t t = changed[i];
        for (size_t j = 0; j < c.width; j++)
            qkv[t * c.width + j] = 7;
        layer_run(2, forward, &other);
        assert_memory_equal(other.o, c.o, t * c.out * sizeof(float));
        assert_memory_not_equal(other.o + t * c.out, c.o + t * c.out, c.out * sizeof(float));
        assert_memory_equal(other.o + SEQ * c.out, c.o + SEQ * c.out, SEQ * c.out * sizeof(float));
    }
    close_case(&c);
    close_case(&other);
}

static void batch_split_is_whole(void **state)
{
    (void)state;
    attention_case c = open_case((dither_attention){.batch = 3, .seq = 67, .heads = 4, .kv_heads = 2, .head_dim = 8});
    run_threads(&c);
    const dither_attention one = {.batch = 1, .seq = 67, .heads = 4, .kv_heads = 2, .head_dim = 8};
    for (size_t b = 0; b < 3; b++) {
        attention_case part = open_case(one);
        attention_case inside = part;
        inside.qkv = c.qkv + b * 67 * c.width;
        inside.dout = c.dout + b * 67 * c.out;
        layer_run(3, forward, &inside);
        layer_run(3, backward, &inside);
        assert_memory_equal(part.o, c.o + b * 67 * c.out, 67 * c.out * sizeof(float));
        assert_memory_equal(part.dqkv, c.dqkv + b * 67 * c.width, 67 * c.width * sizeof(float));
        close_case(&part);
    }
    close_case(&c);
}

typedef struct decode_case {
    dither_attention shape;
    size_t position;
    const float *qkv;
    float *cache_k, *cache_v, *o;
} decode_case;

static void decode(const dither_context *context, void *data)
{
    decode_case *c = data;
    dither_attention_decode(context, &c->shape, c->position, c->qkv, c->cache_k, c->cache_v, c->o);
}

/* One token after another gives what the whole sequence gives; f32 sums in another order: 1e-5 as above. */
static void decoding_continues_forward(bool bf16, double tolerance)
{
    enum { SEQ = 135 };
    attention_case c = open_case(
        (dither_attention){.batch = 1, .seq = SEQ, .heads = 6, .kv_heads = 2, .head_dim = 10, .bf16 = bf16});
    layer_run(1, forward, &c);
    double *o = layer_double(c.tokens * c.out, c.o);
    float *k = layer_new(SEQ * 20, sizeof *k), *v = layer_new(SEQ * 20, sizeof *v);
    float *row = layer_new(c.out, sizeof *row), *one = layer_new(c.out, sizeof *one);
    for (size_t t = 0; t < SEQ; t++) {
        decode_case d = {c.shape, t, c.qkv + t * c.width, k, v, one};
        layer_run(1, decode, &d);
        d.o = row;
        layer_run(3, decode, &d);
        assert_memory_equal(row, one, c.out * sizeof *row);
        layer_near(c.out, row, o + t * c.out, tolerance);
    }
    free(o);
    free(k);
    free(v);
    free(row);
    free(one);
    close_case(&c);
}

static void decodes_like_forward(void **state)
{
    (void)state;
    decoding_continues_forward(false, 1e-5);
    decoding_continues_forward(true, 4 * 0x1p-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference), cmocka_unit_test(survives_large_scores),
        cmocka_unit_test(bf16_is_near_and_differs), cmocka_unit_test(future_is_masked),
        cmocka_unit_test(batch_split_is_whole), cmocka_unit_test(bf16_rounds_what_the_header_says),
        cmocka_unit_test(decodes_like_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
