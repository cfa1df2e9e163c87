/* Codes are those of fxN:sr16 with the draws of philox.h; products are those of plain loops; on every variant. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "dither/cpu.h"
#include "kernel/repeat_rows.h"

enum { N = 336, BLOCK = DITHER_REPEAT_BLOCK };

static const dither_repeat_rows *usable(size_t *index)
{
    const dither_repeat_rows *rows;
    while ((rows = dither_repeat_rows_at((*index)++)) != NULL)
        if ((rows->needs & dither_cpu_active()->features) == rows->needs)
            return rows;
    return NULL;
}

/* Numbers whose fractions are everywhere: on the grid, just off it, ties of the 16 bits, both signs, zeros. */
static void fill(float *x, float grid)
{
    static const float kinds[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.3f, -0.7f, 1e-6f, -1e-7f, 0.99999994f, 3.9999998f,
                                  0x1p-17f, 0x1.8p-16f, 0x1.4p-15f, -0x1p-17f, 100.4f, -16383.5f, 16384.0f};
    for (size_t j = 0; j < N; j++) {
        const float spread = (float)((double)(j * 2654435761u % 1000003u) / 100000.3 - 5.0);
        x[j] = (j % 3 ? kinds[j % (sizeof kinds / sizeof kinds[0])] : spread) * grid;
    }
}

static void codes_are_those_of_the_quantizer(void **state)
{
    (void)state;
    const dither_repeat_rows *rows;
    for (size_t v = 0; (rows = usable(&v)) != NULL;) {
        for (int bits = 0; bits < 5; bits++) {
            char name[8] = "fx0";
            name[2] = (char)('0' + bits);
            dither_format format;
            assert_int_equal(dither_format_find(name, &format, NULL), DITHER_OK);
            const dither_rounding rounding = {DITHER_ROUND_SR, DITHER_REPEAT_BITS};
            float x[N];
            int16_t low[N], step[N], codes[N];
            uint16_t accept[N];
            uint32_t random[N];
            fill(x, ldexpf(1.0f, -bits));
            assert_true(rows->split(N, x, ldexpf(1.0f, bits), low, step, accept));
            for (size_t j = 0; j < N; j++) { /* the very draws between which the code changes */
                const uint32_t at = accept[j];
                assert_int_equal(low[j], (int32_t)dither_format_encode(&format, rounding, x[j], at, NULL));
                if (at)
                    assert_int_equal(low[j] + step[j],
                                     (int32_t)dither_format_encode(&format, rounding, x[j], at - 1, NULL));
            }
            for (uint32_t row = 0; row < 50; row++) {
                const dither_draw draw = {.seed = 0x123456789abcdef0u + row, .step = 7 * row, .microbatch = 3,
                                          .tensor = 2, .role = DITHER_ROLE_GOACT, .row0 = 11};
                rows->choose(&draw, row, N, low, step, accept, codes);
                dither_draw_fill(&draw, row, 0, N, DITHER_REPEAT_BITS, random);
                for (size_t j = 0; j < N; j++)
                    assert_int_equal(codes[j],
                                     (int32_t)dither_format_encode(&format, rounding, x[j], random[j], NULL));
            }
        }
        /* Up where the draw is below, and nowhere where it is the same. */
        const dither_draw draw = {.seed = 3, .step = 1};
        const int16_t zeros[N] = {0};
        int16_t ones[N], ups[N];
        uint16_t same[N], above[N];
        uint32_t random[N];
        dither_draw_fill(&draw, 4, 0, N, DITHER_REPEAT_BITS, random);
        for (size_t j = 0; j < N; j++) {
            ones[j] = 1;
            same[j] = (uint16_t)random[j];
            above[j] = (uint16_t)(random[j] + (random[j] < UINT16_MAX));
        }
        rows->choose(&draw, 4, N, zeros, ones, same, ups);
        for (size_t j = 0; j < N; j++)
            assert_int_equal(ups[j], 0);
        rows->choose(&draw, 4, N, zeros, ones, above, ups);
        for (size_t j = 0; j < N; j++)
            assert_int_equal(ups[j], random[j] < UINT16_MAX);
        float x[BLOCK] = {0};
        int16_t low[BLOCK], step[BLOCK];
        uint16_t accept[BLOCK];
        static const float wrong[] = {NAN, -NAN, INFINITY, -INFINITY, 16384.002f, -3e38f};
        for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
            x[k % BLOCK] = wrong[k];
            assert_false(rows->split(BLOCK, x, 1.0f, low, step, accept));
            x[k % BLOCK] = 0;
        }
    }
}

static void products_are_those_of_plain_loops(void **state)
{
    (void)state;
    enum { ROWS = 23, BLOCKS = N / BLOCK };
    const dither_repeat_rows *rows;
    for (size_t v = 0; (rows = usable(&v)) != NULL;) {
        for (size_t n = BLOCK; n <= N; n += BLOCK) { /* every number of blocks, so every group of `forward` */
            int16_t codes[48] = {0}, code[48], value[N], *const sum = calloc(ROWS * n, sizeof *sum);
            int32_t *const want = calloc(ROWS * n, sizeof *want);
            uint16_t index[48], id[BLOCKS];
            float *const w = malloc(48 * n * sizeof *w), bias[N], gate[N], y[N], x[48];
            const size_t chosen = n / BLOCK / 2 + 1;
            for (size_t k = 0; k < chosen; k++)
                id[k] = (uint16_t)(n / BLOCK - 1 - k * (n / BLOCK - 1) / (chosen > 1 ? chosen - 1 : 1));
            for (size_t j = 0; j < n; j++)
                value[j] = (int16_t)((int)(j * 37 % 33) - 16), gate[j] = j % 3 ? 1.0f : j % 2 ? 0.0f : -1.0f,
                bias[j] = (float)j * 0.37f;
            for (size_t j = 0; j < 48 * n; j++)
                w[j] = (float)((int)(j * 7919 % 2003) - 1001) * 0x1p-9f;
            for (size_t o = 0; o < ROWS; o++)
                codes[o] = (int16_t)(o % 4 ? 0 : (int)o - 9);
            const size_t count = rows->nonzero(48, codes, index, code);
            size_t expected = 0;
            for (size_t o = 0; o < 48; o++) {
                if (!codes[o])
                    continue;
                assert_int_equal(index[expected], o);
                assert_int_equal(code[expected++], codes[o]);
            }
            assert_int_equal(count, expected);
            const dither_repeat_list list = {count, index, code};
            const dither_repeat_blocks group[2] = {{chosen, id, value}, {chosen / 2, id, value}};
            for (size_t t = 0; t < count; t++) {
                const dither_repeat_term terms[] = {{0, code[t]}, {0, -2}, {1, (int16_t)(1 - code[t])}, {0, code[t]}};
                rows->add(4, terms, group, sum + index[t] * n);
                for (size_t k = 0; k < chosen; k++)
                    for (size_t j = 0; j < BLOCK; j++)
                        want[index[t] * n + id[k] * (size_t)BLOCK + j] +=
                            (2 * code[t] - 2 + (k < chosen / 2 ? 1 - code[t] : 0)) * value[k * BLOCK + j];
            }
            for (size_t j = 0; j < ROWS * n; j++)
                assert_int_equal(sum[j], want[j]);
            rows->combine(&list, w, n, 0.25f, gate, y);
            for (size_t j = 0; j < n; j++) {
                float exact = 0; /* small multiples of 2^-9 */
                for (size_t t = 0; t < count; t++)
                    exact += (float)code[t] * w[index[t] * n + j];
                assert_true(y[j] == (gate[j] > 0 ? 0.25f * exact : 0.0f));
            }
            for (size_t t = 0; t < count; t++)
                x[t] = 1.0f / (float)(t + 3);
            for (size_t terms = 0; terms <= count; terms++) {
                rows->forward(terms, index, x, w, bias, y);
                for (size_t j = 0; j < BLOCK; j++) {
                    float even = bias[j], odd = 0;
                    for (size_t t = 0; t < terms; t++)
                        *(t % 2 ? &odd : &even) += x[t] * w[index[t] * (size_t)BLOCK + j];
                    assert_true(y[j] == even + odd);
                }
            }
            free(sum), free(want), free(w);
        }
    }
}

static void the_fastest_that_runs_is_chosen(void **state)
{
    (void)state;
    assert_string_equal(dither_repeat_rows_select(0)->isa, "ref");
    assert_ptr_equal(dither_repeat_rows_select(UINT32_MAX), dither_repeat_rows_at(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_quantizer),
        cmocka_unit_test(products_are_those_of_plain_loops),
        cmocka_unit_test(the_fastest_that_runs_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
