/* Attention's masks: documents packed in one sequence, windows of keys, and both. */
#include "attention_fixture.h"

typedef struct mask_kind {
    size_t doc, window; /* as new_mask takes them */
} mask_kind;

static const mask_kind kinds[] = {{1, 0}, {3, 0}, {50, 0}, {0, 1}, {0, 5}, {0, 64}, {0, 100}, {50, 20}, {100, 63}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void check_masked(dither_attention shape, mask_kind kind, size_t step)
{
    uint32_t *first = new_mask(shape.batch, shape.seq, kind.doc, kind.window);
    shape.first = first;
    check(shape, step);
    free(first);
}

static void agrees_with_reference(void **state)
{
    (void)state;
    static const size_t sides[] = {1, 3, 63, 64, 65, 129};
    for (size_t i = 0; i < KINDS * 6; i++) {
        const size_t seq = sides[i % 6], kv_heads = 1 + i % 2, tokens = 2 * seq;
        check_masked((dither_attention){.batch = 2, .seq = seq, .heads = 2 * kv_heads, .kv_heads = kv_heads,
                                        .head_dim = 2 + 4 * (i % 3)},
                     kinds[i / 6], 1 + tokens);
    }
    check_masked((dither_attention){.batch = 1, .seq = 129, .heads = 3, .kv_heads = 1, .head_dim = 64}, kinds[2], 4999);
    check_masked((dither_attention){.batch = 1, .seq = 65, .heads = 2, .kv_heads = 2, .head_dim = 80}, kinds[4], 4999);
    check_masked((dither_attention){.batch = 2, .seq = 63, .heads = 2, .kv_heads = 1, .head_dim = 128}, kinds[1], 9973);
    check_masked((dither_attention){.batch = 1, .seq = 129, .heads = 1, .kv_heads = 1, .head_dim = 256}, kinds[7],
                 9973);
    check_masked((dither_attention){.batch = 1, .seq = 300, .heads = 2, .kv_heads = 1, .head_dim = 10}, kinds[8], 1201);
}

static void check_masked_rounding(dither_attention shape, mask_kind kind)
{
    uint32_t *first = new_mask(shape.batch, shape.seq, kind.doc, kind.window);
    shape.first = first;
    check_rounded(shape);
    free(first);
}

static void bf16_rounds_what_the_header_says(void **state)
{
    (void)state;
    static const size_t sides[] = {1, 3, 63, 64, 65, 129};
    for (size_t i = 0; i < KINDS * 6; i++) {
        const size_t kv_heads = 1 + i % 2;
        check_masked_rounding((dither_attention){.batch = 2, .seq = sides[i % 6], .heads = 2 * kv_heads,
                                                 .kv_heads = kv_heads, .head_dim = 22 + 10 * (i % 3)},
                              kinds[i / 6]);
    }
    check_masked_rounding((dither_attention){.batch = 1, .seq = 129, .heads = 9, .kv_heads = 3, .head_dim = 64},
                          kinds[2]);
    check_masked_rounding((dither_attention){.batch = 2, .seq = 200, .heads = 2, .kv_heads = 1, .head_dim = 80},
                          kinds[6]);
    check_masked_rounding((dither_attention){.batch = 1, .seq = 131, .heads = 8, .kv_heads = 1, .head_dim = 128},
                          kinds[7]);
    check_masked_rounding((dither_attention){.batch = 1, .seq = 190, .heads = 2, .kv_heads = 2, .head_dim = 256},
                          kinds[1]);
    /* More than one strip of backward and block of forward: hidden whole, in part, and from either side. */
    for (size_t i = 0; i < KINDS; i++)
        check_masked_rounding((dither_attention){.batch = 1, .seq = 700, .heads = 2, .kv_heads = 1, .head_dim = 5},
                              kinds[i]);
    check_masked_rounding((dither_attention){.batch = 2, .seq = 1100, .heads = 1, .kv_heads = 1, .head_dim = 32},
                          (mask_kind){400, 300});
}

static size_t bytes_of(size_t rows, size_t cols)
{
    return rows * cols * sizeof(float);
}

/* A window that hides nothing changes no bit. */
static void wide_windows_are_none(void **state)
{
    (void)state;
    static const size_t sides[] = {1, 63, 64, 65, 129, 300, 700};
    for (size_t i = 0; i < 2 * sizeof sides / sizeof *sides; i++) {
        const size_t seq = sides[i / 2];
        attention_case c = open_case((dither_attention){
            .batch = 2, .seq = seq, .heads = 4, .kv_heads = 2, .head_dim = 16, .bf16 = i % 2 != 0});
        attention_case windowed = open_case(c.shape);
        uint32_t *first = new_mask(2, seq, 0, seq + i % 3);
        windowed.shape.first = first;
        run_threads(&c);
        run_threads(&windowed);
        assert_memory_equal(windowed.o, c.o, bytes_of(c.tokens, c.out));
        assert_memory_equal(windowed.lse, c.lse, bytes_of(c.tokens, c.shape.heads));
        assert_memory_equal(windowed.dqkv, c.dqkv, bytes_of(c.tokens, c.width));
        free(first);
        close_case(&c);
        close_case(&windowed);
    }
}

/* Rows from `begin` on of a case, as a sequence of its own. */
static attention_case document_of(const attention_case *c, size_t begin, size_t tokens)
{
    dither_attention shape = c->shape;
    shape.batch = 1;
    shape.seq = tokens;
    shape.first = NULL;
    attention_case alone = open_case(shape), inside = alone;
    inside.qkv = c->qkv + begin * c->width;
    inside.dout = c->dout + begin * c->out;
    layer_run(1, forward, &inside);
    layer_run(2, backward, &inside);
    return alone;
}

static void near_part(size_t count, const float *found, const float *wanted, double tolerance)
{
    double *exact = layer_double(count, wanted);
    if (tolerance == 0)
        assert_memory_equal(found, wanted, count * sizeof *found);
    else
        layer_near(count, found, exact, tolerance);
    free(exact);
}

/* Two sequences of the documents, each of which must be what it is alone. */
static void check_documents(size_t count, const size_t *lengths, bool bf16, double tolerance)
{
    size_t seq = 0;
    for (size_t i = 0; i < count; i++)
        seq += lengths[i];
    attention_case c = open_case(
        (dither_attention){.batch = 2, .seq = seq, .heads = 4, .kv_heads = 2, .head_dim = 32, .bf16 = bf16});
    uint32_t *first = layer_new(c.tokens, sizeof *first);
    for (size_t b = 0; b < 2; b++)
        for (size_t i = 0, at = 0; i < count; at += lengths[i++])
            for (size_t t = 0; t < lengths[i]; t++)
                first[b * seq + at + t] = (uint32_t)at;
    c.shape.first = first;
    run_threads(&c);
    for (size_t b = 0; b < 2; b++)
        for (size_t i = 0, at = 0; i < count; at += lengths[i++]) {
            const size_t begin = b * seq + at, n = lengths[i];
            attention_case alone = document_of(&c, begin, n);
            near_part(n * c.out, c.o + begin * c.out, alone.o, tolerance);
            near_part(n * c.shape.heads, c.lse + begin * c.shape.heads, alone.lse, tolerance);
            near_part(n * c.width, c.dqkv + begin * c.width, alone.dqkv, tolerance);
            close_case(&alone);
        }
    free(first);
    close_case(&c);
}

/*
 * Blocks begin at multiples of 64 tokens of the sequence. Where documents do so too, each has the blocks that it has
 * alone, and the same bits. Elsewhere the same sums are cut in other places: in f32 that is within the 1e-5 that either
 * is of the exact value, twice. In bf16 exp(s - max) is rounded with the largest score so far, so that other blocks
 * make other roundings: o and gradients of both are within the 4 and 8 of 2^-9 of f32's that bf16_is_near_and_differs
 * (test_attention.c) has.
 */
static void documents_are_what_they_are_alone(void **state)
{
    (void)state;
    static const size_t whole[] = {64, 128, 64, 320, 50}, odd[] = {1, 1, 30, 65, 63, 64, 129, 1, 257, 3};
    check_documents(5, whole, false, 0);
    check_documents(10, odd, false, 2e-5);
    check_documents(5, whole, true, 8 * 0x1p-9);
    check_documents(10, odd, true, 8 * 0x1p-9);
}

static void fill_rows(const attention_case *c, size_t begin, size_t end, float qkv, float dout)
{
    float *x = (void *)(uintptr_t)c->qkv, *y = (void *)(uintptr_t)c->dout;
    for (size_t i = begin * c->width; i < end * c->width; i++)
        x[i] = qkv;
    for (size_t i = begin * c->out; i < end * c->out; i++)
        y[i] = dout;
}

/* What a document holds changes no bit of another's, in neither direction and in neither pass. */
static void check_privacy(bool bf16)
{
    enum { SEQ = 260, BEGIN = 100, END = 171 };
    attention_case c = open_case(
        (dither_attention){.batch = 2, .seq = SEQ, .heads = 4, .kv_heads = 2, .head_dim = 24, .bf16 = bf16});
    attention_case other = open_case(c.shape);
    uint32_t *first = layer_new(c.tokens, sizeof *first);
    for (size_t t = 0; t < c.tokens; t++)
        first[t] = t % SEQ < BEGIN ? 0 : t % SEQ < END ? BEGIN : END;
    c.shape.first = other.shape.first = first;
    fill_rows(&other, BEGIN, END, 3, -2);
    run_threads(&c);
    run_threads(&other);
    const size_t parts[][2] = {{0, BEGIN}, {END, 2 * SEQ}};
    for (size_t i = 0; i < 2; i++) {
        const size_t begin = parts[i][0], rows = parts[i][1] - begin;
        assert_memory_equal(other.o + begin * c.out, c.o + begin * c.out, bytes_of(rows, c.out));
        assert_memory_equal(other.lse + begin * 4, c.lse + begin * 4, bytes_of(rows, 4));
        assert_memory_equal(other.dqkv + begin * c.width, c.dqkv + begin * c.width, bytes_of(rows, c.width));
    }
    assert_memory_not_equal(other.o + BEGIN * c.out, c.o + BEGIN * c.out, bytes_of(END - BEGIN, c.out));
    free(first);
    close_case(&c);
    close_case(&other);
}

static void documents_do_not_see_each_other(void **state)
{
    (void)state;
    check_privacy(false);
    check_privacy(true);
}

/* A scale of one's own; the default, given, changes no bit. */
static void takes_a_scale(void **state)
{
    (void)state;
    dither_attention shape = {.batch = 1, .seq = 70, .heads = 2, .kv_heads = 1, .head_dim = 20, .scale = 0.4f};
    check(shape, 97);
    check_rounded(shape);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        shape.bf16 = bf16 != 0;
        shape.scale = 0;
        attention_case c = open_case(shape);
        shape.scale = (float)(1 / sqrt(20));
        attention_case given = open_case(shape);
        run_threads(&c);
        run_threads(&given);
        assert_memory_equal(given.o, c.o, bytes_of(c.tokens, c.out));
        assert_memory_equal(given.dqkv, c.dqkv, bytes_of(c.tokens, c.width));
        close_case(&c);
        close_case(&given);
    }
}

static void counts_pairs(void **state)
{
    (void)state;
    assert_true(dither_attention_pairs(&(dither_attention){.batch = 3, .seq = 5}) == 45);
    for (size_t i = 0; i < KINDS; i++) {
        uint32_t *first = new_mask(2, 77, kinds[i].doc, kinds[i].window);
        double pairs = 0;
        for (size_t t = 0; t < 2 * 77; t++)
            for (size_t u = 0; u < 77; u++)
                pairs += u >= first[t] && u <= t % 77;
        assert_true(dither_attention_pairs(&(dither_attention){.batch = 2, .seq = 77, .first = first}) == pairs);
        free(first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(bf16_rounds_what_the_header_says),
        cmocka_unit_test(wide_windows_are_none),
        cmocka_unit_test(documents_are_what_they_are_alone),
        cmocka_unit_test(documents_do_not_see_each_other),
        cmocka_unit_test(takes_a_scale),
        cmocka_unit_test(counts_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
