#include "kernel/gemm_f32.h"

#include <time.h>
#include <unistd.h>

#include "layer_check.h"

static size_t at_a(dither_gemm_layout layout, size_t m, size_t k, size_t i, size_t p)
{
    return layout == DITHER_GEMM_TN ? p * m + i : i * k + p;
}

static size_t at_b(dither_gemm_layout layout, size_t n, size_t k, size_t j, size_t p)
{
    return layout == DITHER_GEMM_NT ? j * k + p : p * n + j;
}

/*
 * In any order of summation, with or without fused multiply-adds,
 *     |fl(c0 + sum a b) - (c0 + sum a b)| <= gamma_(k+1) (|c0| + sum |a b|),   gamma_n = n u / (1 - n u),  u = 2^-24:
 * a term passes through one product and at most k additions (Higham, Accuracy and Stability, section 3.1).
 */
static void check(dither_gemm_layout layout, size_t m, size_t n, size_t k, bool accumulate)
{
    float *a = layer_random(1, m * k, 1), *b = layer_random(2, n * k, 1), *start = layer_random(3, m * n, 1);
    float *c = layer_new(m * n, sizeof *c);
    if (!accumulate)
        for (size_t i = 0; i < m * n; i++)
            start[i] = NAN; /* must be written over, not multiplied by 0 */
    memcpy(c, start, m * n * sizeof *c);
    dither_gemm_f32(layout, m, n, k, a, b, c, accumulate, 1);
    const double u = 0x1p-24, gamma = (double)(k + 1) * u / (1 - (double)(k + 1) * u);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = accumulate ? (double)start[i * n + j] : 0, size = fabs(sum);
            for (size_t p = 0; p < k; p++) {
                const double term = (double)a[at_a(layout, m, k, i, p)] * (double)b[at_b(layout, n, k, j, p)];
                sum += term;
                size += fabs(term);
            }
            if (!(fabs((double)c[i * n + j] - sum) <= gamma * size))
                fail_msg("layout %d, %zux%zux%zu, element %zu,%zu: %g, should be %g", (int)layout, m, n, k, i, j,
                         (double)c[i * n + j], sum);
        }
    }
    float *again = layer_new(m * n, sizeof *again);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        memcpy(again, start, m * n * sizeof *again);
        dither_gemm_f32(layout, m, n, k, a, b, again, accumulate, layer_threads[t]);
        assert_memory_equal(again, c, m * n * sizeof *c);
    }
    free(a);
    free(b);
    free(start);
    free(c);
    free(again);
}

static void products_keep_the_bound(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 17, 129};
    for (int layout = DITHER_GEMM_NT; layout <= DITHER_GEMM_TN; layout++)
        for (size_t i = 0; i < 64; i++)
            for (int accumulate = 0; accumulate < 2; accumulate++)
                check((dither_gemm_layout)layout, sizes[i / 16], sizes[i / 4 % 4], sizes[i % 4], accumulate);
}

/* Large enough to be cut along rows, columns and both, at sides that no unit divides. */
static void cut_products_keep_the_bound(void **state)
{
    (void)state;
    static const size_t shapes[][3] = {{1003, 37, 150}, {5, 4001, 301}, {301, 299, 97}, {1, 3001, 701}};
    for (int layout = DITHER_GEMM_NT; layout <= DITHER_GEMM_TN; layout++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check((dither_gemm_layout)layout, shapes[i][0], shapes[i][1], shapes[i][2], i % 2);
}

static void empty_reduction_is_zero(void **state)
{
    (void)state;
    float c[6] = {NAN, 1, 2, 3, 4, INFINITY}, kept[6] = {1, 2, 3, 4, 5, 6};
    for (int layout = DITHER_GEMM_NT; layout <= DITHER_GEMM_TN; layout++) {
        dither_gemm_f32((dither_gemm_layout)layout, 2, 3, 0, c, c, c, false, 2);
        for (size_t i = 0; i < 6; i++)
            assert_true(c[i] == 0);
        dither_gemm_f32((dither_gemm_layout)layout, 2, 3, 0, c, c, kept, true, 2);
        for (size_t i = 0; i < 6; i++)
            assert_true(kept[i] == (float)(i + 1));
    }
}

static void block_keeps_to_its_strides(void **state)
{
    (void)state;
    enum { M = 5, N = 7, K = 3, STRIDE = 11 };
    float *a = layer_random(4, STRIDE * STRIDE, 1), *b = layer_random(5, STRIDE * STRIDE, 1);
    for (int layout = DITHER_GEMM_NT; layout <= DITHER_GEMM_TN; layout++) {
        for (size_t m = 1; m <= M; m += M - 1) {
            float *start = layer_random(6, M * STRIDE, 1), *c = layer_random(6, M * STRIDE, 1);
            dither_gemm_f32_block((dither_gemm_layout)layout, m, N, K, 0.5f, a, STRIDE, b, STRIDE, 2, c, STRIDE);
            for (size_t i = 0; i < M * STRIDE; i++) {
                const size_t row = i / STRIDE, col = i % STRIDE;
                double sum = (double)start[i];
                if (row < m && col < N) {
                    sum *= 2;
                    for (size_t p = 0; p < K; p++)
                        sum += 0.5 * (double)a[layout == DITHER_GEMM_TN ? p * STRIDE + row : row * STRIDE + p] *
                               (double)b[layout == DITHER_GEMM_NT ? col * STRIDE + p : p * STRIDE + col];
                }
                assert_true(fabs((double)c[i] - sum) <= 8 * 0x1p-24 * 4);
            }
            free(start);
            free(c);
        }
    }
    free(a);
    free(b);
}

static double seconds(const struct timespec ends[2])
{
    return (double)(ends[1].tv_sec - ends[0].tv_sec) + 1e-9 * (double)(ends[1].tv_nsec - ends[0].tv_nsec);
}

/* Work on other cores would show as processor time beyond the calling thread's own. */
static void one_thread_means_one(void **state)
{
    (void)state;
    enum { SIDE = 700 };
    float *a = layer_random(7, SIDE * SIDE, 1), *c = layer_new(SIDE * SIDE, sizeof *c);
    struct timespec process[2], thread[2];
    /* Threads that an OpenBLAS made when it was loaded, and that get no work, spin for some 50 ms. */
    (void)usleep(200000);
    for (int end = 0; end < 2; end++) {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &process[end]);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &thread[end]);
        for (int run = 0; run < 4 && end == 0; run++)
            dither_gemm_f32_block(DITHER_GEMM_NN, SIDE, SIDE, SIDE, 1, a, SIDE, a, SIDE, 0, c, SIDE);
    }
    const double all = seconds(process), own = seconds(thread);
    assert_true(all <= 1.2 * own + 0.005);
    free(a);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_means_one),       cmocka_unit_test(products_keep_the_bound),
        cmocka_unit_test(cut_products_keep_the_bound), cmocka_unit_test(empty_reduction_is_zero),
        cmocka_unit_test(block_keeps_to_its_strides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
