#include "attention_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),    cmocka_unit_test(survives_large_scores),
        cmocka_unit_test(bf16_is_near_and_differs), cmocka_unit_test(future_is_masked),
        cmocka_unit_test(batch_split_is_whole),     cmocka_unit_test(bf16_rounds_what_the_header_says),
        cmocka_unit_test(takes_and_keeps_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
