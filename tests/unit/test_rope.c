#include "nn/rope.h"

#include "layer_check.h"

typedef struct rope_case {
    dither_rotation rotation;
    bool inverse;
    float *x;
} rope_case;

static void apply(const dither_context *context, void *data)
{
    rope_case *c = data;
    dither_rope_apply(context, &c->rotation, c->inverse, c->x);
}

static double position_of(const dither_rotation *r, size_t t)
{
    return (double)(r->positions ? r->positions[t] : r->start + t % r->seq);
}

/* x as the pairs' complex numbers, turned by position * base^(-2i/head_dim) */
static void reference(const rope_case *c, double base, double *x)
{
    const dither_rotation *r = &c->rotation;
    const size_t half = r->head_dim / 2;
    for (size_t t = 0; t < r->tokens; t++) {
        for (size_t j = 0; j < r->heads * half; j++) {
            const size_t i = j % half;
            double *low = x + t * r->stride + j / half * r->head_dim + i, *high = low + half;
            const double angle = position_of(r, t) / pow(base, 2 * (double)i / (double)r->head_dim);
            const double a = *low, b = *high, sine = c->inverse ? -sin(angle) : sin(angle);
            *low = a * cos(angle) - b * sine;
            *high = a * sine + b * cos(angle);
        }
    }
}

static float *new_table(size_t positions, size_t head_dim, double base)
{
    float *table = layer_new(positions * head_dim, sizeof *table);
    dither_rope_table(&(dither_rope){.base = base, .head_dim = head_dim}, positions, table);
    return table;
}

static void check(rope_case c, double base)
{
    dither_rotation *r = &c.rotation;
    const size_t n = r->tokens * r->stride;
    r->table_positions = r->start + r->seq;
    for (size_t t = 0; t < r->tokens && r->positions; t++)
        r->table_positions = r->positions[t] < r->table_positions ? r->table_positions : r->positions[t] + 1;
    float *table = new_table(r->table_positions, r->head_dim, base);
    float *start = layer_random(1, n, 1), *first = layer_new(n, sizeof *first);
    double *exact = layer_double(n, start);
    reference(&c, base, exact);
    r->table = table;
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        c.x = layer_random(1, n, 1);
        layer_run(layer_threads[t], apply, &c);
        if (t == 0)
            memcpy(first, c.x, n * sizeof *first);
        assert_memory_equal(c.x, first, n * sizeof *first);
        for (size_t i = 0; i < n; i++)
            if (i % r->stride >= r->heads * r->head_dim)
                assert_true(c.x[i] == start[i]);
        /* Two products and a sum of numbers below 1, on a table rounded once: 4 u each way. */
        layer_near(n, c.x, exact, 4 * 0x1p-23);
        c.inverse = !c.inverse;
        layer_run(layer_threads[t], apply, &c);
        c.inverse = !c.inverse;
        for (size_t i = 0; i < n; i++)
            assert_true(fabsf(c.x[i] - start[i]) <= 8 * 0x1p-24f * 2);
        free(c.x);
    }
    free(table);
    free(start);
    free(first);
    free(exact);
}

static void agrees_with_reference_and_inverts(void **state)
{
    (void)state;
    enum { PACKED = 67 };
    uint32_t packed[PACKED];
    for (uint32_t t = 0; t < PACKED; t++)
        packed[t] = t < 31 ? t : t < 33 ? 200 - t : t - 33; /* documents begin anew; a jump in the middle */
    check((rope_case){.rotation = {.tokens = 1, .seq = 1, .heads = 1, .head_dim = 2, .stride = 2}}, 1e4);
    check((rope_case){.rotation = {.tokens = 70, .seq = 35, .heads = 3, .head_dim = 10, .stride = 41}}, 1e4);
    check((rope_case){.rotation = {.tokens = 65, .seq = 65, .heads = 2, .head_dim = 32, .stride = 64}, .inverse = true},
          5e5);
    check((rope_case){.rotation = {.tokens = 1, .seq = 1, .start = 99, .heads = 2, .head_dim = 8, .stride = 24}}, 1e4);
    check((rope_case){.rotation = {.tokens = PACKED, .seq = 1, .positions = packed, .heads = 2, .head_dim = 6,
                                   .stride = 13}},
          1e4);
}

/* Positions that say what NULL says change no bit, whatever start and seq are. */
static void positions_are_start_and_seq(void **state)
{
    (void)state;
    enum { TOKENS = 50, SEQ = 25, HEAD = 14, STRIDE = 30 };
    uint32_t positions[TOKENS];
    for (uint32_t t = 0; t < TOKENS; t++)
        positions[t] = 7 + t % SEQ;
    float *table = new_table(7 + SEQ, HEAD, 1e4);
    for (int inverse = 0; inverse < 2; inverse++) {
        rope_case c = {.rotation = {.tokens = TOKENS, .heads = 2, .head_dim = HEAD, .stride = STRIDE, .seq = SEQ,
                                    .start = 7, .table = table, .table_positions = 7 + SEQ},
                       .inverse = inverse != 0};
        c.x = layer_random(5, TOKENS * STRIDE, 1);
        layer_run(2, apply, &c);
        rope_case given = c;
        given.rotation.positions = positions;
        given.rotation.seq = given.rotation.start = 0;
        given.x = layer_random(5, TOKENS * STRIDE, 1);
        layer_run(3, apply, &given);
        assert_memory_equal(given.x, c.x, TOKENS * STRIDE * sizeof *c.x);
        free(c.x);
        free(given.x);
    }
    free(table);
}

/* <R(p) q, R(p + d) k> depends on d alone. */
static void products_depend_on_distance(void **state)
{
    (void)state;
    enum { HEAD = 16, POSITIONS = 200, DISTANCE = 13 };
    float *table = new_table(POSITIONS, HEAD, 1e4);
    double before = 0;
    for (size_t position = 0; position + DISTANCE < POSITIONS; position += 17) {
        float *q = layer_random(2, HEAD, 1), *k = layer_random(3, HEAD, 1);
        rope_case c = {.rotation = {.tokens = 1, .seq = 1, .start = position, .heads = 1, .head_dim = HEAD,
                                    .stride = HEAD, .table = table, .table_positions = POSITIONS},
                       .x = q};
        layer_run(1, apply, &c);
        c.rotation.start += DISTANCE;
        c.x = k;
        layer_run(1, apply, &c);
        double dot = 0;
        for (size_t i = 0; i < HEAD; i++)
            dot += (double)q[i] * (double)k[i];
        if (position > 0)
            assert_true(fabs(dot - before) <= HEAD * 8 * 0x1p-24);
        before = dot;
        free(q);
        free(k);
    }
    free(table);
}

typedef struct kept_case {
    rope_case plain;
    dither_kept kept;
} kept_case;

static void forward_keep(const dither_context *context, void *data)
{
    kept_case *k = data;
    dither_rope_forward_keep(context, &k->plain.rotation, k->plain.x, k->kept);
}

/* The whole row is kept, rotated and not, in f32 (halves 0) and in bf16. */
static void keeps_what_it_rotated(void **state)
{
    (void)state;
    enum { TOKENS = 40, HEAD = 6, STRIDE = 25, N = TOKENS * STRIDE };
    uint32_t positions[TOKENS];
    for (uint32_t t = 0; t < TOKENS; t++)
        positions[t] = t % 13;
    float *table = new_table(TOKENS, HEAD, 1e4), *kept = layer_new(N, sizeof *kept);
    uint16_t *bits = layer_new(N, sizeof *bits);
    for (int way = 0; way < 4; way++) {
        const bool halves = way % 2 != 0;
        float *x = layer_random(4, N, 1), *want = layer_random(4, N, 1);
        rope_case plain = {.rotation = {.tokens = TOKENS, .seq = TOKENS, .heads = 3, .head_dim = HEAD, .stride = STRIDE,
                                        .positions = way / 2 ? positions : NULL, .table = table,
                                        .table_positions = TOKENS},
                           .x = want};
        layer_run(1, apply, &plain);
        dither_rows_select(0)->to_bf16(N, want, bits);
        kept_case c = {plain, {kept, halves}};
        c.plain.x = x;
        layer_run(2, forward_keep, &c);
        assert_memory_equal(x, want, N * sizeof *x);
        assert_memory_equal(kept, halves ? (void *)bits : (void *)want, N * (halves ? sizeof *bits : sizeof *want));
        free(x);
        free(want);
    }
    free(table);
    free(kept);
    free(bits);
}

/*
 * What each kind makes of the frequencies, from the table: the angle at position 1 is the frequency, and it is below
 * pi. The table's cosine and sine are each within u of exact, so the angle is within 2 u of the frequency absolutely.
 */
static void check_frequencies(const dither_rope *rope, const double *wanted)
{
    const size_t half = rope->head_dim / 2;
    float *table = layer_new(2 * rope->head_dim, sizeof *table);
    dither_rope_table(rope, 2, table);
    for (size_t i = 0; i < half; i++) {
        const double cosine = (double)table[2 * half + i], sine = (double)table[3 * half + i];
        assert_true(table[i] == 1 && table[half + i] == 0);
        const double found = atan2(sine, cosine);
        if (!(fabs(found - wanted[i]) <= 2 * 0x1p-24 + wanted[i] * 0x1p-24))
            fail_msg("frequency %zu of %zu is %.9g, should be %.9g", i, half, found, wanted[i]);
    }
    free(table);
}

/*
 * Llama 3.1's: base 500000, factor 8 (3.2: 32), low 1, high 4, original_ctx 8192. Restated as its authors wrote it, by
 * wavelengths; of 64 frequencies of a head of 128 the first 29 stay, the last 29 are divided, and six are between.
 */
static void llama3_stretches_the_slow(void **state)
{
    (void)state;
    enum { HEAD = 128, HALF = HEAD / 2 };
    dither_rope rope = {.base = 500000, .head_dim = HEAD, .kind = DITHER_ROPE_LLAMA3, .factor = 8, .low_freq_factor = 1,
                        .high_freq_factor = 4, .original_ctx = 8192};
    for (int turn = 0; turn < 2; turn++, rope.factor = 32) {
        double wanted[HALF];
        size_t kept = 0, divided = 0;
        for (size_t i = 0; i < HALF; i++) {
            const double f = exp(-log(500000) * (double)(2 * i) / HEAD), wave = 2 * acos(-1.0) / f;
            const double low_wave = 8192 / 1.0, high_wave = 8192 / 4.0;
            const double smooth = (8192 / wave - 1) / (4 - 1);
            wanted[i] = wave < high_wave  ? f
                        : wave > low_wave ? f / rope.factor
                                          : (1 - smooth) * f / rope.factor + smooth * f;
            kept += wave < high_wave;
            divided += wave > low_wave;
        }
        assert_int_equal(kept, 29);
        assert_int_equal(divided, 29);
        check_frequencies(&rope, wanted);
    }
}

static void linear_divides_all(void **state)
{
    (void)state;
    enum { HEAD = 6 };
    double wanted[HEAD / 2];
    for (size_t i = 0; i < HEAD / 2; i++)
        wanted[i] = 1 / (8 * cbrt(pow(1e6, (double)i)));
    check_frequencies(&(dither_rope){.base = 1e6, .head_dim = HEAD, .kind = DITHER_ROPE_LINEAR, .factor = 8}, wanted);
    for (size_t i = 0; i < HEAD / 2; i++)
        wanted[i] *= 8;
    check_frequencies(&(dither_rope){.base = 1e6, .head_dim = HEAD, .factor = 8}, wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference_and_inverts),
        cmocka_unit_test(positions_are_start_and_seq),
        cmocka_unit_test(products_depend_on_distance),
        cmocka_unit_test(keeps_what_it_rotated),
        cmocka_unit_test(llama3_stretches_the_slow),
        cmocka_unit_test(linear_divides_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
