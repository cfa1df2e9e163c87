/*
 * The laws of test_linear_laws.c for layers whose products run packed on this machine's low-bit units: what threads,
 * parts and addresses do, what is refused and counted. That the products are right is test_linear.c's.
 */
#include "linear_fixture.h"

typedef struct result {
    float *y, *dx, *dw;
} result;

static result result_take(const layer *l, dither_arena *arena)
{
    return (result){.y = dither_arena_take(arena, l->tokens * l->out, sizeof(float)),
                    .dx = dither_arena_take(arena, l->tokens * l->in, sizeof(float)),
                    .dw = dither_arena_take(arena, l->out * l->in, sizeof(float))};
}

static void result_copy(const layer *l, result *r)
{
    memcpy(r->y, l->y, l->tokens * l->out * sizeof *r->y);
    memcpy(r->dx, l->dx, l->tokens * l->in * sizeof *r->dx);
    memcpy(r->dw, l->dw, l->out * l->in * sizeof *r->dw);
}

static void check_same(const layer *l, const result *r)
{
    assert_memory_equal(l->y, r->y, l->tokens * l->out * sizeof *r->y);
    assert_memory_equal(l->dx, r->dx, l->tokens * l->in * sizeof *r->dx);
    assert_memory_equal(l->dw, r->dw, l->out * l->in * sizeof *r->dw);
}

/* A layer all of whose products are packed, its results, and room for a copy of them. */
static void open_run(layer *l, const char *scheme, size_t in, size_t out, size_t tokens, dither_arena *arena,
                     result *first)
{
    layer_open(l, scheme, in, out, tokens);
    assert_true(l->plan.y.kernel != NULL && l->plan.dx.kernel != NULL && l->plan.dw.kernel != NULL);
    assert_int_equal(dither_arena_open(arena, (size_t)8 << 20), DITHER_OK);
    *first = result_take(l, arena);
    layer_run(l);
    result_copy(l, first);
}

static void close_run(layer *l, dither_arena *arena)
{
    dither_arena_close(arena);
    layer_close(l);
}

/* Shared codes of every kind, with and without folds; groups, tiles, the transform. */
static const char *const schemes[] = {
    "int8", "int4", "nvfp4", "paper-int8",
    "act=int8/row,weight=int8/row,goact=int8/row:sr,goweight=int8/row:sr,same_input,same_weight",
    "act=int8/tensor,weight=int8/t16,bact=int8/t16:sr,goact=int8/tensor:sr,same_weight,same_grad",
};

enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

static void threads_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCHEMES; i++) {
        layer l;
        dither_arena arena;
        result one;
        open_run(&l, schemes[i], 200, 333, 300, &arena, &one);
        for (int threads = 2; threads <= 7; threads += 5) {
            l.context.threads = threads;
            layer_run(&l);
            check_same(&l, &one);
        }
        close_run(&l, &arena);
    }
}

/* W packed for dx in backward, not once a step: the same codes, counted once, and less kept. */
static void packing_late_changes_nothing(void **state)
{
    (void)state;
    static const char *const bf16[] = {
        "bf16", "nvfp4", "mxfp8", "paper-e4m3",
        "act=bf16,weight=e4m3/row:sr,bact=e4m3/row:sr,goact=e4m3/row:sr,goweight=e4m3/row:sr,same_weight",
    };
    for (size_t i = 0; i < sizeof bf16 / sizeof bf16[0]; i++) {
        layer early, late;
        dither_arena arena;
        result first;
        open_run(&early, bf16[i], 200, 333, 70, &arena, &first);
        assert_true(dither_linear_plan_late(&early.plan));
        fixture_late = true;
        layer_open(&late, bf16[i], 200, 333, 70);
        fixture_late = false;
        layer_run(&late);
        check_same(&late, &first);
        assert_int_equal(late.clips.elements, early.clips.elements);
        assert_true(dither_linear_weight_bytes(&late.plan, 200, 333) <
                    dither_linear_weight_bytes(&early.plan, 200, 333));
        layer_close(&late);
        close_run(&early, &arena);
    }
}

/* Each part of the address moves every draw: of dx and of dW. */
static void every_part_of_the_address_counts(void **state)
{
    (void)state;
    layer l;
    dither_arena arena;
    result first;
    open_run(&l, "paper-int8", 40, 30, 20, &arena, &first);
    const dither_context before = l.context;
    for (int part = 0; part < 5; part++) {
        l.context.seed += part == 0;
        l.context.step += part == 1;
        l.context.microbatch += part == 2;
        l.linear.tensor += part == 3;
        l.row0 += part == 4 ? 20 : 0;
        layer_run(&l);
        assert_memory_not_equal(l.dx, first.dx, l.tokens * l.in * sizeof *l.dx);
        assert_memory_not_equal(l.dw, first.dw, l.out * l.in * sizeof *l.dw);
        l.context = before;
        l.linear.tensor = FIXTURE_TENSOR;
        l.row0 = 0;
        layer_run(&l);
        check_same(&l, &first);
    }
    close_run(&l, &arena);
}

/* Scales of a token do not know of other tokens, and draws are addressed by row0: y and dx of parts are the whole's. */
static void parts_are_the_whole(void **state)
{
    (void)state;
    layer l;
    layer_open(&l, "act=int8/row:sr8,weight=int8/row,goact=int4/row:sr,same_weight", 96, 70, 64);
    layer_run(&l);
    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, 1 << 20), DITHER_OK);
    result whole = result_take(&l, &arena);
    result_copy(&l, &whole);
    static const size_t begins[] = {0, 31, 48, 64};
    memset(l.y, 0, l.tokens * l.out * sizeof *l.y);
    memset(l.dx, 0, l.tokens * l.in * sizeof *l.dx);
    for (size_t part = 0; part < 3; part++) {
        const size_t first = begins[part], count = begins[part + 1] - first;
        assert_int_equal(dither_linear_forward(&l.context, &l.linear, count, first, l.x + first * l.in,
                                               l.y + first * l.out, NULL),
                         DITHER_OK);
        assert_int_equal(dither_linear_backward(&l.context, &l.linear, count, first, &l.saved, l.dy + first * l.out,
                                                l.dx + first * l.in, NULL, NULL),
                         DITHER_OK);
    }
    assert_memory_equal(l.y, whole.y, l.tokens * l.out * sizeof *l.y);
    assert_memory_equal(l.dx, whole.dx, l.tokens * l.in * sizeof *l.dx);
    close_run(&l, &arena);
}

/* What is not wanted is not computed, and changes nothing of the rest; a fresh dW does not read what was there. */
static void gradients_may_be_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCHEMES; i++) {
        layer l;
        dither_arena arena;
        result all;
        open_run(&l, schemes[i], 40, 30, 20, &arena, &all);
        for (int part = 0; part < 2; part++) {
            layer_reset(&l);
            memset(l.dx, 0, l.tokens * l.in * sizeof *l.dx);
            assert_int_equal(dither_linear_backward(&l.context, &l.linear, l.tokens, 0, &l.saved, l.dy,
                                                    part == 0 ? l.dx : NULL, part == 1 ? l.dw : NULL, NULL),
                             DITHER_OK);
            assert_int_equal(part == 0, memcmp(l.dx, all.dx, l.tokens * l.in * sizeof *l.dx) == 0);
            assert_int_equal(part == 1, memcmp(l.dw, all.dw, l.out * l.in * sizeof *l.dw) == 0);
        }
        memset(l.dw0, 0, l.out * l.in * sizeof *l.dw0);
        layer_run(&l);
        result_copy(&l, &all);
        memset(l.dw0, 0xff, l.out * l.in * sizeof *l.dw0);
        l.context.fresh = true;
        layer_run(&l);
        check_same(&l, &all);
        close_run(&l, &arena);
    }
}

/* Without y the same is kept: dW from it is the same. */
static void what_is_kept_alone_is_what_forward_keeps(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCHEMES; i++) {
        layer l;
        dither_arena arena;
        result first;
        open_run(&l, schemes[i], 40, 30, 20, &arena, &first);
        if (l.saved.row_scale == NULL) {
            const dither_operand *kept = &l.saved.operand;
            const dither_gemm_kernel *kernel = kept->kernel;
            const size_t bytes = dither_operand_bytes(kernel, DITHER_SIDE_B, kept->rows, kept->k, l.plan.dw.b_group);
            memset(kept->data, 0x55, bytes);
            layer_reset(&l);
            assert_int_equal(dither_linear_keep(&l.context, &l.linear, l.tokens, 0, l.x, &l.saved), DITHER_OK);
            layer_backward(&l);
            check_same(&l, &first);
        }
        close_run(&l, &arena);
    }
}

/* Every quantized matrix is counted once, whatever it is packed for. */
static void saturation_is_counted(void **state)
{
    (void)state;
    layer l;
    layer_open(&l, "act=e4m3,weight=e4m3,bact=e4m3:sr,goact=e4m3:sr,goweight=e4m3,same_weight", 40, 30, 20);
    l.x[3] = 500.0f;
    l.x[90] = -1000.0f;
    l.w[7] = -449.0f;
    l.dy[5] = 1e6f;
    l.dy[11] = -1e6f;
    l.dy[599] = 448.0f;
    layer_run(&l);
    assert_int_equal(l.clips.clipped, 2 + 2 + 1 + 2 + 2);
    assert_int_equal(l.clips.elements, 20 * 40 + 20 * 40 + 30 * 40 + 20 * 30 + 20 * 30);
    layer_close(&l);
}

/* NaN and Inf stop where they first meet a quantizer, and the scratch is given back. */
static void what_is_not_finite_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCHEMES; i++) {
        layer l;
        layer_open(&l, schemes[i], 40, 30, 20);
        layer_run(&l);
        l.dy[100] = NAN;
        assert_int_equal(dither_linear_backward(&l.context, &l.linear, l.tokens, 0, &l.saved, l.dy, l.dx, l.dw, l.db),
                         DITHER_E_NUMERIC);
        l.x[100] = INFINITY;
        assert_int_equal(dither_linear_forward(&l.context, &l.linear, l.tokens, 0, l.x, l.y, &l.saved),
                         DITHER_E_NUMERIC);
        l.w[100] = -INFINITY;
        assert_int_equal(dither_linear_refresh(&l.context, &l.linear), DITHER_E_NUMERIC);
        assert_int_equal(l.scratch.used, 0);
        layer_close(&l);
    }
}

int main(void)
{
    fixture_packed = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(packing_late_changes_nothing),
        cmocka_unit_test(every_part_of_the_address_counts),
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(gradients_may_be_left_out),
        cmocka_unit_test(what_is_kept_alone_is_what_forward_keeps),
        cmocka_unit_test(saturation_is_counted),
        cmocka_unit_test(what_is_not_finite_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
