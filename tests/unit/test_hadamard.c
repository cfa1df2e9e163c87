/* The random Hadamard transform: orthogonal, padded, the same for any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "quant/hadamard.h"

enum { ROWS = 300, COLS = 300, ELEMENTS = 512 * COLS };

static float a[ELEMENTS], b[ELEMENTS], ha[ELEMENTS], hb[ELEMENTS];
static const dither_draw draw = {
    .seed = 42, .step = 7, .microbatch = 2, .tensor = 9, .role = DITHER_ROLE_BACT, .row0 = 1};

static uint32_t lcg(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state ^ *state >> 15;
}

static void fill_integers(float *x, uint32_t seed)
{
    for (size_t i = 0; i < ELEMENTS; i++) {
        x[i] = (float)((int)(lcg(&seed) >> 20) - 2048);
    }
}

static float sign_of(size_t row)
{
    dither_draw field = draw;
    field.role = DITHER_FIELD_HADAMARD;
    return (dither_draw_u32(&field, row, 0) & 1) != 0 ? -1.0f : 1.0f;
}

/* The natural-order matrix: (-1)^popcount(i & j). */
static float matrix(size_t i, size_t j)
{
    size_t both = i & j;
    float sign = 1.0f;
    for (; both != 0; both &= both - 1) {
        sign = -sign;
    }
    return sign;
}

/* Integers below 2^12 summed over 64 rows are exact in f32, and so is a division by 8. */
static void equals_the_matrix_exactly(void **state)
{
    (void)state;
    static const size_t blocks[] = {1, 4, 16, 64};
    static const size_t rows[] = {1, 63, 64, 65, 130};
    enum { WIDTH = 7 };
    fill_integers(a, 1);
    for (size_t n = 0; n < sizeof blocks / sizeof blocks[0]; n++) {
        for (size_t m = 0; m < sizeof rows / sizeof rows[0]; m++) {
            const size_t block = blocks[n], padded = dither_hadamard_rows(rows[m], block);
            assert_true(padded % block == 0 && padded >= rows[m] && padded < rows[m] + block);
            ha[padded * WIDTH] = 12345.0f;
            dither_hadamard(a, rows[m], WIDTH, block, &draw, ha, 1);
            assert_true(ha[padded * WIDTH] == 12345.0f);
            for (size_t i = 0; i < padded; i++) {
                for (size_t j = 0; j < WIDTH; j++) {
                    double sum = 0.0;
                    for (size_t k = i / block * block; k < i / block * block + block && k < rows[m]; k++) {
                        sum += (double)(matrix(i % block, k % block) * sign_of(k) * a[k * WIDTH + j]);
                    }
                    assert_true((double)ha[i * WIDTH + j] == sum / sqrt((double)block));
                }
            }
        }
    }
}

/*
 * sum_i ha hb = sum_i a b. Each output is log2(block) additions and a product deep, an error of at most
 * (log2(block) + 3) 2^-24 of sum |a| / sqrt(block) <= |a|_2 (its norm's own rounding included); both operands give
 * twice that, and Cauchy-Schwarz bounds the sum over a block by 2 (log2(block) + 3) 2^-24 sqrt(block) |a|_2 |b|_2.
 */
static void products_over_rows_are_unchanged(void **state)
{
    (void)state;
    for (size_t block = 2; block <= 256; block *= 2) {
        uint32_t seed = (uint32_t)block;
        for (size_t i = 0; i < ELEMENTS; i++) {
            a[i] = (float)((int)(lcg(&seed) >> 8) - (1 << 23)) * 0x1p-20f;
            b[i] = (float)((int)(lcg(&seed) >> 8) - (1 << 23)) * 0x1p-25f;
        }
        const size_t padded = dither_hadamard_rows(ROWS, block);
        dither_hadamard(a, ROWS, COLS, block, &draw, ha, 2);
        dither_draw other_role = draw;
        other_role.role = DITHER_ROLE_GOWEIGHT;
        dither_hadamard(b, ROWS, COLS, block, &other_role, hb, 2);
        for (size_t j = 0; j < COLS; j += 37) {
            for (size_t k = 0; k < COLS; k += 41) {
                double before = 0.0, after = 0.0, na = 0.0, nb = 0.0;
                for (size_t i = 0; i < ROWS; i++) {
                    const double u = (double)a[i * COLS + j], v = (double)b[i * COLS + k];
                    before += u * v;
                    na += u * u;
                    nb += v * v;
                }
                for (size_t i = 0; i < padded; i++) {
                    after += (double)ha[i * COLS + j] * (double)hb[i * COLS + k];
                }
                const double bound = 2.0 * (log2((double)block) + 3.0) * 0x1p-24 * sqrt((double)block) * sqrt(na * nb);
                assert_true(fabs(after - before) <= bound);
            }
        }
    }
}

/* A column that equals the signs becomes one number: sqrt(block) in the first row of each block, nothing elsewhere. */
static void a_column_of_signs_gathers_in_one_row(void **state)
{
    (void)state;
    enum { BLOCK = 16, COUNT = 48 };
    for (size_t i = 0; i < COUNT; i++) {
        a[i] = 3.0f * sign_of(i);
    }
    dither_hadamard(a, COUNT, 1, BLOCK, &draw, ha, 1);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(ha[i] == (i % BLOCK == 0 ? 12.0f : 0.0f));
    }
}

static void the_number_of_threads_shows_nowhere(void **state)
{
    (void)state;
    fill_integers(a, 5);
    const size_t bytes = dither_hadamard_rows(ROWS, 32) * COLS * sizeof *a;
    dither_hadamard(a, ROWS, COLS, 32, &draw, ha, 1);
    for (int threads = 2; threads <= 5; threads++) {
        memset(hb, 0, sizeof hb);
        dither_hadamard(a, ROWS, COLS, 32, &draw, hb, threads);
        assert_memory_equal(ha, hb, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_matrix_exactly),
        cmocka_unit_test(products_over_rows_are_unchanged),
        cmocka_unit_test(a_column_of_signs_gathers_in_one_row),
        cmocka_unit_test(the_number_of_threads_shows_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
