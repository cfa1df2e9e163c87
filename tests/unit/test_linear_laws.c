/* What holds for every scheme of the linear layer: who draws what, what is shared, what nothing changes. */
#include "linear_fixture.h"

/* ---- threads, addresses ----------------------------------------------------------------------------------- */

typedef struct result {
    float *y, *dx, *dw, *db;
    uint8_t *kept;
} result;

static size_t kept_bytes(const layer *l)
{
    return l->saved.codes.rows * l->saved.codes.row_bytes;
}

static result result_take(const layer *l, dither_arena *arena)
{
    return (result){.y = dither_arena_take(arena, l->tokens * l->out, sizeof(float)),
                    .dx = dither_arena_take(arena, l->tokens * l->in, sizeof(float)),
                    .dw = dither_arena_take(arena, l->out * l->in, sizeof(float)),
                    .db = dither_arena_take(arena, l->out, sizeof(float)),
                    .kept = dither_arena_take(arena, kept_bytes(l), 1)};
}

static void result_copy(const layer *l, result *r)
{
    memcpy(r->y, l->y, l->tokens * l->out * sizeof *r->y);
    memcpy(r->dx, l->dx, l->tokens * l->in * sizeof *r->dx);
    memcpy(r->dw, l->dw, l->out * l->in * sizeof *r->dw);
    memcpy(r->db, l->db, l->out * sizeof *r->db);
    memcpy(r->kept, l->saved.codes.packed, kept_bytes(l));
}

static void check_same(const layer *l, const result *r)
{
    assert_memory_equal(l->y, r->y, l->tokens * l->out * sizeof *r->y);
    assert_memory_equal(l->dx, r->dx, l->tokens * l->in * sizeof *r->dx);
    assert_memory_equal(l->dw, r->dw, l->out * l->in * sizeof *r->dw);
    assert_memory_equal(l->db, r->db, l->out * sizeof *r->db);
    assert_memory_equal(l->saved.codes.packed, r->kept, kept_bytes(l));
}

static void threads_change_nothing(void **state)
{
    (void)state;
    static const char *const schemes[] = {
        "f32", "paper-int8", "int4", "nvfp4",
        "act=int8/row,weight=int8/row,goact=int8/row:sr,goweight=int8/row:sr,same_input,same_weight"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        layer l;
        layer_open(&l, schemes[i], 200, 333, 300);
        dither_arena arena;
        assert_int_equal(dither_arena_open(&arena, (size_t)8 << 20), DITHER_OK);
        result one = result_take(&l, &arena);
        layer_run(&l);
        result_copy(&l, &one);
        static const int threads[] = {1, 2, 3, 7};
        for (size_t k = 0; k < sizeof threads / sizeof threads[0]; k++) {
            l.context.threads = threads[k];
            layer_run(&l);
            check_same(&l, &one);
        }
        dither_arena_close(&arena);
        layer_close(&l);
    }
}

/* Each part of the address moves every draw: of what is kept, of dx and of dW. */
static void every_part_of_the_address_counts(void **state)
{
    (void)state;
    layer l;
    layer_open(&l, "paper-int4", 40, 30, 20);
    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, 1 << 20), DITHER_OK);
    result first = result_take(&l, &arena);
    layer_run(&l);
    result_copy(&l, &first);
    const dither_context before = l.context;
    for (int part = 0; part < 5; part++) {
        l.context.seed += part == 0;
        l.context.step += part == 1;
        l.context.microbatch += part == 2;
        l.linear.tensor += part == 3;
        l.row0 += part == 4 ? 20 : 0;
        layer_run(&l);
        assert_memory_not_equal(l.saved.codes.packed, first.kept, kept_bytes(&l));
        assert_memory_not_equal(l.dx, first.dx, l.tokens * l.in * sizeof *l.dx);
        assert_memory_not_equal(l.dw, first.dw, l.out * l.in * sizeof *l.dw);
        l.context = before;
        l.linear.tensor = FIXTURE_TENSOR;
        l.row0 = 0;
        layer_run(&l);
        check_same(&l, &first);
    }
    dither_arena_close(&arena);
    layer_close(&l);
}

/* ---- the weights ------------------------------------------------------------------------------------------ */

/* Until the next refresh W is what it was: for every micro-batch and both passes, whatever happens to the master. */
static void weights_are_quantized_once_a_step(void **state)
{
    (void)state;
    static const char *const schemes[] = {"weight=int4/row:sr,goact=int4/row:sr,same_weight",
                                          "weight=int4/row:sr,bweight=int4/row:sr"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        layer l;
        layer_open(&l, schemes[i], 40, 30, 20);
        dither_arena arena;
        assert_int_equal(dither_arena_open(&arena, 1 << 20), DITHER_OK);
        result first = result_take(&l, &arena);
        layer_run(&l);
        result_copy(&l, &first);
        const size_t bytes = dither_linear_weight_bytes(&l.plan, l.in, l.out);
        uint8_t *codes = dither_arena_take(&arena, bytes, 1);
        memcpy(codes, l.linear.weight.packed, bytes);

        fixture_fill(l.w, l.out, l.in, 99);
        layer_reset(&l);
        assert_int_equal(
            dither_linear_forward(&l.context, &l.linear, l.tokens, l.row0, l.x, l.y, &l.saved), DITHER_OK);
        layer_backward(&l);
        check_same(&l, &first);
        assert_memory_equal(l.linear.weight.packed, codes, bytes);

        fixture_fill(l.w, l.out, l.in, 2);
        l.context.microbatch++;
        assert_int_equal(dither_linear_refresh(&l.context, &l.linear), DITHER_OK);
        assert_memory_equal(l.linear.weight.packed, codes, bytes);
        l.context.step++;
        assert_int_equal(dither_linear_refresh(&l.context, &l.linear), DITHER_OK);
        assert_memory_not_equal(l.linear.weight.packed, codes, bytes);
        dither_arena_close(&arena);
        layer_close(&l);
    }
}

/* ---- the draws of the roles: with an identity for the other operand a product shows the codes themselves --- */

enum { SIDE = 64 };

static void identity(float *x)
{
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        x[i] = i / SIDE == i % SIDE ? 1.0f : 0.0f;
    }
}

/* Two quantizations of the same dy, [token][out] both: dx with W = 1, dW^T with x = 1. */
static void quantize_dy_twice(const char *scheme, layer *l, float *for_x, float *for_w)
{
    layer_open(l, scheme, SIDE, SIDE, SIDE);
    identity(l->x);
    identity(l->w);
    memset(l->dw0, 0, SIDE * SIDE * sizeof *l->dw0);
    layer_run(l);
    for (size_t e = 0; e < SIDE * SIDE; e++) {
        for_x[e] = l->dx[e];
        for_w[e] = l->dw[e % SIDE * SIDE + e / SIDE];
    }
}

/*
 * Errors of two independent draws: products of mean 0 in [-D^2, D^2], so by Hoeffding their sum over n elements exceeds
 * D^2 sqrt(2 n ln(2 / p)) with probability p, here 1e-9. One draw used twice would give n D^2 / 6 on the average
 * (fractions being all over), 1.6 times that.
 */
static void check_independent(const float *exact, const float *a, const float *b, double step)
{
    const size_t n = (size_t)SIDE * SIDE;
    double sum = 0.0;
    size_t differ = 0;
    for (size_t e = 0; e < n; e++) {
        sum += ((double)a[e] - (double)exact[e]) * ((double)b[e] - (double)exact[e]);
        differ += a[e] != b[e];
    }
    assert_true(fabs(sum) <= step * step * sqrt(2.0 * (double)n * log(2e9)));
    assert_true(differ > n / 8);
}

static void dy_is_quantized_twice_and_independently(void **state)
{
    (void)state;
    static float a[SIDE * SIDE], b[SIDE * SIDE];
    layer l;
    quantize_dy_twice("goact=fx1:sr,goweight=fx1:sr", &l, a, b);
    check_independent(l.dy, a, b, 0.5);
    layer_close(&l);

    quantize_dy_twice("bact=f32,goact=fx1:sr,same_grad", &l, a, b);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, l.dy, sizeof a);
    layer_close(&l);
}

static void x_is_quantized_twice_and_independently(void **state)
{
    (void)state;
    static float a[SIDE * SIDE], b[SIDE * SIDE];
    layer l;
    layer_open(&l, "act=fx1:sr,bact=fx1:sr", SIDE, SIDE, SIDE);
    identity(l.w);
    memset(l.bias, 0, SIDE * sizeof *l.bias);
    layer_run(&l);
    memcpy(a, l.y, sizeof a);
    dither_dequantize(&l.saved.codes, b, 1);
    check_independent(l.x, a, b, 0.5);
    layer_close(&l);

    layer_open(&l, "act=fx1:sr,same_input", SIDE, SIDE, SIDE);
    identity(l.w);
    memset(l.bias, 0, SIDE * sizeof *l.bias);
    layer_run(&l);
    dither_dequantize(&l.saved.codes, b, 1);
    assert_memory_equal(l.y, b, sizeof b);
    assert_memory_not_equal(l.y, l.x, sizeof b);
    layer_close(&l);
}

/* ---- parts, sums, refusals -------------------------------------------------------------------------------- */

/* Forward and backward of tokens [first, first + count) into the same dw, db. */
static void run_part(layer *l, size_t first, size_t count)
{
    dither_linear_saved kept;
    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, dither_linear_saved_bytes(&l->plan, l->in, count)), DITHER_OK);
    assert_int_equal(dither_linear_saved_init(&kept, &l->plan, l->in, count, arena.base), DITHER_OK);
    assert_int_equal(dither_linear_forward(&l->context, &l->linear, count, first, l->x + first * l->in,
                                           l->y + first * l->out, &kept),
                     DITHER_OK);
    assert_memory_equal(kept.codes.packed, l->saved.codes.packed + first * l->saved.codes.row_bytes,
                        count * kept.codes.row_bytes);
    assert_int_equal(dither_linear_backward(&l->context, &l->linear, count, first, &kept, l->dy + first * l->out,
                                            l->dx + first * l->in, l->dw, l->db),
                     DITHER_OK);
    dither_arena_close(&arena);
}

/*
 * Scales of a token (or none) do not know of other tokens, and draws are addressed by row0: parts are the whole. With
 * W = 1 y and dx show the codes; with x = 1 too, dW is a sum of one term, or under the transform of multiples of 1/16,
 * which no order of summation rounds.
 */
static void parts_are_the_whole(void **state)
{
    (void)state;
    static const char *const schemes[] = {
        "act=int8/row:sr,goact=int4/row:sr,goweight=bf16:sr,same_input",
        "bact=bf16:sr,goact=e2m1/g16e8m0:sr,goweight=fx2:sr,rht=16",
    };
    for (size_t i = 0; i < 4; i++) {
        static float y[SIDE * SIDE], dx[SIDE * SIDE], dw[SIDE * SIDE];
        layer l;
        layer_open(&l, schemes[i / 2], SIDE, SIDE, SIDE);
        identity(l.w);
        memset(l.dw0, 0, sizeof dw);
        if (i % 2 == 1) {
            identity(l.x);
        }
        layer_run(&l);
        memcpy(y, l.y, sizeof y);
        memcpy(dx, l.dx, sizeof dx);
        memcpy(dw, l.dw, sizeof dw);
        layer_reset(&l);
        run_part(&l, 0, 48);
        run_part(&l, 48, 16);
        assert_memory_equal(l.y, y, sizeof y);
        assert_memory_equal(l.dx, dx, sizeof dx);
        for (size_t e = 0; i % 2 == 1 && e < SIDE * SIDE; e++) {
            assert_true(l.dw[e] == dw[e]);
        }
        layer_close(&l);
    }
}

static void saturation_is_counted(void **state)
{
    (void)state;
    layer l;
    layer_open(&l, "act=e4m3,weight=e4m3,bact=e4m3:sr,goact=e4m3:sr,same_weight", 40, 30, 20);
    l.x[3] = 500.0f;
    l.x[90] = -1000.0f;
    l.w[7] = -449.0f;
    l.dy[5] = 1e6f;
    l.dy[11] = -1e6f;
    l.dy[599] = 448.0f;
    layer_run(&l);
    /* goweight is f32: nothing is quantized, nothing counted */
    assert_int_equal(l.clips.clipped, 2 + 2 + 1 + 2);
    assert_int_equal(l.clips.elements, 20 * 40 + 20 * 40 + 30 * 40 + 20 * 30);
    layer_close(&l);
    for (size_t i = 0; dither_preset_name(i) != NULL; i++) {
        layer_open(&l, dither_preset_name(i), 65, 33, 65);
        layer_run(&l);
        assert_int_equal(l.clips.clipped, 0);
        layer_close(&l);
    }
}

/* NaN and Inf stop where they first meet a quantizer, and the scratch is given back. */
static void what_is_not_finite_is_refused(void **state)
{
    (void)state;
    layer l;
    layer_open(&l, "paper-int8", 40, 30, 20);
    layer_run(&l);
    l.dy[100] = NAN;
    assert_int_equal(dither_linear_backward(&l.context, &l.linear, l.tokens, 0, &l.saved, l.dy, l.dx, l.dw, l.db),
                     DITHER_E_NUMERIC);
    l.x[100] = INFINITY;
    assert_int_equal(dither_linear_forward(&l.context, &l.linear, l.tokens, 0, l.x, l.y, &l.saved), DITHER_E_NUMERIC);
    l.w[100] = -INFINITY;
    assert_int_equal(dither_linear_refresh(&l.context, &l.linear), DITHER_E_NUMERIC);
    assert_int_equal(l.scratch.used, 0);
    layer_close(&l);
}

/* What is not wanted is not computed, and changes nothing of the rest. */
static void gradients_may_be_left_out(void **state)
{
    (void)state;
    layer l;
    layer_open(&l, "paper-int4", 40, 30, 20);
    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, 1 << 20), DITHER_OK);
    result all = result_take(&l, &arena);
    layer_run(&l);
    result_copy(&l, &all);
    for (int part = 0; part < 3; part++) {
        layer_reset(&l);
        memset(l.dx, 0, l.tokens * l.in * sizeof *l.dx);
        assert_int_equal(dither_linear_backward(&l.context, &l.linear, l.tokens, 0, &l.saved, l.dy,
                                                part == 0 ? l.dx : NULL, part == 1 ? l.dw : NULL,
                                                part == 2 ? l.db : NULL),
                         DITHER_OK);
        assert_int_equal(part == 0, memcmp(l.dx, all.dx, l.tokens * l.in * sizeof *l.dx) == 0);
        assert_int_equal(part == 1, memcmp(l.dw, all.dw, l.out * l.in * sizeof *l.dw) == 0);
        assert_int_equal(part == 2, memcmp(l.db, all.db, l.out * sizeof *l.db) == 0);
    }
    dither_arena_close(&arena);
    layer_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(every_part_of_the_address_counts),
        cmocka_unit_test(weights_are_quantized_once_a_step),
        cmocka_unit_test(dy_is_quantized_twice_and_independently),
        cmocka_unit_test(x_is_quantized_twice_and_independently),
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(saturation_is_counted),
        cmocka_unit_test(what_is_not_finite_is_refused),
        cmocka_unit_test(gradients_may_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
