#include "nn/loss.h"

#include "layer_check.h"

typedef struct loss_case {
    dither_scheme scheme;
    size_t tokens, dim, vocab;
    dither_head_mode mode;
    float scale;
    const float *h, *w;
    const uint32_t *targets;
    float *losses, *dh, *dw;
} loss_case;

static void head_loss(const dither_context *context, void *data)
{
    loss_case *c = data;
    dither_linear head;
    const dither_linear_plan plan = dither_linear_plan_reference(&c->scheme);
    assert_int_equal(dither_linear_init(&head, &plan, c->dim, c->vocab, 9, c->w, NULL, NULL), DITHER_OK);
    assert_int_equal(dither_head_loss(context, &head, c->mode, c->tokens, c->h, c->targets, c->scale, c->losses, c->dh,
                                      c->dw),
                     DITHER_OK);
}

/* Losses in double of h and w in one vector. @return scale * their sum */
static double reference(const loss_case *c, const double *h, const double *w, double *losses)
{
    double sum = 0;
    for (size_t t = 0; t < c->tokens; t++) {
        double total = 0, aimed = 0;
        for (size_t v = 0; v < c->vocab && c->targets[t] != UINT32_MAX; v++) {
            double logit = 0;
            for (size_t i = 0; i < c->dim; i++)
                logit += h[t * c->dim + i] * w[v * c->dim + i];
            total += exp(logit);
            aimed = v == c->targets[t] ? logit : aimed;
        }
        const double loss = c->targets[t] == UINT32_MAX ? 0 : log(total) - aimed;
        if (losses)
            losses[t] = loss;
        sum += loss;
    }
    return (double)c->scale * sum;
}

static double weighted(const void *data, const double *at)
{
    const loss_case *c = data;
    return reference(c, at, at + c->tokens * c->dim, NULL);
}

static uint32_t *targets_of(size_t tokens, size_t vocab, size_t ignored)
{
    uint32_t *targets = layer_new(tokens, sizeof *targets);
    for (size_t t = 0; t < tokens; t++)
        targets[t] = ignored && t % ignored == 1 ? UINT32_MAX : (uint32_t)(t * 5 % vocab);
    return targets;
}

/* Sums of at most 200 terms in f32 and exp within 1 ulp: 2e-6 of losses, 1e-5 of gradients of either sign. */
static void check(size_t tokens, size_t dim, size_t vocab, size_t ignored)
{
    const size_t hs = tokens * dim, ws = vocab * dim;
    float *joined = layer_random(1, hs + ws, 1), *outputs = layer_new(tokens + hs + ws, sizeof *outputs);
    float *first = layer_new(tokens + hs + ws, sizeof *first);
    uint32_t *targets = targets_of(tokens, vocab, ignored);
    loss_case c = {.tokens = tokens, .dim = dim, .vocab = vocab, .mode = DITHER_HEAD_TRAIN,
                   .scale = 1.0f / (float)tokens, .h = joined, .w = joined + hs, .targets = targets,
                   .losses = outputs, .dh = outputs + tokens, .dw = outputs + tokens + hs};
    assert_int_equal(dither_scheme_parse("f32", &c.scheme, NULL), DITHER_OK);
    double *losses = layer_new(tokens, sizeof *losses), *at = layer_double(hs + ws, joined);
    reference(&c, at, at + hs, losses);
    double *slopes = layer_slopes(hs + ws, weighted, &c, joined);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        memset(outputs, 0xff, (tokens + hs) * sizeof *outputs);
        memset(c.dw, 0, ws * sizeof *outputs);
        layer_run(layer_threads[t], head_loss, &c);
        if (t == 0)
            memcpy(first, outputs, (tokens + hs + ws) * sizeof *first);
        assert_memory_equal(outputs, first, (tokens + hs + ws) * sizeof *first);
    }
    layer_near(tokens, c.losses, losses, 2e-6);
    layer_near(hs, c.dh, slopes, 1e-5);
    layer_near(ws, c.dw, slopes + hs, 1e-5);
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < dim && targets[t] == UINT32_MAX; i++)
            assert_true(c.losses[t] == 0 && c.dh[t * dim + i] == 0);
    for (int mode = DITHER_HEAD_FORWARD; mode <= DITHER_HEAD_EXACT; mode++) {
        c.mode = (dither_head_mode)mode;
        memset(outputs, 0xff, tokens * sizeof *outputs);
        layer_run(3, head_loss, &c);
        layer_near(tokens, c.losses, losses, 2e-6);
        assert_memory_equal(c.dh, first + tokens, (hs + ws) * sizeof *first); /* the loss alone: nothing else touched */
    }
    free(joined);
    free(outputs);
    free(first);
    free(targets);
    free(losses);
    free(at);
    free(slopes);
}

static void agrees_with_reference(void **state)
{
    (void)state;
    check(1, 3, 2, 0);
    check(5, 7, 33, 2);
    check(40, 5, 19, 3);
}

/*
 * Rows `words` of dw in double: sum over t of h[t] (p[t][v] - [v == target]), p = exp(logit - loss - aimed logit). Both
 * chunks add to it; 150 terms below 1 in f32, p within 300 u.
 */
static void check_dw_rows(const loss_case *c, const double *h, const double *w, const double *losses,
                          const uint32_t *words, size_t count)
{
    for (size_t k = 0; k < count * c->dim; k++) {
        const size_t v = words[k / c->dim], i = k % c->dim;
        double sum = 0;
        for (size_t t = 0; t < c->tokens; t++) {
            if (c->targets[t] == UINT32_MAX)
                continue;
            double logit = -losses[t];
            for (size_t j = 0; j < c->dim; j++)
                logit += h[t * c->dim + j] * (w[v * c->dim + j] - w[c->targets[t] * c->dim + j]);
            sum += h[t * c->dim + i] * (exp(logit) - (v == c->targets[t] ? 1 : 0));
        }
        if (!(fabs((double)c->dw[v * c->dim + i] - sum) <= 1e-5))
            fail_msg("dw[%zu][%zu] is %g, not %g", v, i, (double)c->dw[v * c->dim + i], sum);
    }
}

/* 65,536 words make a chunk of 128 tokens: 150 tokens take two, and each token's loss must be its own. */
static void chunks_make_the_whole(void **state)
{
    (void)state;
    enum { TOKENS = 150, DIM = 2, VOCAB = 65536 };
    assert_int_equal(dither_head_chunk(VOCAB, 0), 128);
    float *h = layer_random(1, TOKENS * DIM, 1), *w = layer_random(2, VOCAB * DIM, 1);
    float *losses = layer_new(TOKENS, sizeof *losses), *dh = layer_new(TOKENS * DIM, sizeof *dh);
    float *dw = layer_new(VOCAB * DIM, sizeof *dw);
    uint32_t *targets = targets_of(TOKENS, VOCAB, 4);
    loss_case c = {.tokens = TOKENS, .dim = DIM, .vocab = VOCAB, .mode = DITHER_HEAD_TRAIN, .scale = 1, .h = h, .w = w,
                   .targets = targets, .losses = losses, .dh = dh, .dw = dw};
    assert_int_equal(dither_scheme_parse("f32", &c.scheme, NULL), DITHER_OK);
    layer_run(2, head_loss, &c);
    double *exact = layer_new(TOKENS, sizeof *exact);
    double *at = layer_double(TOKENS * DIM, h), *wat = layer_double(VOCAB * DIM, w);
    reference(&c, at, wat, exact);
    layer_near(TOKENS, losses, exact, 2e-6);
    /* dw's columns sum to sum over t of h[t] sum over v of dlogit[t][v] = 0; 2^23 roundings of about 2^-16 u. */
    double sum = 0;
    for (size_t i = 0; i < VOCAB * DIM; i += DIM)
        sum += (double)dw[i];
    assert_true(fabs(sum) <= 1e-4);
    const uint32_t words[] = {targets[0], targets[126], targets[148], 65535};
    check_dw_rows(&c, at, wat, exact, words, sizeof words / sizeof words[0]);
    free(h);
    free(w);
    free(losses);
    free(dh);
    free(dw);
    free(targets);
    free(exact);
    free(at);
    free(wat);
}

/*
 * A second chunk of the same tokens draws anew: its dh is that of the first but for the draws. A step of the codes is
 * 1/127 of the target's gradient, and a p of 2^-16 is rounded up to it once in 516 draws: some 127 terms w / 127 of
 * either sign, 0.05 in all.
 */
static void chunks_draw_by_their_tokens(void **state)
{
    (void)state;
    enum { TOKENS = 136, FIRST = 128, DIM = 2, VOCAB = 65536 };
    float *h = layer_random(1, TOKENS * DIM, 1), *w = layer_random(2, VOCAB * DIM, 1);
    memcpy(h + FIRST * DIM, h, (TOKENS - FIRST) * DIM * sizeof *h);
    float *losses = layer_new(TOKENS, sizeof *losses), *dh = layer_new(TOKENS * DIM, sizeof *dh);
    float *dw = layer_new(VOCAB * DIM, sizeof *dw);
    uint32_t *targets = targets_of(TOKENS, VOCAB, 0);
    memcpy(targets + FIRST, targets, (TOKENS - FIRST) * sizeof *targets);
    loss_case c = {.tokens = TOKENS, .dim = DIM, .vocab = VOCAB, .mode = DITHER_HEAD_TRAIN, .scale = 1, .h = h, .w = w,
                   .targets = targets, .losses = losses, .dh = dh, .dw = dw};
    assert_int_equal(dither_scheme_parse("goact=int8/row:sr", &c.scheme, NULL), DITHER_OK);
    layer_run(2, head_loss, &c);
    size_t differ = 0;
    for (size_t i = 0; i < (TOKENS - FIRST) * DIM; i++)
        differ += fabsf(dh[i] - dh[FIRST * DIM + i]) > 1e-3f;
    assert_true(differ > (TOKENS - FIRST) * DIM / 2);
    free(h);
    free(w);
    free(losses);
    free(dh);
    free(dw);
    free(targets);
}

static void row_laws(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 15, 16, 17, 256, 5000, 49152};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t vocab = sizes[s];
        float *logits = layer_new(vocab, sizeof *logits);
        const float even = dither_cross_entropy_row(vocab, 0, 1, logits);
        assert_true(fabs((double)even - log((double)vocab)) <= 2e-7 * log((double)vocab) + 1e-7);
        free(logits);
        logits = layer_random(3, vocab, 5);
        float *shifted = layer_random(3, vocab, 5);
        for (size_t v = 0; v < vocab; v++)
            shifted[v] += 1000;
        const float loss = dither_cross_entropy_row(vocab, (uint32_t)(vocab / 2), 2, logits);
        const float moved = dither_cross_entropy_row(vocab, (uint32_t)(vocab / 2), 2, shifted);
        assert_true(fabsf(loss - moved) <= 4 * 1005 * 0x1p-24f);
        double sum = 0, size = 0;
        for (size_t v = 0; v < vocab; v++) {
            sum += (double)logits[v];
            size += fabs((double)logits[v]);
            assert_true(v == vocab / 2 ? logits[v] <= 0 : logits[v] >= 0);
        }
        /* Each p has 3 roundings, their sum one of each of 256 + 12 additions. */
        assert_true(fabs(sum) <= 300 * 0x1p-24 * size + 1e-12);
        free(logits);
        free(shifted);
    }
}

/*
 * Peaks that rise and fall from stretch to stretch, stretches of nothing but -Inf, and a row of 64 longer ones. With
 * u = 2^-24: a lane's sum has at most 293 additions and their joining 4; exp errs by 2 u, behind a shift below 128 that
 * errs by 64 u; p rounds twice more. All of it is below 400 u, of p and of the sum whose logarithm the loss is.
 */
static void stretches_make_the_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {4096, 4097, 8200, 49152, 300001};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int shape = 0; shape < 4; shape++) {
            const size_t vocab = sizes[s];
            float *logits = layer_random(4, vocab, 6);
            for (size_t v = 0; v < vocab; v++) {
                const float slope = (float)v / (float)vocab * 40;
                logits[v] += shape == 0 ? slope : shape == 1 ? -slope : shape == 2 ? 20 * sinf((float)v * 1e-4f) : 0;
                if (shape == 3 && ((v < 4096 && v < vocab / 2) || v >= vocab - vocab / 3))
                    logits[v] = -INFINITY;
            }
            double *x = layer_double(vocab, logits), sum = 0, largest = -INFINITY;
            for (size_t v = 0; v < vocab; v++)
                largest = x[v] > largest ? x[v] : largest;
            for (size_t v = 0; v < vocab; v++)
                sum += exp(x[v] - largest);
            const uint32_t target = (uint32_t)(vocab / 2);
            const double exact = log(sum) + largest - x[target];
            const float loss = dither_cross_entropy_row(vocab, target, 1, logits);
            assert_true(fabs((double)loss - exact) <= 0x1p-24 * (fabs(exact) + 400));
            for (size_t v = 0; v < vocab; v++) {
                const double p = exp(x[v] - largest) / sum, grad = v == target ? p - 1 : p;
                assert_true(fabs((double)logits[v] - grad) <= p * 400 * 0x1p-24 + 0x1p-24 * (v == target) + 1e-37);
            }
            free(logits);
            free(x);
        }
    }
}

static void what_is_not_finite_shows(void **state)
{
    (void)state;
    float nan[] = {1, NAN, 2}, infinite[] = {1, INFINITY, 2}, far[] = {0, -INFINITY, 0};
    assert_true(isnan(dither_cross_entropy_row(3, 0, 1, nan)));
    assert_true(isnan(dither_cross_entropy_row(3, 0, 1, infinite)));
    assert_true(isinf(dither_cross_entropy_row(3, 1, 1, far)));
}

static void chunk_is_a_multiple_of_128(void **state)
{
    (void)state;
    for (size_t vocab = 1; vocab < 300000; vocab = vocab * 3 + 1) {
        assert_true(dither_head_chunk(vocab, 0) >= 128 && dither_head_chunk(vocab, 0) % 128 == 0);
        assert_int_equal(dither_head_chunk(vocab, 4096) % 4096, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference), cmocka_unit_test(chunks_make_the_whole),
        cmocka_unit_test(chunks_draw_by_their_tokens), cmocka_unit_test(row_laws),
        cmocka_unit_test(stretches_make_the_whole),
        cmocka_unit_test(what_is_not_finite_shows),
        cmocka_unit_test(chunk_is_a_multiple_of_128),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
