/* Attention against plain double arithmetic: what its tests share. */
#ifndef DITHER_TESTS_ATTENTION_FIXTURE_H
#define DITHER_TESTS_ATTENTION_FIXTURE_H

#include "kernel/bf16.h"
#include "layer_check.h"
#include "nn/attention.h"

typedef struct attention_case {
    dither_attention shape;
    size_t tokens, width, out; /* tokens of the batch, columns of qkv and of o */
    const float *qkv, *dout;
    float *o, *lse, *dqkv;
} attention_case;

/* The first key that token t of the batch sees, in its sequence. */
static inline size_t first_seen(const attention_case *c, size_t t)
{
    return c->shape.first ? c->shape.first[t] : 0;
}

static inline double scale_of(const attention_case *c)
{
    return c->shape.scale != 0 ? (double)c->shape.scale : 1 / sqrt((double)c->shape.head_dim);
}

/* Plain softmax attention in double. @return sum of dout o */
static inline double reference(const attention_case *c, const double *qkv, double *o, double *lse)
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
        for (size_t u = first_seen(c, t); u <= t - first; u++) {
            double dot = 0;
            for (size_t i = 0; i < s->head_dim; i++)
                dot += q[i] * k[u * c->width + i];
            p[u] = exp(dot * scale_of(c));
            sum += p[u];
        }
        for (size_t i = 0; i < s->head_dim; i++) {
            double value = 0;
            for (size_t u = first_seen(c, t); u <= t - first; u++)
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

static inline double weighted(const void *data, const double *at)
{
    return reference(data, at, NULL, NULL);
}

static inline void forward(const dither_context *context, void *data)
{
    attention_case *c = data;
    dither_attention_forward(context, &c->shape, c->qkv, c->o, c->lse);
}

static inline void backward(const dither_context *context, void *data)
{
    attention_case *c = data;
    dither_attention_backward(context, &c->shape, c->qkv, c->o, c->lse, c->dout, c->dqkv);
}

static inline attention_case open_case(dither_attention shape)
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

static inline void close_case(attention_case *c)
{
    free((void *)(uintptr_t)c->qkv);
    free((void *)(uintptr_t)c->dout);
    free(c->o);
    free(c->lse);
    free(c->dqkv);
}

/* Both passes at every number of threads, into memory full of NaN: the same bits, and everything written. */
static inline void run_threads(attention_case *c)
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
static inline void check_slopes(const attention_case *c, size_t step, double tolerance)
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
 * A score is a sum of up to 256 products of numbers below 1.5, scaled by 1 / 16: their errors add up as a random walk
 * does, to 256 u 2.25 / 16 = 2e-6, is p's relative error; o is an average of v by p. 1e-5 of the largest holds with
 * room, and a key that is lost, doubled or masked wrongly moves some o by more than 1e-3.
 */
static inline void check(dither_attention shape, size_t step)
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

static inline double rounded(double x)
{
    return (double)dither_bf16_round((float)x);
}

/* A head of a sequence: where its columns lie. */
typedef struct head_place {
    size_t row, q, k, v, o; /* the first row, columns of qkv, column of o */
} head_place;

static inline head_place head_at(const attention_case *c, size_t index)
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
static inline double rounded_scores(const attention_case *c, const double *qkv, const head_place *at, size_t t,
                                    double *s)
{
    const size_t dim = c->shape.head_dim;
    double max = -INFINITY, sum = 0;
    for (size_t u = first_seen(c, at->row + t); u <= t; u++) {
        s[u] = 0;
        for (size_t i = 0; i < dim; i++)
            s[u] += qkv[(at->row + t) * c->width + at->q + i] * qkv[(at->row + u) * c->width + at->k + i];
        s[u] *= scale_of(c);
        max = fmax(max, s[u]);
    }
    for (size_t u = first_seen(c, at->row + t); u <= t; u++) {
        s[u] = exp(s[u] - max);
        sum += s[u];
    }
    return sum;
}

/* dqkv of query t, whose exp(s - max) and their sum are p and sum. */
static inline void rounded_gradient(const attention_case *c, const double *qkv, const double *dout,
                                    const head_place *at, size_t t, const double *p, double sum, double *dqkv)
{
    const size_t dim = c->shape.head_dim;
    const double scale = scale_of(c), *dot = dout + (at->row + t) * c->out + at->o;
    const double *q = qkv + (at->row + t) * c->width + at->q;
    double *dq = dqkv + (at->row + t) * c->width + at->q, d = 0;
    for (size_t i = 0; i < dim; i++)
        d += (double)c->o[(at->row + t) * c->out + at->o + i] * dot[i];
    for (size_t u = first_seen(c, at->row + t); u <= t; u++) {
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
static inline void rounded_reference(const attention_case *c, double *o, double *dqkv)
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
            for (size_t u = first_seen(c, at.row + t); u <= t; u++)
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

static inline double relative_distance(size_t count, const float *x, const double *y)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        size += y[i] * y[i];
    }
    return sqrt(difference / size);
}

/* Columns `from`.. of dqkv, as many as `cols`. */
static inline double part_distance(const attention_case *c, const double *dqkv, size_t from, size_t cols)
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
 * elsewhere, and o stays within the 1e-3 that they make. Short documents leave few pairs, of which one that flips is
 * 2^-8 / sqrt(pairs) of the whole, and up to four times as much where its ds is a large one.
 */
static inline void check_rounded(dither_attention shape)
{
    shape.bf16 = true;
    attention_case c = open_case(shape);
    run_threads(&c);
    double *o = layer_new(c.tokens * c.out, sizeof *o), *dqkv = layer_new(c.tokens * c.width, sizeof *dqkv);
    rounded_reference(&c, o, dqkv);
    const size_t kv = shape.kv_heads * shape.head_dim;
    const double on_o = relative_distance(c.tokens * c.out, c.o, o);
    /* Of itself alone a token sees p = 1 and ds = 0 but for the error of o: dq and dk are nothing but error. */
    const bool alone = dither_attention_pairs(&shape) <= (double)c.tokens;
    const double on_q = !alone ? part_distance(&c, dqkv, 0, c.out) : 0;
    const double on_k = !alone ? part_distance(&c, dqkv, c.out, kv) : 0;
    const double on_v = part_distance(&c, dqkv, c.out + kv, kv);
    const double pairs = dither_attention_pairs(&shape) * (double)shape.heads;
    const double most = shape.first ? fmax(3e-4, 4 * 0x1p-8 / sqrt(pairs)) : 3e-4;
    if (!(on_o <= (shape.seq <= 120 ? most : fmax(1e-3, most)) && on_q <= most && on_k <= most && on_v <= most))
        fail_msg("seq %zu, %zu heads of %zu, %zu of k and v: o %.2g, dq %.2g, dk %.2g, dv %.2g away", shape.seq,
                 shape.heads, shape.head_dim, shape.kv_heads, on_o, on_q, on_k, on_v);
    free(o);
    free(dqkv);
    close_case(&c);
}

/*
 * Documents of 1 to 2 doc - 1 tokens, others in each sequence, seen through a window: doc 1 makes every token one of
 * its own, doc or window 0 is none.
 */
static inline uint32_t *new_mask(size_t batch, size_t seq, size_t doc, size_t window)
{
    uint32_t *first = layer_new(batch * seq, sizeof *first);
    for (size_t b = 0; b < batch; b++) {
        size_t start = 0, end = doc > 1 ? 1 + (b * 31 + seq) % (2 * doc - 1) : doc;
        for (size_t t = 0; t < seq; t++) {
            if (doc > 0 && t == end) {
                start = t;
                end += doc > 1 ? 1 + (t * 7 + b * 13 + end) % (2 * doc - 1) : 1;
            }
            const size_t near = window > 0 && t + 1 > window ? t + 1 - window : 0;
            first[b * seq + t] = (uint32_t)(near > start ? near : start);
        }
    }
    return first;
}

#endif
