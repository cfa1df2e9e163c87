/* Tokens against a cache: whatever pieces a text comes in, what the whole text gives. */
#include "attention_fixture.h"

typedef struct extend_case {
    dither_attention shape;
    size_t position, count;
    const uint32_t *first;
    const float *qkv;
    float *cache_k, *cache_v, *o;
} extend_case;

static void extend(const dither_context *context, void *data)
{
    extend_case *c = data;
    dither_attention_extend(context, &c->shape, c->position, c->count, c->first, c->qkv, c->cache_k, c->cache_v, c->o);
}

/* A text, its cache as yet full of NaN, and what it should give. */
typedef struct text_case {
    attention_case c;
    size_t row; /* of the cache */
    float *k, *v;
    double *o;
} text_case;

static text_case open_text(dither_attention shape)
{
    shape.batch = 1;
    text_case text = {.c = open_case(shape), .row = shape.kv_heads * shape.head_dim};
    text.k = layer_new((shape.seq + 1) * text.row, sizeof *text.k);
    text.v = layer_new((shape.seq + 1) * text.row, sizeof *text.v);
    text.o = layer_new(text.c.tokens * text.c.out, sizeof *text.o);
    memset(text.k, 0xff, (shape.seq + 1) * text.row * sizeof *text.k);
    memset(text.v, 0xff, (shape.seq + 1) * text.row * sizeof *text.v);
    double *qkv = layer_double(text.c.tokens * text.c.width, text.c.qkv);
    reference(&text.c, qkv, text.o, NULL);
    free(qkv);
    return text;
}

static void close_text(text_case *text)
{
    free(text->k);
    free(text->v);
    free(text->o);
    close_case(&text->c);
}

/* The tokens from `position` on. */
static extend_case piece_of(const text_case *text, size_t position, size_t count)
{
    const attention_case *c = &text->c;
    return (extend_case){.shape = c->shape, .position = position, .count = count,
                         .first = c->shape.first ? c->shape.first + position : NULL,
                         .qkv = c->qkv + position * c->width, .cache_k = text->k, .cache_v = text->v,
                         .o = c->o + position * c->out};
}

/* One piece at every number of threads: the same bits; and its keys and values, and nothing else, in the cache. */
static void run_piece(const text_case *text, size_t position, size_t count)
{
    const attention_case *c = &text->c;
    extend_case piece = piece_of(text, position, count);
    const size_t bytes = count * c->out * sizeof(float), behind = (position + count) * text->row;
    float *first = layer_new(1, bytes);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        memset(piece.o, 0xff, bytes);
        layer_run(layer_threads[t], extend, &piece);
        if (t == 0)
            memcpy(first, piece.o, bytes);
        assert_memory_equal(piece.o, first, bytes);
    }
    for (size_t u = 0; u < position + count; u++) {
        const float *k = c->qkv + u * c->width + c->out, *v = k + text->row;
        for (size_t i = 0; i < text->row; i++) {
            assert_true(text->k[u * text->row + i] == (c->shape.bf16 ? dither_bf16_round(k[i]) : k[i]));
            assert_true(text->v[u * text->row + i] == (c->shape.bf16 ? dither_bf16_round(v[i]) : v[i]));
        }
    }
    assert_true(isnan(text->k[behind]) && isnan(text->v[behind]));
    free(first);
}

/* Numbers of tokens, over and over until the text ends; 0: all that are left. */
static void check_pieces(dither_attention shape, size_t count, const size_t *pieces, double tolerance)
{
    text_case text = open_text(shape);
    for (size_t position = 0, i = 0; position < shape.seq; i++) {
        const size_t left = shape.seq - position, wanted = pieces[i % count];
        const size_t n = wanted == 0 || wanted > left ? left : wanted;
        run_piece(&text, position, n);
        position += n;
    }
    layer_near(text.c.tokens * text.c.out, text.c.o, text.o, tolerance);
    close_text(&text);
}

static const size_t whole[] = {0}, ones[] = {1}, some[] = {3, 1, 64, 65, 7, 129, 2, 21}, prompt[] = {63, 0};

/*
 * Each way is within 1e-5 of the exact result, as forward is (attention_fixture.h), so that a text given in pieces is
 * within 2e-5 of the text given whole; with bf16 operands it is 4 roundings of 2^-9, as it is for forward.
 */
static void check_every_way(dither_attention shape)
{
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const double tolerance = bf16 ? 4 * 0x1p-9 : 1e-5;
        shape.bf16 = bf16 != 0;
        check_pieces(shape, 1, whole, tolerance);
        check_pieces(shape, 1, ones, tolerance);
        check_pieces(shape, 2, prompt, tolerance);
        check_pieces(shape, sizeof some / sizeof *some, some, tolerance);
    }
}

static void any_pieces_give_the_whole(void **state)
{
    (void)state;
    check_every_way((dither_attention){.seq = 1, .heads = 1, .kv_heads = 1, .head_dim = 2});
    check_every_way((dither_attention){.seq = 3, .heads = 6, .kv_heads = 2, .head_dim = 10});
    check_every_way((dither_attention){.seq = 135, .heads = 6, .kv_heads = 2, .head_dim = 10});
    check_every_way((dither_attention){.seq = 130, .heads = 9, .kv_heads = 3, .head_dim = 64, .scale = 0.2f});
    check_every_way((dither_attention){.seq = 65, .heads = 2, .kv_heads = 2, .head_dim = 80});
    /* A token's rows are more than a block. */
    check_every_way((dither_attention){.seq = 64, .heads = 70, .kv_heads = 1, .head_dim = 6});
    check_every_way((dither_attention){.seq = 70, .heads = 1, .kv_heads = 1, .head_dim = 256});
}

static void windows_slide_over_the_cache(void **state)
{
    (void)state;
    static const size_t windows[] = {1, 5, 64, 100, 1000};
    for (size_t i = 0; i < 5; i++) {
        uint32_t *first = new_mask(1, 200, 0, windows[i]);
        check_every_way(
            (dither_attention){.seq = 200, .heads = 6, .kv_heads = 2, .head_dim = 16, .first = first});
        free(first);
    }
}

/* The cache of a text that was there before. */
static void fill_cache(const text_case *text, size_t positions)
{
    for (size_t u = 0; u < positions; u++) {
        const float *k = text->c.qkv + u * text->c.width + text->c.out;
        memcpy(text->k + u * text->row, k, text->row * sizeof *k);
        memcpy(text->v + u * text->row, k + text->row, text->row * sizeof *k);
    }
}

/* So many keys that they are cut into stretches, up to as many stretches as there are, longer ones then. */
static void check_long(size_t seq, size_t count, size_t window)
{
    uint32_t *first = window > 0 ? new_mask(1, seq, 0, window) : NULL;
    text_case text =
        open_text((dither_attention){.seq = seq, .heads = 2, .kv_heads = 1, .head_dim = 6, .first = first});
    fill_cache(&text, seq - count);
    run_piece(&text, seq - count, count);
    const size_t at = (seq - count) * text.c.out;
    layer_near(count * text.c.out, text.c.o + at, text.o + at, 1e-5);
    free(first);
    close_text(&text);
}

static void long_caches_are_cut(void **state)
{
    (void)state;
    static const size_t lengths[] = {511, 512, 513, 1024, 1025, 2000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check_long(lengths[i], 1, 0);
        check_long(lengths[i], 3, 700);
        check_long(lengths[i], 32, 0);
        check_long(lengths[i], 33, 0);
        check_long(lengths[i], 100, 0);
    }
    check_long(5000, 1, 3000);
    check_long(5000, 10, 0);
    check_long(9001, 1, 0); /* 18 stretches of 512 would be too many */
}

/* What a layout asks for once, for its longest piece, must do for all. */
static void scratch_grows_with_count(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const dither_attention shape = {.heads = 6, .kv_heads = 2, .head_dim = 32, .bf16 = bf16 != 0};
        size_t before = 0;
        for (size_t count = 1; count <= 80; count++) {
            dither_arena counted = dither_arena_dry();
            const dither_context context = {.scratch = &counted, .threads = 3, .dry = true};
            extend_case c = {.shape = shape, .count = count};
            extend(&context, &c);
            assert_true(counted.peak >= before);
            before = counted.peak;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces_give_the_whole),
        cmocka_unit_test(windows_slide_over_the_cache),
        cmocka_unit_test(long_caches_are_cut),
        cmocka_unit_test(scratch_grows_with_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
