/*
 * Gradients of given sequences under given schemes and draws: those of the network itself, linear in the factor, the
 * same bits for any number of threads, independent of the scheme that was laid out before; and their sums by place
 * against plain loops.
 */
#include "gradient_fixture.h"
#include "study/gradient_sums.h"

static gradient_fixture fixture, other;

static const char *const scheme_text = "act=bf16,weight=int8/row,bact=int4/row:sr,goact=int4/row:sr,"
                                       "goweight=int4/row:sr,same_weight";

static bool equal(const float *a, const float *b)
{
    return memcmp(a, b, fixture.gradient.network.elements * sizeof *a) == 0;
}

static double norm(const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < fixture.gradient.network.elements; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void test_draws(void **state)
{
    (void)state;
    const dither_scheme scheme = fixture_scheme(scheme_text);
    fixture_open(&fixture, &scheme, 1, 3, 1);
    float *const *block = fixture.gradient.block;
    fixture_add(&fixture, 0, 1, 1, true, block[0]);
    fixture_add(&fixture, 0, 1, 1, true, block[1]);
    assert_true(equal(block[0], block[1]));
    fixture_add(&fixture, 0, 2, 1, true, block[1]);
    assert_false(equal(block[0], block[1]));
    /* The other sign takes away: what is left is rounding of the sums, of a few times 2^-24. */
    const double before = norm(block[1]);
    fixture_add(&fixture, 0, 2, -1, false, block[1]);
    assert_true(norm(block[1]) < 1e-6 * before);
    /* A power of two is exact, and only scales. */
    fixture_add(&fixture, 1, 5, 1, true, block[0]);
    fixture_add(&fixture, 1, 5, 0.25f, true, block[1]);
    for (size_t i = 0; i < fixture.gradient.network.elements; i++)
        assert_true(block[0][i] * 0.25f == block[1][i]);
    dither_gradient_close(&fixture.gradient);
}

/* A second draw with the other sign leaves |g1 - g2|^2 of one block. */
static void test_difference(void **state)
{
    (void)state;
    const dither_scheme scheme = fixture_scheme(scheme_text);
    fixture_open(&fixture, &scheme, 1, 3, 1);
    float *const *block = fixture.gradient.block;
    fixture_add(&fixture, 2, 1, 1, true, block[0]);
    fixture_add(&fixture, 2, 2, 1, true, block[1]);
    fixture_add(&fixture, 2, 1, 1, true, block[2]);
    fixture_add(&fixture, 2, 2, -1, false, block[2]);
    double worst = 0;
    for (size_t i = 0; i < fixture.gradient.network.elements; i++)
        worst = fmax(worst, fabs((double)block[2][i] - ((double)block[0][i] - (double)block[1][i])));
    assert_true(worst < 1e-6 * norm(block[0]) && norm(block[2]) > 1e-3 * norm(block[0]));
    dither_gradient_close(&fixture.gradient);
}

static void test_schemes(void **state)
{
    (void)state;
    const dither_scheme schemes[] = {fixture_scheme("f32"), fixture_scheme(scheme_text), fixture_scheme("int8")};
    fixture_open(&fixture, schemes, 3, 3, 1);
    fixture_open(&other, &schemes[1], 1, 3, 4);
    float *const *block = fixture.gradient.block;
    fixture_add(&fixture, 0, 1, 1, true, block[0]);
    memcpy(block[2], block[0], fixture.gradient.network.elements * sizeof(float));
    fixture_scheme_set(&fixture, &schemes[2]);
    fixture_add(&fixture, 1, 4, 1, true, block[1]);
    assert_true(equal(block[0], block[2])); /* blocks outlive a change of scheme */
    fixture_scheme_set(&fixture, &schemes[1]);
    fixture_add(&fixture, 0, 1, 1, true, block[1]);
    fixture_add(&other, 0, 1, 1, true, other.gradient.block[1]);
    assert_true(equal(block[1], other.gradient.block[1])); /* nor does another scheme, or more threads, show */
    fixture_scheme_set(&fixture, &schemes[0]);
    fixture_add(&fixture, 0, 7, 1, true, block[1]);
    assert_true(equal(block[1], block[2]));
    dither_gradient_close(&fixture.gradient);
    dither_gradient_close(&other.gradient);
}

static void test_clips(void **state)
{
    (void)state;
    /* int8 without a scale saturates beyond 127; with one a row it never does. */
    const dither_scheme scheme = fixture_scheme("weight=int8,bact=int8/row:sr,goweight=int8/row:sr");
    fixture_open(&fixture, &scheme, 1, 1, 1);
    dither_network *const net = &fixture.gradient.network;
    float *const w = net->parameters + (net->layers[1].qkv.w - net->parameters); /* the query's matrix of layer 1 */
    w[3] = 200;
    dither_gradient_clear_clips(&fixture.gradient);
    fixture_scheme_set(&fixture, &scheme);
    const dither_gradient *g = &fixture.gradient;
    assert_int_equal(g->clips.clipped, 1);
    assert_int_equal(g->layer_clips[1].clipped, 1);
    assert_int_equal(g->layer_clips[0].clipped, 0);
    fixture_add(&fixture, 0, 1, 1, true, g->block[0]);
    assert_int_equal(g->layer_clips[0].elements + g->layer_clips[1].elements + g->layer_clips[2].elements,
                     g->clips.elements);
    assert_true(g->layer_clips[0].elements == g->layer_clips[1].elements && g->layer_clips[2].elements > 0);
    dither_gradient_close(&fixture.gradient);
}

static void add_products(dither_draw_products *sums, double t, double e, double m)
{
    sums->tt += t * t;
    sums->ee += e * e;
    sums->et += e * t;
    sums->em += e * m;
    sums->mm += m * m;
}

static void test_sums(void **state)
{
    (void)state;
    const dither_scheme scheme = fixture_scheme("f32");
    fixture_open(&fixture, &scheme, 1, 3, 3);
    const dither_network *net = &fixture.gradient.network;
    float *const *block = fixture.gradient.block;
    const dither_draw draw = {.seed = 77};
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < net->elements; i++)
            block[k][i] = (float)(dither_draw_u32(&draw, k, i) % 2001) / 1000 - 1;
    float *const total = malloc(net->elements * sizeof *total);
    memcpy(total, block[2], net->elements * sizeof *total);
    dither_gradient_places places;
    assert_int_equal(dither_gradient_places_init(&places, net), DITHER_OK);
    assert_int_equal(places.count, 5);
    dither_draw_products sums[5], want[5] = {{0}};
    dither_gradient_sum(&places, block[0], block[1], 0.75, block[2], 4, sums, 3);
    size_t counted = 0;
    for (size_t k = 0; k < net->table_count; k++) {
        const dither_parameter *row = &net->table[k];
        const size_t place = row->layer >= 0 ? 2 + (size_t)row->layer : row->role == DITHER_PARAMETER_EMBEDDING ? 1 : 4;
        for (size_t i = row->offset; i < row->offset + row->rows * row->cols; i++, counted++) {
            const double t = (double)block[0][i], e = 0.75 * ((double)block[1][i] - t), m = (double)total[i] / 4;
            add_products(&want[place], t, e, m);
            add_products(&want[0], t, e, m);
            assert_true(block[2][i] == total[i] + (float)e);
        }
    }
    assert_int_equal(counted, dither_model_parameters(&net->config));
    for (size_t i = 0; i < 5; i++) {
        /* 1e4 terms of at most 4 in doubles */
        assert_true(fabs(sums[i].tt - want[i].tt) < 1e-9 && fabs(sums[i].ee - want[i].ee) < 1e-9);
        assert_true(fabs(sums[i].et - want[i].et) < 1e-9 && fabs(sums[i].em - want[i].em) < 1e-9);
        assert_true(fabs(sums[i].mm - want[i].mm) < 1e-9 && want[i].mm > 0);
    }
    /* The first draw: what lies in the block before is not read. */
    for (size_t i = 0; i < net->elements; i++)
        block[2][i] = NAN;
    dither_gradient_sum(&places, block[0], block[1], 1, block[2], 0, sums, 1);
    assert_true(sums[0].em == 0 && sums[0].mm == 0 && block[2][net->table[0].offset] ==
                block[1][net->table[0].offset] - block[0][net->table[0].offset]);
    char name[DITHER_GRADIENT_PLACE_NAME];
    static const char *const names[] = {"whole", "embedding", "layer 0", "layer 1", "output"};
    for (size_t i = 0; i < 5; i++) {
        dither_gradient_place_name(&net->config, i, name);
        assert_string_equal(name, names[i]);
    }
    free(total);
    dither_gradient_places_free(&places);
    dither_gradient_close(&fixture.gradient);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws),   cmocka_unit_test(test_difference), cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_clips),   cmocka_unit_test(test_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
