#include "nn/embedding.h"

#include "layer_check.h"

enum { VOCAB = 23 };

typedef struct embedding_case {
    size_t tokens, dim;
    const uint32_t *ids;
    const float *w, *dx;
    float *x, *dw;
} embedding_case;

static void forward(const dither_context *context, void *data)
{
    embedding_case *c = data;
    dither_embedding_forward(context, c->tokens, c->dim, c->ids, c->w, c->x);
}

static void backward(const dither_context *context, void *data)
{
    embedding_case *c = data;
    dither_embedding_backward(context, c->tokens, c->dim, c->ids, c->dx, c->dw);
}

/* Copies, and sums in the order of the tokens: exact, bit for bit. */
static void check(size_t tokens, size_t dim)
{
    uint32_t *ids = layer_new(tokens, sizeof *ids);
    for (size_t t = 0; t < tokens; t++)
        ids[t] = (uint32_t)(t * t % VOCAB);
    float *w = layer_random(1, VOCAB * dim, 1), *dx = layer_random(2, tokens * dim, 1);
    float *x = layer_new(tokens * dim, sizeof *x), *sums = layer_random(3, VOCAB * dim, 1);
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < dim; i++)
            sums[ids[t] * dim + i] += dx[t * dim + i];
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        float *dw = layer_random(3, VOCAB * dim, 1);
        embedding_case c = {tokens, dim, ids, w, dx, x, dw};
        layer_run(layer_threads[t], forward, &c);
        for (size_t row = 0; row < tokens; row++)
            assert_memory_equal(x + row * dim, w + ids[row] * dim, dim * sizeof *x);
        layer_run(layer_threads[t], backward, &c);
        assert_memory_equal(dw, sums, VOCAB * dim * sizeof *dw);
        free(dw);
    }
    free(ids);
    free(w);
    free(dx);
    free(x);
    free(sums);
}

static void copies_and_sums_exactly(void **state)
{
    (void)state;
    check(1, 1);
    check(3, 31);
    check(130, 32);
    check(65, 100);
    check(70, 600);
}

/* A batch handed over in two parts gives the gradient of the whole. */
static void parts_make_the_whole(void **state)
{
    (void)state;
    enum { TOKENS = 90, DIM = 40, FIRST = 37 };
    uint32_t ids[TOKENS];
    for (uint32_t t = 0; t < TOKENS; t++)
        ids[t] = t * 7 % VOCAB;
    float *dx = layer_random(1, TOKENS * DIM, 1), *whole = layer_new(VOCAB * DIM, sizeof *whole);
    float *parts = layer_new(VOCAB * DIM, sizeof *parts);
    embedding_case c = {.tokens = TOKENS, .dim = DIM, .ids = ids, .dx = dx, .dw = whole};
    layer_run(3, backward, &c);
    c.tokens = FIRST;
    c.dw = parts;
    layer_run(2, backward, &c);
    c = (embedding_case){.tokens = TOKENS - FIRST, .dim = DIM, .ids = ids + FIRST, .dx = dx + FIRST * DIM, .dw = parts};
    layer_run(2, backward, &c);
    assert_memory_equal(parts, whole, VOCAB * DIM * sizeof *whole);
    free(dx);
    free(whole);
    free(parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_and_sums_exactly),
        cmocka_unit_test(parts_make_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
