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

/* A head of a sequence: where its columns lie. */
typedef struct head_place {
    size_t row, q, k, v, o; /* the first row, columns of qkv, column of o */
} head_place;

static head_place head_at(const attention_case *c, size_t index)
{
    const dither_attention *s = &c->shape;
    const size_t head = index % s->heads, kv_head = head / (s->heads / s->kv_heads);
    return (head_place){.row = index / s->heads * s->seq,
                        .q = head * s->head_dim,
                        .k = (s->heads + kv_head) * s->head_dim,
                        .v = (s->heads + s->kv_heads + kv_head) * s->head_dim,
                        .o = head * s->head_dim};
}

/* s[u] of query t, and its softmax: exp(s - max) and the sum of them. */
static double rounded_scores(const attention_case *c, const double *qkv, const head_place *at, size_t t, double *s)
{
    const size_t dim = c->shape.head_dim;
    double max = -INFINITY, sum = 0;
    for (size_t u = 0; u <= t; u++) {
        s[u] = 0;
        for (size_t i = 0; i < dim; i++)
            s[u] += qkv[(at->row + t) * c->width + at->q + i] * qkv[(at->row + u) * c->width + at->k + i];
        s[u] /= sqrt((double)dim);
        max = fmax(max, s[u]);
    }
    for (size_t u = 0; u <= t; u++) {
        s[u] = exp(s[u] - max);
        sum += s[u];
    }
    return sum;
}

/* dqkv of query t, whose exp(s - max) and their sum are p and sum. */
static void rounded_gradient(const attention_case *c, const double *qkv, const double *dout, const head_place *at,
                             size_t t, const double *p, double sum, double *dqkv)
{
    const size_t dim = c->shape.head_dim;
    const double scale = 1 / sqrt((double)dim), *dot = dout + (at->row + t) * c->out + at->o;
    const double *q = qkv + (at->row + t) * c->width + at->q;
    double *dq = dqkv + (at->row + t) * c->width + at->q, d = 0;
    for (size_t i = 0; i < dim; i++)
        d += (double)c->o[(at->row + t) * c->out + at->o + i] * dot[i];
    for (size_t u = 0; u <= t; u++) {
        const double *row = qkv + (at->row + u) * c->width;
        double *drow = dqkv + (at->row + u) * c->width, dp = 0;
        for (size_t i = 0; i < dim; i++)
            dp += dot[i] * row[at->v + i];
        const double ds = rounded(p[u] / sum * (dp - d));
        for (size_t i = 0; i < dim; i++) {
            dq[i] += scale * ds * row[at->k + i];
            drow[at->k + i] += scale * ds * q[i];
            drow[at->v + i] += rounded(p[u] / sum) * dot[i];
        }
    }
}

/*
 * Both passes in double with every operand of a product rounded where the header says: q, k, v and do, exp(s - max) in
 * forward, softmax and ds in backward, which starts from the o that was found.
 */
static void rounded_reference(const attention_case *c, double *o, double *dqkv)
{
    const size_t dim = c->shape.head_dim;
    double *qkv = layer_double(c->tokens * c->width, c->qkv), *dout = layer_double(c->tokens * c->out, c->dout);
    double *p = layer_new(c->shape.seq, sizeof *p);
    for (size_t i = 0; i < c->tokens * c->width; i++)
        qkv[i] = rounded(qkv[i]);
    for (size_t i = 0; i < c->tokens * c->out; i++)
        dout[i] = rounded(dout[i]);
    for (size_t index = 0; index < c->shape.batch * c->shape.heads; index++) {
        const head_place at = head_at(c, index);
        for (size_t t = 0; t < c->shape.seq; t++) {
            const double sum = rounded_scores(c, qkv, &at, t, p);
            for (size_t u = 0; u <= t; u++)
                for (size_t i = 0; i < dim; i++)
                    o[(at.row + t) * c->out + at.o + i] +=
                        rounded(p[u]) / sum * qkv[(at.row + u) * c->width + at.v + i];
            rounded_gradient(c, qkv, dout, &at, t, p, sum, dqkv);
        }
    }
    free(qkv);
    free(dout);
    free(p);
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

/* Columns `from`.. of dqkv, as many as `cols`. */
static double part_distance(const attention_case *c, const double *dqkv, size_t from, size_t cols)
{
    float *found = layer_new(c->tokens * cols, sizeof *found);
    double *exact = layer_new(c->tokens * cols, sizeof *exact);
    for (size_t i = 0; i < c->tokens * cols; i++) {
        const size_t at = i / cols * c->width + from + i % cols;
        found[i] = c->dqkv[at];
        exact[i] = dqkv[at];
    }
    const double distance = relative_distance(c->tokens * cols, found, exact);
    free(found);
    free(exact);
    return distance;
}

/*
 * Leaving out one rounding moves the result by about 2^-9 / sqrt(3) = 1e-3 of its norm. f32 errors of 1e-6 flip about
 * one rounding in 2000, by 2^-8: 2^-8 / sqrt(2000) = 9e-5. The bound lies between. Forward rounds exp(s - max) with the
 * largest score so far, block of keys by block: with more than one of them (128 keys, not fewer) roundings fall
 * elsewhere, and o stays within the 1e-3 that they make.
 */
static void check_rounded(dither_attention shape)
{
    shape.bf16 = true;
    attention_case c = open_case(shape);
    run_threads(&c);
    double *o = layer_new(c.tokens * c.out, sizeof *o), *dqkv = layer_new(c.tokens * c.width, sizeof *dqkv);
    rounded_reference(&c, o, dqkv);
    const size_t kv = shape.kv_heads * shape.head_dim;
    const double on_o = relative_distance(c.tokens * c.out, c.o, o);
    /* One token: p = 1 and ds = 0 but for the error of o, so dq and dk are nothing but error. */
    const double on_q = shape.seq > 1 ? part_distance(&c, dqkv, 0, c.out) : 0;
    const double on_k = shape.seq > 1 ? part_distance(&c, dqkv, c.out, kv) : 0;
    const double on_v = part_distance(&c, dqkv, c.out + kv, kv);
    if (!(on_o <= (shape.seq <= 120 ? 3e-4 : 1e-3) && on_q <= 3e-4 && on_k <= 3e-4 && on_v <= 3e-4))
        fail_msg("seq %zu, %zu heads of %zu, %zu of k and v: o %.2g, dq %.2g, dk %.2g, dv %.2g away", shape.seq,
                 shape.heads, shape.head_dim, shape.kv_heads, on_o, on_q, on_k, on_v);
    free(o);
    free(dqkv);
    close_case(&c);
}

static void bf16_rounds_what_the_header_says(void **state)
{
    (void)state;
    check_rounded((dither_attention){.batch = 1, .seq = 60, .heads = 1, .kv_heads = 1, .head_dim = 24});
    check_rounded((dither_attention){.batch = 3, .seq = 1, .heads = 3, .kv_heads = 1, .head_dim = 8});
    check_rounded((dither_attention){.batch = 2, .seq = 3, .heads = 8, .kv_heads = 1, .head_dim = 64});
    check_rounded((dither_attention){.batch = 2, .seq = 65, .heads = 6, .kv_heads = 2, .head_dim = 96});
    check_rounded((dither_attention){.batch = 1, .seq = 64, .heads = 4, .kv_heads = 4, .head_dim = 32});
    check_rounded((dither_attention){.batch = 1, .seq = 129, .heads = 8, .kv_heads = 1, .head_dim = 128});
    check_rounded((dither_attention){.batch = 2, .seq = 131, .heads = 3, .kv_heads = 3, .head_dim = 33});
    check_rounded((dither_attention){.batch = 1, .seq = 129, .heads = 9, .kv_heads = 3, .head_dim = 64});
    /* More than one strip of backward and block of forward. */
    check_rounded((dither_attention){.batch = 1, .seq = 700, .heads = 2, .kv_heads = 1, .head_dim = 5});
}

typedef struct kept_case {
    attention_case c;
    dither_attention_values qkv, o_values;
    uint16_t *kept;
} kept_case;

static void forward_kept(const dither_context *context, void *data)
{
    kept_case *k = data;
    dither_attention_forward_kept(context, &k->c.shape, k->qkv, k->c.o, k->kept, k->c.lse);
}

static void backward_kept(const dither_context *context, void *data)
{
    kept_case *k = data;
    dither_attention_backward_kept(context, &k->c.shape, k->qkv, k->o_values, k->c.lse, k->c.dout, k->c.dqkv);
}

static uint16_t *bf16_bits(size_t count, const float *x)
{
    uint16_t *bits = layer_new(count, sizeof *bits);
    for (size_t i = 0; i < count; i++) {
        const float value = dither_bf16_round(x[i]);
        uint32_t wide;
        memcpy(&wide, &value, sizeof wide);
        bits[i] = (uint16_t)(wide >> 16);
    }
    return bits;
}

/* bf16 in, and out beside f32: the bits that the same values in f32 give. */
static void takes_and_keeps_bf16(void **state)
{
    (void)state;
    for (size_t seq = 1; seq <= 133; seq += 44) {
        const dither_attention shape = {
            .batch = 2, .seq = seq, .heads = 6, .kv_heads = 2, .head_dim = 20 + seq % 3 * 6, .bf16 = true};
        attention_case c = open_case(shape);
        run_threads(&c);
        uint16_t *qkv = bf16_bits(c.tokens * c.width, c.qkv), *o = bf16_bits(c.tokens * c.out, c.o);
        kept_case k = {.c = open_case(shape), .qkv = {.bf16 = qkv}, .o_values = {.bf16 = o}};
        k.kept = layer_new(c.tokens * c.out, sizeof *k.kept);
        layer_run(2, forward_kept, &k);
        assert_memory_equal(k.c.o, c.o, c.tokens * c.out * sizeof *c.o);
        assert_memory_equal(k.c.lse, c.lse, c.tokens * shape.heads * sizeof *c.lse);
        assert_memory_equal(k.kept, o, c.tokens * c.out * sizeof *o);
        for (size_t i = 0; i < c.tokens * c.out; i++) /* backward of the values that were kept */
            c.o[i] = dither_bf16_round(c.o[i]);
        layer_run(1, backward, &c);
        layer_run(3, backward_kept, &k);
        assert_memory_equal(k.c.dqkv, c.dqkv, c.tokens * c.width * sizeof *c.dqkv);
        free(qkv);
        free(o);
        free(k.kept);
        close_case(&k.c);
        close_case(&c);
    }
}

/* What comes later changes no bit of what came before, and no other sequence. */
static void check_future(bool bf16)
{
    enum { SEQ = 130 };
    static const size_t changed[] = {1, 63, 64, 100, 129};
    attention_case c =
        open_case((dither_attention){.batch = 2, .seq = SEQ, .heads = 4, .kv_heads = 2, .head_dim = 8, .bf16 = bf16});
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

static void future_is_masked(void **state)
{
    (void)state;
    check_future(false);
    check_future(true);
}

static void check_batch_split(bool bf16)
{
    dither_attention one = {.batch = 3, .seq = 67, .heads = 4, .kv_heads = 2, .head_dim = 8, .bf16 = bf16};
    attention_case c = open_case(one);
    run_threads(&c);
    one.batch = 1;
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

static void batch_split_is_whole(void **state)
{
    (void)state;
    check_batch_split(false);
    check_batch_split(true);
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
    dither_attention_extend(context, &c->shape, c->position, 1, NULL, c->qkv, c->cache_k, c->cache_v, c->o);
}

/* One token after another gives what the whole sequence gives; f32 sums in another order: 1e-5 as above. */
static void decoding_continues_forward(bool bf16, double tolerance)
{
    enum { SEQ = 135 };
    attention_case c =
        open_case((dither_attention){.batch = 1, .seq = SEQ, .heads = 6, .kv_heads = 2, .head_dim = 10, .bf16 = bf16});
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
        cmocka_unit_test(agrees_with_reference),    cmocka_unit_test(survives_large_scores),
        cmocka_unit_test(bf16_is_near_and_differs), cmocka_unit_test(future_is_masked),
        cmocka_unit_test(batch_split_is_whole),     cmocka_unit_test(bf16_rounds_what_the_header_says),
        cmocka_unit_test(decodes_like_forward),     cmocka_unit_test(takes_and_keeps_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
