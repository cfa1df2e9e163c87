/*
 * Stochastic rounding in the backward pass is unbiased: the mean of every element of dx and dW over many seeds lies
 * around the product of the operands as they are, within a Bernstein bound from the exact variance.
 *
 * One quantized element, x = (k + f) D of its own grid (scale included), is k D or (k + 1) D with mean x and variance
 * D^2 f (1 - f). A product's element is a sum over l of terms a_l b_l, independent of each other:
 *
 *     mean       sum a_l b_l                                (a, b independent: dy and x draw from fields of their own)
 *     variance   sum va_l vb_l + va_l b_l^2 + vb_l a_l^2    (product of two independent variables)
 *     range      |a_l b_l - mean| <= Da_l |b_l| + Db_l |a_l| + Da_l Db_l, at most M over l
 *
 * By Bernstein, n draws have P(|average - mean| > t) <= 2 exp(-(n t^2 / 2) / (variance + M t / 3)). Solving that for
 * P = 1e-9 / (all elements of all cases) gives t. To it is added what f32 does to the mean:
 *
 *     an element     x / s is rounded (u |x|), its fraction rounded to 32 bits (D 2^-33), code * s rounded
 *                    (u (|x| + D)), a folded scale multiplied in (u |x|); u = 2^-24, and one more u |x| stands for
 *                    what is of second order
 *     the product    gamma_(k+1) sum (|a_l| + Da_l) (|b_l| + Db_l)
 */
#include "linear_fixture.h"

enum { TOKENS = 24, IN = 16, OUT = 12, SEEDS = 4096, ELEMENTS = TOKENS * IN + OUT * IN, LARGEST = TOKENS * IN };

static const struct {
    const char *unbiased, *biased; /* the same with rne */
} cases[] = {
    {"bact=int4/row:sr,goact=int4/row:sr,goweight=int4/row:sr", "bact=int4/row,goact=int4/row,goweight=int4/row"},
    {"bact=int3/row:sr,goact=int3/row:sr,goweight=int3/row:sr", "bact=int3/row,goact=int3/row,goweight=int3/row"},
    {"bact=e4m1/row:sr,goact=e4m1/row:sr,goweight=e4m1/row:sr", "bact=e4m1/row,goact=e4m1/row,goweight=e4m1/row"},
    {"weight=int8/row,bact=e2m1/g8e4m3:sr,goact=int4/row:sr,goweight=fx2:sr,same_weight",
     "weight=int8/row,bact=e2m1/g8e4m3,goact=int4/row,goweight=fx2,same_weight"},
};

enum { CASES = sizeof cases / sizeof cases[0] };

/* What a quantized matrix does on the average. */
typedef struct spread {
    double mean[LARGEST];
    double variance[LARGEST];
    double step[LARGEST];  /* 0 where the value never moves */
    double slack[LARGEST]; /* of the mean, from f32 */
} spread;

static spread of_x, of_dy, of_folded_dy, of_w;

/* Value of v's neighbour on one side, in units of the scale. */
static double neighbour(const dither_quantizer *q, dither_rounding_mode mode, float v)
{
    const dither_rounding rounding = {mode, 0};
    return (double)dither_format_decode(&q->format, dither_format_encode(&q->format, rounding, v, 0, NULL));
}

static void find_spread(const dither_quantizer *q, dither_axis axis, size_t rows, size_t cols, const float *x,
                        dither_arena *arena, spread *result)
{
    const size_t mark = dither_arena_mark(arena);
    restated r = restated_take(arena, rows, cols);
    restated_scales(q, axis, x, arena, &r);
    for (size_t e = 0; e < rows * cols; e++) {
        const double s = (double)r.scale[e];
        const float v = r.scale[e] > 0.0f ? x[e] / r.scale[e] : 0.0f;
        const double low = neighbour(q, DITHER_ROUND_DOWN, v), high = neighbour(q, DITHER_ROUND_UP, v);
        const double step = (high - low) * s;
        result->mean[e] = (double)x[e];
        result->step[e] = step;
        result->variance[e] = ((double)v - low) * (high - (double)v) * s * s;
        result->slack[e] = (4.0 * fabs((double)x[e]) + step) * 0x1p-24 + step * 0x1p-33;
    }
    dither_arena_rewind(arena, mark);
}

static void find_fixed(const float *x, size_t count, spread *result)
{
    *result = (spread){.step = {0.0}};
    for (size_t e = 0; e < count; e++) {
        result->mean[e] = (double)x[e];
    }
}

/* The bound of one element, by sums over its terms. */
typedef struct bound {
    double mean, variance, range, slack, magnitude;
} bound;

static void add_term(bound *b, const spread *p, size_t i, const spread *q, size_t j)
{
    const double pm = p->mean[i], qm = q->mean[j], pd = p->step[i], qd = q->step[j];
    b->mean += pm * qm;
    b->variance += p->variance[i] * q->variance[j] + p->variance[i] * qm * qm + q->variance[j] * pm * pm;
    b->range = fmax(b->range, pd * fabs(qm) + qd * fabs(pm) + pd * qd);
    b->slack += p->slack[i] * (fabs(qm) + qd) + q->slack[j] * (fabs(pm) + pd);
    b->magnitude += (fabs(pm) + pd) * (fabs(qm) + qd);
}

/* @param terms  of the product */
static bool inside(const bound *b, size_t terms, double average)
{
    const double n = SEEDS, l = log(2.0 * ELEMENTS * CASES / 1e-9), third = l * b->range / 3.0;
    const double t = (third + sqrt(third * third + 2.0 * n * l * b->variance)) / n;
    const double rounding = (double)(terms + 1) * 0x1.00001p-24 * b->magnitude;
    return fabs(average - b->mean) <= t + b->slack + rounding;
}

typedef struct average {
    double dx[TOKENS * IN], dw[OUT * IN];
} average;

static void run_seeds(layer *l, size_t seeds, average *mean)
{
    *mean = (average){.dx = {0.0}};
    memset(l->dw0, 0, OUT * IN * sizeof *l->dw0);
    for (size_t seed = 1; seed <= seeds; seed++) {
        l->context.seed = seed;
        layer_run(l);
        for (size_t e = 0; e < TOKENS * IN; e++) {
            mean->dx[e] += (double)l->dx[e] / (double)seeds;
        }
        for (size_t e = 0; e < OUT * IN; e++) {
            mean->dw[e] += (double)l->dw[e] / (double)seeds;
        }
    }
}

/* Elements of dx and dW outside their bounds. */
static size_t count_outside(const average *mean)
{
    size_t outside = 0;
    for (size_t e = 0; e < TOKENS * IN; e++) {
        bound b = {.mean = 0.0};
        for (size_t o = 0; o < OUT; o++) {
            add_term(&b, &of_folded_dy, e / IN * OUT + o, &of_w, o * IN + e % IN);
        }
        outside += !inside(&b, OUT, mean->dx[e]);
    }
    for (size_t e = 0; e < OUT * IN; e++) {
        bound b = {.mean = 0.0};
        for (size_t t = 0; t < TOKENS; t++) {
            add_term(&b, &of_dy, t * OUT + e / IN, &of_x, t * IN + e % IN);
        }
        outside += !inside(&b, TOKENS, mean->dw[e]);
    }
    return outside;
}

/* What each operand does on the average; a weight with row scales hands them to dy. */
static void find_spreads(const layer *l, dither_arena *arena)
{
    const dither_quantizer *role = l->scheme.role;
    const size_t mark = dither_arena_mark(arena);
    float *folded = dither_arena_take(arena, TOKENS * OUT, sizeof(float));
    float *w = dither_arena_take(arena, OUT * IN, sizeof(float));
    memcpy(folded, l->dy, TOKENS * OUT * sizeof *folded);
    memcpy(w, l->w, OUT * IN * sizeof *w);
    if (l->scheme.same_weight) {
        const restated codes = restate(&role[DITHER_ROLE_WEIGHT], DITHER_AXIS_COLS, OUT, IN, l->w, NULL, arena);
        memcpy(w, codes.code, OUT * IN * sizeof *w);
        for (size_t e = 0; e < TOKENS * OUT; e++) {
            folded[e] *= codes.scale[e % OUT * IN];
        }
    }
    find_spread(&role[DITHER_ROLE_BACT], DITHER_AXIS_ROWS, TOKENS, IN, l->x, arena, &of_x);
    find_spread(&role[DITHER_ROLE_GOWEIGHT], DITHER_AXIS_ROWS, TOKENS, OUT, l->dy, arena, &of_dy);
    find_spread(&role[DITHER_ROLE_GOACT], DITHER_AXIS_COLS, TOKENS, OUT, folded, arena, &of_folded_dy);
    find_fixed(w, OUT * IN, &of_w);
    dither_arena_rewind(arena, mark);
}

static void backward_is_unbiased(void **state)
{
    (void)state;
    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, 1 << 20), DITHER_OK);
    for (size_t i = 0; i < CASES; i++) {
        static average mean;
        layer l;
        layer_open(&l, cases[i].unbiased, IN, OUT, TOKENS);
        find_spreads(&l, &arena);
        run_seeds(&l, SEEDS, &mean);
        assert_int_equal(count_outside(&mean), 0);
        assert_int_equal(l.clips.clipped, 0);
        layer_close(&l);

        /* The same bounds see that rounding to nearest is not. It draws nothing: one seed is all of them. */
        layer_open(&l, cases[i].biased, IN, OUT, TOKENS);
        run_seeds(&l, 1, &mean);
        assert_true(count_outside(&mean) > ELEMENTS / 4);
        layer_close(&l);
    }
    dither_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(backward_is_unbiased)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
