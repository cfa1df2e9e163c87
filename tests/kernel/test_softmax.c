/* The row loops of attention: every instruction set against the formulas of softmax.h, to the bit. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/bf16.h"
#include "kernel/expf.h"
#include "kernel/lanes.h"
#include "kernel/softmax.h"

enum { STRIDE = 64 };

static float number(size_t i)
{
    uint32_t x = (uint32_t)i * 2654435761u + 12345u;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return (float)(int32_t)x * 0x1p-29f;
}

static float *numbers(size_t seed, size_t count)
{
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = number(seed * 1000003 + i);
    return x;
}

static uint16_t bits_of(float x)
{
    const float rounded = dither_bf16_round(x);
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* `bytes` bytes that end where nothing may be written. */
typedef struct guarded {
    unsigned char *map, *at;
    size_t size;
} guarded;

static guarded guard(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    guarded g = {.size = whole + page};
    g.map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + whole, page, PROT_NONE), 0);
    g.at = g.map + whole - bytes;
    memset(g.at, 0x5a, bytes);
    return g;
}

static void unguard(guarded *g)
{
    assert_int_equal(munmap(g->map, g->size), 0);
}

/* Every set that this processor runs. */
static void each(void (*check)(const dither_softmax *loops))
{
    const uint32_t features = dither_cpu_active()->features;
    for (size_t i = 0; dither_softmax_at(i) != NULL; i++) {
        const dither_softmax *loops = dither_softmax_at(i);
        if ((loops->needs & features) == loops->needs)
            check(loops);
        else
            print_message("not run here: %s, this processor lacks it\n", loops->isa);
    }
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Where gemm_kernel.h says element (row, k) lies. */
static size_t place_of(const dither_packing *packing, size_t padded_k, size_t row, size_t k)
{
    return row / packing->panel * packing->panel * padded_k + k / packing->unit * packing->panel * packing->unit +
           row % packing->panel * packing->unit + k % packing->unit;
}

static void check_packed(const dither_pack_place *to, size_t rows, size_t k, const float *x, size_t row_step,
                         size_t k_step)
{
    for (size_t row = 0; row < to->padded_rows; row++)
        for (size_t i = 0; i < to->padded_k; i++) {
            const uint16_t wanted = row < rows && i < k ? bits_of(x[row * row_step + i * k_step]) : 0;
            const uint16_t found = to->data[place_of(to->packing, to->padded_k, row, i)];
            if (found != wanted)
                fail_msg("row %zu, k %zu of %zu x %zu: %04x, should be %04x", row, i, rows, k, found, wanted);
        }
}

static void check_packing(const dither_softmax *loops, const dither_packing *packing, size_t step, size_t rows,
                          size_t k)
{
    const size_t padded_rows = round_up(rows, packing->panel), padded_k = round_up(k, step);
    float *x = numbers(rows * 131 + k, (rows + 3) * (k + 5));
    x[0] = NAN;
    x[(rows - 1) * (k + 5)] = INFINITY;
    uint16_t *bits = malloc((rows + 3) * (k + 5) * sizeof *bits);
    assert_non_null(bits);
    for (size_t i = 0; i < (rows + 3) * (k + 5); i++)
        bits[i] = bits_of(x[i]);
    for (int columns = 0; columns < 2; columns++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            const size_t stride = columns ? rows + 3 : k + 5;
            guarded g = guard(padded_rows * padded_k * sizeof(uint16_t));
            void *at = g.at;
            const dither_pack_place to = {.packing = packing,
                                          .data = at,
                                          .panel_stride = packing->panel * padded_k,
                                          .padded_rows = padded_rows,
                                          .padded_k = padded_k};
            const dither_pack_source from = {.f32 = bf16 ? NULL : x, .bf16 = bits, .stride = stride};
            (columns ? loops->pack_columns : loops->pack_rows)(&to, rows, k, &from);
            check_packed(&to, rows, k, x, columns ? 1 : stride, columns ? stride : 1);
            unguard(&g);
        }
    free(x);
    free(bits);
}

/* For both sides of every microkernel, those of other processors included. */
static void check_pack(const dither_softmax *loops)
{
    static const size_t sides[] = {1, 2, 7, 8, 15, 16, 17, 33, 64, 67};
    const size_t count = sizeof sides / sizeof *sides;
    for (size_t i = 0; dither_gemm_kernel_at(i) != NULL; i++) {
        const dither_gemm_kernel *kernel = dither_gemm_kernel_at(i);
        for (size_t j = 0; kernel->element == DITHER_ELEMENT_BF16 && j < count * count; j++) {
            check_packing(loops, &kernel->a, kernel->k_step, sides[j / count], sides[j % count]);
            check_packing(loops, &kernel->b, kernel->k_step, sides[j / count], sides[j % count]);
        }
    }
}

static void packs_by_the_formula(void **state)
{
    (void)state;
    each(check_pack);
}

/* Layouts that exp(s) goes into: pairs in panels of 8, 16 and 32, and two that take the way around. */
static const dither_packing layouts[] = {{8, 2, 0}, {16, 2, 0}, {32, 2, 0}, {4, 1, 0}, {6, 2, 0}, {16, 32, 0}};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static dither_pack_place place_in(const guarded *g, const dither_packing *packing, size_t rows, size_t k)
{
    void *at = g->at;
    const size_t step = packing->unit > 2 ? packing->unit : 2;
    return (dither_pack_place){.packing = packing,
                               .data = at,
                               .panel_stride = packing->panel * round_up(k, step),
                               .padded_rows = round_up(rows, packing->panel),
                               .padded_k = round_up(k, step)};
}

/* Where queries begin, in a sequence whose block of keys begins at 1000: `step` keys apart, from `begin` on. */
static const uint32_t *begins_of(uint32_t *first, size_t queries, size_t begin, size_t step)
{
    for (size_t i = 0; i < queries; i++)
        first[i] = (uint32_t)(begin + i / 3 * step);
    return first;
}

static bool sees(const dither_sight *sight, size_t i, size_t u)
{
    return (ptrdiff_t)u <= (ptrdiff_t)i + sight->ahead && (sight->first == NULL || sight->first[i] <= sight->key + u);
}

static void check_column_block(const dither_softmax *loops, const dither_packing *packing, size_t keys, size_t queries,
                               const dither_sight *sight, bool begins)
{
    const size_t wide = round_up(queries, DITHER_SOFTMAX_LANES), padded = round_up(keys, 32) + DITHER_SOFTMAX_ROWS;
    float *s = numbers(keys * 7 + queries, padded * STRIDE), *p = calloc(keys * queries, sizeof *p);
    float max[STRIDE], sum[STRIDE], shrink[STRIDE], wanted_max[STRIDE], wanted_sum[STRIDE], wanted_shrink[STRIDE];
    assert_non_null(p);
    for (size_t i = 0; i < STRIDE; i++) {
        max[i] = begins ? NAN : number(i);
        sum[i] = begins ? NAN : 1 + number(i) * number(i);
    }
    for (size_t i = 0; i < queries; i++) {
        float largest = begins ? -FLT_MAX : max[i];
        for (size_t u = 0; u < keys; u++)
            largest = sees(sight, i, u) && s[u * STRIDE + i] > largest ? s[u * STRIDE + i] : largest;
        wanted_max[i] = largest;
        wanted_shrink[i] = begins ? 0 : dither_expf(max[i] - largest);
        wanted_sum[i] = begins ? 0 : sum[i] * wanted_shrink[i];
        for (size_t u = 0; u < keys; u++)
            if (sees(sight, i, u)) {
                p[u * queries + i] = dither_expf(s[u * STRIDE + i] - largest);
                wanted_sum[i] += p[u * queries + i];
            }
    }
    for (size_t u = 0; u < keys; u++) /* what is masked may be anything */
        for (size_t i = 0; i < wide; i++)
            if (!sees(sight, i < queries ? i : queries - 1, u))
                s[u * STRIDE + i] = NAN;
    guarded g = guard(round_up(wide, packing->panel) * round_up(keys, 32) * sizeof(uint16_t));
    const dither_pack_place to = place_in(&g, packing, queries, keys);
    loops->columns(keys, queries, sight, begins, s, STRIDE, max, sum, shrink, &to);
    assert_memory_equal(max, wanted_max, queries * sizeof *max);
    assert_memory_equal(sum, wanted_sum, queries * sizeof *sum);
    assert_memory_equal(shrink, wanted_shrink, queries * sizeof *shrink);
    for (size_t i = 0; i < queries; i++)
        for (size_t u = 0; u < to.padded_k; u++) {
            const uint16_t wanted = u < keys ? bits_of(p[u * queries + i]) : 0;
            assert_int_equal(to.data[place_of(packing, to.padded_k, i, u)], wanted);
        }
    unguard(&g);
    free(s);
    free(p);
}

static void check_columns(const dither_softmax *loops)
{
    static const size_t sides[] = {1, 3, 16, 29, 64};
    uint32_t first[STRIDE];
    for (size_t i = 0; i < 25 * LAYOUTS; i++) {
        const size_t keys = sides[i % 5], queries = sides[i / 5 % 5];
        const dither_packing *packing = &layouts[i / 25];
        const ptrdiff_t all = (ptrdiff_t)keys - 1;
        check_column_block(loops, packing, keys, queries, &(dither_sight){.ahead = all}, true);
        check_column_block(loops, packing, keys, queries, &(dither_sight){.ahead = 0}, true);
        check_column_block(loops, packing, keys, queries, &(dither_sight){.ahead = 5}, false);
        check_column_block(loops, packing, keys, queries, &(dither_sight){.ahead = -7}, false); /* some see nothing */
        dither_sight below = {.ahead = all, .first = begins_of(first, queries, 997, 3), .key = 1000};
        check_column_block(loops, packing, keys, queries, &below, true); /* the last may see nothing */
        check_column_block(loops, packing, keys, queries, &below, false);
        (void)begins_of(first, queries, 1004, 1);
        check_column_block(loops, packing, keys, queries, &below, true); /* all may see nothing */
        below.ahead = 9;
        check_column_block(loops, packing, keys, queries, &below, false); /* from either side */
        (void)begins_of(first, queries, 10, 1);
        check_column_block(loops, packing, keys, queries, &below, true); /* hides nothing */
    }
}

static void softmax_is_the_formula(void **state)
{
    (void)state;
    each(check_columns);
}

static void check_gradient_block(const dither_softmax *loops, const dither_packing *packing, size_t queries,
                                 size_t keys, const dither_sight *sight, bool packed)
{
    const size_t wide = round_up(keys, DITHER_SOFTMAX_LANES), rows = round_up(queries, 32) + DITHER_SOFTMAX_ROWS;
    float *p = numbers(keys * 5 + queries, rows * STRIDE), *ds = numbers(keys * 3 + queries, rows * STRIDE);
    float *lse = numbers(3, queries), *d = numbers(4, queries);
    float *wanted_p = calloc(queries * wide, sizeof *wanted_p), *wanted_ds = calloc(queries * wide, sizeof *wanted_ds);
    assert_true(wanted_p != NULL && wanted_ds != NULL);
    for (size_t i = 0; i < queries; i++)
        for (size_t u = 0; u < wide; u++) {
            const size_t at = i * STRIDE + u;
            if (u < keys && sees(sight, i, u)) {
                wanted_p[i * wide + u] = dither_expf(p[at] - lse[i]);
                wanted_ds[i * wide + u] = wanted_p[i * wide + u] * (ds[at] - d[i]);
            } else {
                p[at] = ds[at] = NAN;
            }
        }
    const size_t bytes = round_up(wide, packing->panel) * round_up(queries, 32) * sizeof(uint16_t);
    guarded g = guard(bytes), h = guard(bytes);
    const dither_pack_place to_p = place_in(&g, packing, keys, queries), to_ds = place_in(&h, packing, keys, queries);
    loops->gradient(queries, keys, sight, lse, d, p, ds, STRIDE, packed ? &to_p : NULL, packed ? &to_ds : NULL);
    for (size_t i = 0; i < queries; i++)
        assert_memory_equal(ds + i * STRIDE, wanted_ds + i * wide, wide * sizeof *ds);
    for (size_t u = 0; packed && u < keys; u++)
        for (size_t i = 0; i < to_p.padded_k; i++) {
            const size_t at = place_of(packing, to_p.padded_k, u, i);
            assert_int_equal(to_p.data[at], i < queries ? bits_of(wanted_p[i * wide + u]) : 0);
            assert_int_equal(to_ds.data[at], i < queries ? bits_of(wanted_ds[i * wide + u]) : 0);
        }
    unguard(&g);
    unguard(&h);
    free(p);
    free(ds);
    free(lse);
    free(d);
    free(wanted_p);
    free(wanted_ds);
}

static void check_gradient(const dither_softmax *loops)
{
    static const size_t sides[] = {1, 3, 16, 29, 64};
    uint32_t first[STRIDE];
    for (size_t i = 0; i < 25 * LAYOUTS; i++) {
        const size_t queries = sides[i % 5], keys = sides[i / 5 % 5];
        const dither_packing *packing = &layouts[i / 25];
        const ptrdiff_t all = (ptrdiff_t)keys - 1;
        check_gradient_block(loops, packing, queries, keys, &(dither_sight){.ahead = all}, true);
        check_gradient_block(loops, packing, queries, keys, &(dither_sight){.ahead = 0}, true);
        check_gradient_block(loops, packing, queries, keys, &(dither_sight){.ahead = -7}, true);
        check_gradient_block(loops, packing, queries, keys, &(dither_sight){.ahead = 3}, false);
        dither_sight below = {.ahead = all, .first = begins_of(first, queries, 997, 3), .key = 1000};
        check_gradient_block(loops, packing, queries, keys, &below, true);
        (void)begins_of(first, queries, 1004, 1);
        check_gradient_block(loops, packing, queries, keys, &below, false);
        below.ahead = 9;
        check_gradient_block(loops, packing, queries, keys, &below, true);
        (void)begins_of(first, queries, 10, 1);
        check_gradient_block(loops, packing, queries, keys, &below, true);
    }
}

static void gradient_is_the_formula(void **state)
{
    (void)state;
    each(check_gradient);
}

static void check_rows(const dither_softmax *loops)
{
    enum { ROWS = 5, APART = 90 };
    for (size_t cols = 1; cols <= 80; cols++) {
        float *x = numbers(cols, ROWS * APART), *y = numbers(cols + 100, ROWS * APART), *sum = numbers(7, ROWS);
        uint16_t y_bits[ROWS * APART], kept[ROWS * APART];
        float d[ROWS], from_bits[ROWS], o[ROWS * APART], row[APART];
        for (size_t i = 0; i < ROWS * APART; i++) {
            y[i] = dither_bf16_round(y[i]);
            y_bits[i] = bits_of(y[i]);
        }
        loops->dots(ROWS, cols, x, APART, &(dither_pack_source){.f32 = y, .stride = APART}, d);
        loops->dots(ROWS, cols, x, APART, &(dither_pack_source){.bf16 = y_bits, .stride = APART}, from_bits);
        assert_memory_equal(d, from_bits, sizeof d);
        loops->finish(ROWS, cols, x, APART, sum, o, kept, APART);
        for (size_t i = 0; i < ROWS; i++) {
            for (size_t j = 0; j < cols; j++)
                row[j] = dither_bf16_round(x[i * APART + j]);
            const float wanted = dither_lanes_dot(cols, row, y + i * APART);
            assert_memory_equal(&d[i], &wanted, sizeof wanted);
            for (size_t j = 0; j < cols; j++) {
                const float value = x[i * APART + j] * (1.0f / sum[i]);
                assert_memory_equal(&o[i * APART + j], &value, sizeof value);
                assert_int_equal(kept[i * APART + j], bits_of(value));
                row[j] = x[i * APART + j] * sum[i];
            }
            loops->scale(1, cols, sum + i, x + i * APART, APART);
            assert_memory_equal(x + i * APART, row, cols * sizeof *row);
        }
        free(x);
        free(y);
        free(sum);
    }
}

static void rows_are_the_formulas(void **state)
{
    (void)state;
    each(check_rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_by_the_formula),
        cmocka_unit_test(softmax_is_the_formula),
        cmocka_unit_test(gradient_is_the_formula),
        cmocka_unit_test(rows_are_the_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
