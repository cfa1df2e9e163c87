#include "kernel/gemm_f32.h"

#include <time.h>
#include <unistd.h>

#include "guarded.h"
#include "kernel/gemm_f32_kernel.h"
#include "layer_check.h"

static const dither_gemm_f32_kernel *const kernels[] = {
#if defined(__x86_64__)
    &dither_gemm_f32_avx512,
#endif
    &dither_gemm_f32_blas,
};
enum { KERNELS = sizeof kernels / sizeof *kernels };

/* Says so once where this processor has no such kernel. */
static bool have(const dither_gemm_f32_kernel *kernel)
{
    static bool said;
    const bool there = (dither_cpu_active()->features & kernel->needs) == kernel->needs;
    if (!there && !said)
        print_message("not tested: no %s here\n", kernel->isa);
    said = said || !there;
    return there;
}

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
static void check_bound(dither_gemm_layout layout, size_t m, size_t n, size_t k, const float *a, const float *b,
                        const float *start, const float *c)
{
    const double u = 0x1p-24, gamma = (double)(k + 1) * u / (1 - (double)(k + 1) * u);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = start != NULL ? (double)start[i * n + j] : 0, size = fabs(sum);
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
}

static void check_by(const dither_gemm_f32_kernel *kernel, dither_gemm_layout layout, size_t m, size_t n, size_t k,
                     bool accumulate)
{
    float *a = layer_random(1, m * k, 1), *b = layer_random(2, n * k, 1), *start = layer_random(3, m * n, 1);
    float *c = layer_new(m * n, sizeof *c), *again = layer_new(m * n, sizeof *again);
    if (!accumulate)
        for (size_t i = 0; i < m * n; i++)
            start[i] = NAN; /* must be written over, not multiplied by 0 */
    memcpy(c, start, m * n * sizeof *c);
    dither_gemm_f32_by(kernel, layout, m, n, k, a, b, c, accumulate, 1);
    check_bound(layout, m, n, k, a, b, accumulate ? start : NULL, c);
    for (size_t t = 0; t < LAYER_THREADS; t++) {
        memcpy(again, start, m * n * sizeof *again);
        dither_gemm_f32_by(kernel, layout, m, n, k, a, b, again, accumulate, layer_threads[t]);
        assert_memory_equal(again, c, m * n * sizeof *c);
    }
    if (kernel == dither_gemm_f32_select(dither_cpu_active()->features, layout, m, n, k)) {
        memcpy(again, start, m * n * sizeof *again);
        dither_gemm_f32(layout, m, n, k, a, b, again, accumulate, 2);
        assert_memory_equal(again, c, m * n * sizeof *c);
    }
    free(a);
    free(b);
    free(start);
    free(c);
    free(again);
}

static void check(dither_gemm_layout layout, size_t m, size_t n, size_t k, bool accumulate)
{
    for (size_t i = 0; i < KERNELS; i++)
        if (have(kernels[i]))
            check_by(kernels[i], layout, m, n, k, accumulate);
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
    static const size_t shapes[][3] = {{1003, 37, 150}, {5, 4001, 301}, {301, 299, 97}, {1, 3001, 701},
                                       {96, 672, 257}};
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

/*
 * c = 0.5 a b + beta c on blocks of larger matrices, each operand between pages that fault. Around the block C keeps
 * its NaN, and those around the numbers of A and B are not read: times zero they would still be NaN.
 */
static void check_guarded(const dither_gemm_f32_kernel *kernel, dither_gemm_layout layout, const size_t shape[3],
                          bool at_end, float beta)
{
    enum { GAP = 3 };
    const size_t m = shape[0], n = shape[1], k = shape[2];
    const bool ta = layout == DITHER_GEMM_TN, tb = layout == DITHER_GEMM_NT;
    const size_t rows[3] = {ta ? k : m, tb ? n : k, m}, cols[3] = {ta ? m : k, tb ? k : n, n};
    guarded memory[3];
    float *x[3];
    for (size_t i = 0; i < 3; i++) {
        const size_t count = (rows[i] - 1) * (cols[i] + GAP) + cols[i];
        memory[i] = guarded_new(count * sizeof(float));
        x[i] = guarded_at(&memory[i], count * sizeof(float), at_end);
        for (size_t j = 0; j < count; j++)
            x[i][j] = j % (cols[i] + GAP) < cols[i] ? layer_number(i + 7, j) : NAN;
    }
    if (beta == 0)
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++)
                x[2][i * (n + GAP) + j] = NAN;
    const dither_gemm_f32_part part = {.layout = layout, .m = m, .n = n, .k = k, .alpha = 0.5f, .a = x[0],
                                       .a_stride = cols[0] + GAP, .b = x[1], .b_stride = cols[1] + GAP, .beta = beta,
                                       .c = x[2], .c_stride = n + GAP};
    kernel->multiply(&part);
    /* Two more roundings than in check_bound: by alpha and by beta. */
    const double gamma = (double)(k + 3) * 0x1p-24 / (1 - (double)(k + 3) * 0x1p-24);
    for (size_t at = 0; at < (m - 1) * (n + GAP) + n; at++) {
        const size_t i = at / (n + GAP), j = at % (n + GAP);
        if (j >= n) {
            assert_true(isnan(x[2][at]));
            continue;
        }
        double sum = beta == 0 ? 0 : (double)beta * (double)layer_number(9, at), size = fabs(sum);
        for (size_t p = 0; p < k; p++) {
            const double a = (double)x[0][ta ? p * part.a_stride + i : i * part.a_stride + p];
            const double b = (double)x[1][tb ? j * part.b_stride + p : p * part.b_stride + j];
            sum += 0.5 * a * b;
            size += fabs(0.5 * a * b);
        }
        if (!(fabs((double)x[2][at] - sum) <= gamma * size))
            fail_msg("%s, layout %d, %zux%zux%zu, element %zu,%zu: %g, should be %g", kernel->isa, (int)layout, m, n, k,
                     i, j, (double)x[2][at], sum);
    }
    for (size_t i = 0; i < 3; i++)
        guarded_free(&memory[i]);
}

/* Sides around the tiles, the transposed 8 x 8, the batch of 32 rows and the block of 256 k's. */
static void blocks_touch_nothing_else(void **state)
{
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},    {3, 17, 1},    {8, 32, 8},    {7, 31, 9},    {9, 33, 15},
                                       {17, 15, 17}, {25, 16, 129}, {31, 47, 256}, {33, 64, 257}, {129, 17, 3},
                                       {41, 129, 40}, {3, 257, 513}, {8, 32, 7}};
    for (size_t kernel = 0; kernel < KERNELS; kernel++) {
        if (!have(kernels[kernel]))
            continue;
        for (size_t i = 0; i < 12 * sizeof shapes / sizeof *shapes; i++) {
            const float beta = i / 6 % 2 == 0 ? 0.0f : 2.0f;
            check_guarded(kernels[kernel], (dither_gemm_layout)(i % 3), shapes[i / 12], i / 3 % 2, beta);
        }
    }
}

/* Every element of a kernel with columns() has one sum, however C is cut. */
static void sums_do_not_depend_on_the_cut(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 300, K = 300 };
    static const size_t corners[][4] = {{0, 0, 1, 1}, {3, 5, 20, 40}, {33, 17, 37, 283}, {69, 299, 1, 1}};
    float *a = layer_random(1, ROWS * K, 1), *b = layer_random(2, COLS * K, 1);
    float *whole = layer_new(ROWS * COLS, sizeof *whole), *part = layer_new(ROWS * COLS, sizeof *part);
    for (size_t i = 0; i < 3 * KERNELS; i++) {
        const dither_gemm_f32_kernel *kernel = kernels[i / 3];
        const dither_gemm_layout layout = (dither_gemm_layout)(i % 3);
        if (kernel->columns == NULL || !have(kernel))
            continue;
        dither_gemm_f32_by(kernel, layout, ROWS, COLS, K, a, b, whole, false, 1);
        for (size_t at = 0; at < sizeof corners / sizeof *corners; at++) {
            const size_t row = corners[at][0], col = corners[at][1], rows = corners[at][2], cols = corners[at][3];
            const bool ta = layout == DITHER_GEMM_TN, tb = layout == DITHER_GEMM_NT;
            const dither_gemm_f32_part p = {
                .layout = layout, .m = rows, .n = cols, .k = K, .alpha = 1, .a = a + (ta ? row : row * K),
                .a_stride = ta ? ROWS : K, .b = b + (tb ? col * K : col), .b_stride = tb ? K : COLS, .c = part,
                .c_stride = cols};
            kernel->multiply(&p);
            for (size_t r = 0; r < rows; r++)
                assert_memory_equal(part + r * cols, whole + (row + r) * COLS + col, cols * sizeof *part);
        }
    }
    free(a);
    free(b);
    free(whole);
    free(part);
}

/* Rows alone and processors without a kernel of ours go to BLAS, large products to ours. */
static void the_right_one_is_chosen(void **state)
{
    (void)state;
    for (int layout = DITHER_GEMM_NT; layout <= DITHER_GEMM_TN; layout++) {
        const dither_gemm_layout l = (dither_gemm_layout)layout;
        assert_ptr_equal(dither_gemm_f32_select(0, l, 1024, 1024, 1024), &dither_gemm_f32_blas);
        assert_ptr_equal(dither_gemm_f32_select(UINT32_MAX - DITHER_CPU_AVX512, l, 512, 512, 512),
                         &dither_gemm_f32_blas);
        assert_ptr_equal(dither_gemm_f32_select(UINT32_MAX, l, 1, 1024, 1024), &dither_gemm_f32_blas);
        assert_ptr_equal(dither_gemm_f32_select(UINT32_MAX, l, 1024, 1, 1024), &dither_gemm_f32_blas);
        assert_ptr_equal(dither_gemm_f32_select(UINT32_MAX, l, 1024, 1536, 576), kernels[0]);
    }
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
    const dither_gemm_f32_part part = {.layout = DITHER_GEMM_NN, .m = SIDE, .n = SIDE, .k = SIDE, .alpha = 1, .a = a,
                                       .a_stride = SIDE, .b = a, .b_stride = SIDE, .c = c, .c_stride = SIDE};
    struct timespec process[2], thread[2];
    /* Threads that an OpenBLAS made when it was loaded, and that get no work, spin for some 50 ms. */
    (void)usleep(200000);
    for (int end = 0; end < 2; end++) {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &process[end]);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &thread[end]);
        for (int run = 0; run < 4 && end == 0; run++)
            dither_gemm_f32_blas.multiply(&part);
    }
    const double all = seconds(process), own = seconds(thread);
    assert_true(all <= 1.2 * own + 0.005);
    free(a);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_means_one),          cmocka_unit_test(products_keep_the_bound),
        cmocka_unit_test(cut_products_keep_the_bound),   cmocka_unit_test(empty_reduction_is_zero),
        cmocka_unit_test(block_keeps_to_its_strides),    cmocka_unit_test(blocks_touch_nothing_else),
        cmocka_unit_test(sums_do_not_depend_on_the_cut), cmocka_unit_test(the_right_one_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
