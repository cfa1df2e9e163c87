/*
 * The linear layer against its definition, restated: quantizers element by element (linear_fixture.h), scales folded as
 * linear.h says, products in double.
 *
 * Tolerance: operands are equal bit for bit (codes are compared), so that only the f32 product differs. A sum of k
 * products in any order, onto an addend c, meets each term with at most k + 1 roundings, so it errs by at most
 * gamma_(k+1) (sum |a||b| + |c|), gamma_n = n u / (1 - n u), u = 2^-24 (Higham 2002, 3.1). The sum in double errs by
 * 2^-29 of that, for which, and for the rounding of the addition itself, stands k + 2. Packed products multiply their
 * scales in behind the sum, group by group: each operand's value as restated here has one rounding that they lack, they
 * have three that it lacks (scale times scale, times the sum, onto the sum of the groups): six more.
 */
#include "linear_fixture.h"

static dither_arena memory; /* of what is restated */

static double gamma_of(size_t n)
{
    return (double)n * 0x1p-24 / (1.0 - (double)n * 0x1p-24);
}

static bool is_f32(const dither_quantizer *q)
{
    return q->format.kind == DITHER_KIND_FLOAT && q->format.bits == 32;
}

/* An operand: element (i, j) at values[i * by_row + j * by_col]. */
typedef struct factor {
    const float *values;
    size_t by_row, by_col;
} factor;

/* c[i][j] = sum_l a(i, l) b(l, j) + before(i, j) within the bound. */
static void check_product(const char *what, size_t m, size_t n, size_t k, factor a, factor b, factor before,
                          const float *c)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            const double addend = before.values ? (double)before.values[i * before.by_row + j * before.by_col] : 0.0;
            double sum = addend, magnitude = fabs(addend);
            for (size_t l = 0; l < k; l++) {
                const double term = (double)a.values[i * a.by_row + l * a.by_col] *
                                    (double)b.values[l * b.by_row + j * b.by_col];
                sum += term;
                magnitude += fabs(term);
            }
            const double bound = gamma_of(k + 2 + (fixture_packed ? 6 : 0)) * magnitude;
            if (!(fabs((double)c[i * n + j] - sum) <= bound)) {
                fail_msg("%s[%zu][%zu] is %.9g, must be %.9g +- %.3g", what, i, j, (double)c[i * n + j], sum, bound);
            }
        }
    }
}

static void check_codes(const char *what, const dither_codes *codes, const restated *r)
{
    assert_int_equal(codes->rows, r->rows);
    assert_int_equal(codes->cols, r->cols);
    for (size_t e = 0; e < r->rows * r->cols; e++) {
        const size_t i = e / r->cols, j = e % r->cols;
        const float scale = dither_codes_scale(codes, i, j);
        if (dither_codes_get(codes, i, j) != r->bits[e] || memcmp(&scale, &r->scale[e], sizeof scale) != 0) {
            fail_msg("%s[%zu][%zu] is %#x * %a, must be %#x * %a", what, i, j, dither_codes_get(codes, i, j),
                     (double)scale, r->bits[e], (double)r->scale[e]);
        }
    }
}

static restated restate_role(const layer *l, dither_role role, dither_axis axis, const float *x, size_t rows,
                             size_t cols)
{
    dither_draw draw = layer_draw(l, (uint32_t)role);
    if (role == DITHER_ROLE_WEIGHT || role == DITHER_ROLE_BWEIGHT) {
        draw.microbatch = 0;
        draw.row0 = 0;
    }
    return restate(&l->scheme.role[role], axis, rows, cols, x, &draw, &memory);
}

/* Rotated where the scheme says so, then quantized along tokens: bact and goweight. */
static restated restate_over_tokens(const layer *l, dither_role role, const float *x, size_t cols)
{
    size_t rows = l->tokens;
    if (l->scheme.rht != 0) {
        x = restated_rotation(x, rows, cols, l->scheme.rht, layer_draw(l, 0), &rows, &memory);
    }
    return restate_role(l, role, DITHER_AXIS_ROWS, x, rows, cols);
}

/* dy, element (t, o) multiplied by the scale of W's row o or of x's row t where that is given. */
static float *folded(const layer *l, const restated *w, const restated *x)
{
    float *dy = dither_arena_take(&memory, l->tokens * l->out, sizeof(float));
    for (size_t e = 0; e < l->tokens * l->out; e++) {
        dy[e] = l->dy[e] * (w != NULL ? w->scale[e % l->out * w->cols] : 1.0f);
        dy[e] *= x != NULL ? x->scale[e / l->out * x->cols] : 1.0f;
    }
    return dy;
}

/* Whether the scales of `q` are folded into what `role` quantizes. */
static bool folds(const layer *l, bool same, const dither_quantizer *q, dither_role role)
{
    return same && !l->scheme.same_grad && q->shape == DITHER_SCALE_ROW && !is_f32(&l->scheme.role[role]);
}

static void check_dx(const layer *l, const restated *w)
{
    const bool fold = folds(l, l->scheme.same_weight, &l->scheme.role[DITHER_ROLE_WEIGHT], DITHER_ROLE_GOACT);
    const float *dy = fold ? folded(l, w, NULL) : l->dy;
    const restated g = restate_role(l, DITHER_ROLE_GOACT, DITHER_AXIS_COLS, dy, l->tokens, l->out);
    check_product("dx", l->tokens, l->in, l->out, (factor){g.value, l->out, 1},
                  (factor){fold ? w->code : w->value, l->in, 1}, (factor){NULL, 0, 0}, l->dx);
}

static void check_dw(const layer *l, const restated *x)
{
    const bool fold = folds(l, l->scheme.same_input, &l->scheme.role[DITHER_ROLE_ACT], DITHER_ROLE_GOWEIGHT);
    const float *dy = fold ? folded(l, NULL, x) : l->dy;
    const restated g = l->scheme.same_grad
                           ? restate_role(l, DITHER_ROLE_GOACT, DITHER_AXIS_COLS, dy, l->tokens, l->out)
                           : restate_over_tokens(l, DITHER_ROLE_GOWEIGHT, dy, l->out);
    check_product("dw", l->out, l->in, x->rows, (factor){g.value, 1, l->out},
                  (factor){fold ? x->code : x->value, l->in, 1}, (factor){l->dw0, l->in, 1}, l->dw);
}

static void check_db(const layer *l)
{
    for (size_t o = 0; o < l->out; o++) {
        double sum = 0.0;
        for (size_t t = 0; t < l->tokens; t++) {
            sum += (double)l->dy[t * l->out + o];
        }
        assert_true(l->db[o] == l->db0[o] + (float)sum);
    }
}

static void check_layer(const layer *l)
{
    const restated w = restate_role(l, DITHER_ROLE_WEIGHT, DITHER_AXIS_COLS, l->w, l->out, l->in);
    const restated a = restate_role(l, DITHER_ROLE_ACT, DITHER_AXIS_COLS, l->x, l->tokens, l->in);
    const restated kept = l->scheme.same_input ? a : restate_over_tokens(l, DITHER_ROLE_BACT, l->x, l->in);
    const restated back = l->scheme.same_weight
                              ? w
                              : restate_role(l, DITHER_ROLE_BWEIGHT, DITHER_AXIS_ROWS, l->w, l->out, l->in);
    if (l->plan.dw.kernel == NULL) {
        check_codes("saved", &l->saved.codes, &kept);
    }
    if (l->linear.weight.packed != NULL) {
        check_codes("weight", &l->linear.weight, &w);
    }
    check_product("y", l->tokens, l->out, l->in, (factor){a.value, l->in, 1}, (factor){w.value, 1, l->in},
                  (factor){l->bias, 0, 1}, l->y);
    check_dx(l, &back);
    check_dw(l, &kept);
    check_db(l);
}

static const struct {
    size_t in, out, tokens;
} shapes[] = {{1, 1, 1}, {3, 17, 64}, {17, 3, 17}, {64, 64, 3}, {33, 129, 65}, {129, 31, 129}};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void check_scheme(const char *scheme)
{
    for (size_t i = 0; i < SHAPES; i++) {
        layer l;
        layer_open(&l, scheme, shapes[i].in, shapes[i].out, shapes[i].tokens);
        l.row0 = i * 1000;
        layer_run(&l);
        check_layer(&l);
        layer_close(&l);
        dither_arena_rewind(&memory, 0);
    }
}

static void presets_equal_their_definition(void **state)
{
    (void)state;
    for (size_t i = 0; dither_preset_name(i) != NULL; i++) {
        check_scheme(dither_preset_name(i));
    }
}

/* What no preset has: scales folded both ways, W quantized anew for backward, shared gradients, other scales. */
static void other_schemes_equal_their_definition(void **state)
{
    (void)state;
    static const char *const schemes[] = {
        "act=int8/row,weight=int8/row,goact=int8/row:sr,goweight=int8/row:sr,same_input,same_weight",
        "act=int4/row:sr,weight=int4/row:sr,goact=int3/row:sr,goweight=e4m1/row:sr,same_input,same_weight",
        "act=e4m3/g32,weight=int8/row,goact=int8/tensor:sr,goweight=int8/t16:sr8,same_input",
        "weight=int8/row:sr,bweight=int4/g32:sr8,bact=ternary/row:sr,goact=e2m1/g16e4m3:sr,goweight=int2/g8:sr",
        "bact=fx3:sr,goact=fx3:sr,same_grad",
        "act=bf16,weight=int8/row,bact=int4/t32:sr,goact=int4/row:sr,same_weight,same_grad",
        "act=int8/row,weight=int8/row,same_input,same_weight",
        "goact=int8/row:sr,rht=16",
        "bact=int4/row:sr,goweight=int4/row:sr,rht=4",
        "act=bf16,weight=int8/rowe8m0,goact=e4m3/row:sr,goweight=bf16,bact=bf16,same_weight",
        "act=e4m3/rowe8m0,weight=e4m3/row,goact=e4m3/row:sr,goweight=e4m3/row:sr,same_input",
        "act=e2m1/rowe4m3,weight=e2m1/rowe4m3,goact=e2m1/row:sr,goweight=e2m1/row:sr,same_input,same_weight",
        "act=int8/row,weight=int8/row,bact=int8/g64:sr8,bweight=int4/g32:sr8,goact=int8/g64:sr8,goweight=int8/g32:sr8",
        "act=int8/tensor,weight=int8/t16,bact=int8/t16:sr,goact=int8/tensor:sr,same_weight,same_grad",
    };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        check_scheme(schemes[i]);
    }
}

static void exact_forward_reads_the_master_weights(void **state)
{
    (void)state;
    layer l;
    layer_open(&l, "paper-int4", 33, 17, 65);
    dither_linear_forward_exact(&l.context, &l.linear, l.tokens, l.x, l.y);
    check_product("y", l.tokens, l.out, l.in, (factor){l.x, l.in, 1}, (factor){l.w, 1, l.in}, (factor){l.bias, 0, 1},
                  l.y);
    layer_close(&l);
}

/* Each kept code takes its bits, rows start on bytes, and there is one f32 scale a column. */
static void what_is_kept_has_the_size_of_its_codes(void **state)
{
    (void)state;
    static const struct {
        const char *scheme;
        size_t row_bytes, rows, scale_bytes;
    } cases[] = {
        {"bact=int4/row:sr", 64, 200, 128 * 4},   {"bact=int8/row:sr", 128, 200, 128 * 4},
        {"bact=int3/row:sr", 48, 200, 128 * 4},   {"bact=int2/row:sr", 32, 200, 128 * 4},
        {"bact=bf16", 256, 200, 0},               {"bact=f32", 512, 200, 0},
        {"bact=int4/g32:sr", 64, 200, 7 * 128 * 4}, {"act=int4/row,same_input", 64, 200, 200 * 4},
        {"bact=int4/row:sr,rht=32", 64, 224, 128 * 4}, {"bact=e2m1/g32e8m0:sr", 64, 200, 7 * 128},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dither_scheme scheme;
        dither_linear_saved saved;
        assert_int_equal(dither_scheme_parse(cases[i].scheme, &scheme, NULL), DITHER_OK);
        const dither_linear_plan plan = dither_linear_plan_reference(&scheme);
        assert_int_equal(dither_linear_saved_bytes(&plan, 128, 200),
                         dither_align_up(cases[i].rows * cases[i].row_bytes) + dither_align_up(cases[i].scale_bytes));
        assert_int_equal(dither_linear_saved_init(&saved, &plan, 128, 200, NULL), DITHER_OK);
        assert_int_equal(saved.codes.rows, cases[i].rows);
        assert_int_equal(saved.codes.row_bytes, cases[i].row_bytes);
    }
}

static void weights_take_the_bytes_of_their_codes(void **state)
{
    (void)state;
    static const struct {
        const char *scheme;
        size_t bytes;
    } cases[] = {
        {"f32", 0},
        {"weight=int8/row,same_weight", 64 * 128 + 64 * 4},
        {"weight=int8/row", 64 * 128 + 64 * 4},
        {"weight=int8/row,bweight=int4/row", 64 * 128 + 64 * 4 + 64 * 64 + 128 * 4},
        {"bweight=int4/row", 64 * 64 + 128 * 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dither_scheme scheme;
        assert_int_equal(dither_scheme_parse(cases[i].scheme, &scheme, NULL), DITHER_OK);
        const dither_linear_plan plan = dither_linear_plan_reference(&scheme);
        assert_int_equal(dither_linear_weight_bytes(&plan, 128, 64), cases[i].bytes);
    }
}

/* The same on this machine's low-bit units. */
static void packed_presets_equal_their_definition(void **state)
{
    fixture_packed = true;
    presets_equal_their_definition(state);
    fixture_packed = false;
}

static void other_packed_schemes_equal_their_definition(void **state)
{
    fixture_packed = true;
    other_schemes_equal_their_definition(state);
    fixture_packed = false;
}

static int open_memory(void **state)
{
    (void)state;
    return dither_arena_open(&memory, (size_t)16 << 20) == DITHER_OK ? 0 : -1;
}

static int close_memory(void **state)
{
    (void)state;
    dither_arena_close(&memory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_equal_their_definition),
        cmocka_unit_test(other_schemes_equal_their_definition),
        cmocka_unit_test(packed_presets_equal_their_definition),
        cmocka_unit_test(other_packed_schemes_equal_their_definition),
        cmocka_unit_test(exact_forward_reads_the_master_weights),
        cmocka_unit_test(what_is_kept_has_the_size_of_its_codes),
        cmocka_unit_test(weights_take_the_bytes_of_their_codes),
    };
    return cmocka_run_group_tests(tests, open_memory, close_memory);
}
