/* Passes over plain vectors: lengths around the pieces that threads share, against one loop. */
#include "kernel/vector.h"

#include "kernel/rows.h"
#include "layer_check.h"

static const size_t lengths[] = {0, 1, 17, 32767, 32768, 32769, 100001};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static void elementwise(void **state)
{
    (void)state;
    const dither_rows *rows = dither_rows_select(0);
    for (size_t i = 0; i < LENGTHS; i++) {
        for (size_t t = 0; t < LAYER_THREADS; t++) {
            const size_t n = lengths[i];
            const int threads = layer_threads[t];
            float *x = layer_random(1, n, 1), *want = layer_random(1, n, 1), *y = layer_random(2, n, 1);
            uint16_t *kept = layer_new(n, sizeof *kept), *rounded = layer_new(n, sizeof *rounded);
            rows->add(n, want, y);
            rows->to_bf16(n, want, rounded);
            dither_vector_add(n, x, y, threads);
            assert_memory_equal(x, want, n * sizeof *x);
            dither_vector_to_bf16(n, x, kept, threads);
            assert_memory_equal(kept, rounded, n * sizeof *kept);
            dither_vector_from_bf16(n, kept, x, threads);
            rows->from_bf16(n, kept, want);
            assert_memory_equal(x, want, n * sizeof *x);
            rows->add(n, want, y);
            rows->to_bf16(n, want, rounded);
            dither_vector_add_keep(n, x, y, kept, threads);
            assert_memory_equal(x, want, n * sizeof *x);
            assert_memory_equal(kept, rounded, n * sizeof *kept);
            dither_vector_zero(n, x, threads);
            for (size_t k = 0; k < n; k++)
                assert_true(x[k] == 0);
            free(x), free(want), free(y), free(kept), free(rounded);
        }
    }
}

/* n additions in double: n 2^-53 of the sum, whatever their order; and the same bits for any number of threads. */
static void square_sum(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) {
        const size_t n = lengths[i];
        float *x = layer_random(3, n, 2);
        double *partial = layer_new(dither_vector_pieces(n), sizeof *partial), exact = 0;
        for (size_t k = 0; k < n; k++)
            exact += (double)x[k] * (double)x[k];
        const double first = dither_vector_square_sum(n, x, partial, 1);
        assert_true(fabs(first - exact) <= (double)n * 0x1p-52 * exact);
        for (size_t t = 1; t < LAYER_THREADS; t++)
            assert_true(dither_vector_square_sum(n, x, partial, layer_threads[t]) == first);
        free(x), free(partial);
    }
}

/* In double in the order of the rows: exactly what one loop gives. */
static void columns(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 3, 255, 256, 257, 1000};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const size_t cols = widths[i], rows = 37;
        float *x = layer_random(4, rows * cols, 1), *sums = layer_random(5, cols, 1);
        for (size_t t = 0; t < LAYER_THREADS; t++) {
            float *got = layer_random(5, cols, 1);
            dither_vector_add_columns(rows, cols, x, got, layer_threads[t]);
            for (size_t j = 0; j < cols; j++) {
                double sum = 0;
                for (size_t k = 0; k < rows; k++)
                    sum += (double)x[k * cols + j];
                assert_true(got[j] == sums[j] + (float)sum);
            }
            free(got);
        }
        free(x), free(sums);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise),
        cmocka_unit_test(square_sum),
        cmocka_unit_test(columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
