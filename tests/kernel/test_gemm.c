/*
 * The driver of the low-bit products with every kernel of the table that runs here: all shapes of edges, groups,
 * outputs and threads against plain loops over the same packed operands.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "kernel/gemm.h"

typedef struct problem {
    const dither_gemm_kernel *kernel;
    size_t m, n, k, a_group, b_group;
    dither_operand a, b;
    double *a_values, *b_values; /* [m][k], [n][k] */
} problem;

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static uint16_t bf16_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* Codes over the whole range, extremes often; bf16 small fractions that multiply and add without rounding in f32. */
static void fill(dither_operand *operand, const dither_gemm_kernel *kernel, dither_side side, size_t rows, size_t k,
                 size_t group, uint32_t seed, double *values)
{
    const size_t bytes = dither_operand_bytes(kernel, side, rows, k, group);
    void *memory = aligned_alloc(DITHER_ALIGN, dither_align_up(bytes));
    assert_non_null(memory);
    memset(memory, 0x7f, bytes); /* what padding holds must not matter */
    dither_operand_init(operand, kernel, side, rows, k, group, memory);
    const bool s8 = kernel->element == DITHER_ELEMENT_S8;
    int8_t *codes = malloc(rows * k);
    uint16_t *halves = malloc(rows * k * sizeof *halves);
    assert_true(codes && halves);
    for (size_t i = 0; i < rows * k; i++) {
        const int32_t code = (int32_t)(next(&seed) % 300) - 150;
        codes[i] = (int8_t)(code > 127 ? 127 : code < -127 ? -127 : code);
        values[i] = s8 ? (double)codes[i] : (double)(code / 16) / 4;
        halves[i] = bf16_bits((float)values[i]);
    }
    /* In pieces, and from both orders of the matrix. */
    if (seed & 1) {
        for (size_t k0 = 0; k0 < k; k0 += DITHER_K_STEP)
            dither_operand_write(operand, DITHER_AXIS_COLS, 0, k0, rows,
                                 k - k0 < DITHER_K_STEP ? k - k0 : DITHER_K_STEP,
                                 s8 ? (const void *)(codes + k0) : (const void *)(halves + k0), k);
    } else {
        int8_t *codes_t = malloc(rows * k);
        uint16_t *halves_t = malloc(rows * k * sizeof *halves_t);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < k; j++) {
                codes_t[j * rows + i] = codes[i * k + j];
                halves_t[j * rows + i] = halves[i * k + j];
            }
        dither_operand_write(operand, DITHER_AXIS_ROWS, 0, 0, k, rows,
                             s8 ? (const void *)codes_t : (const void *)halves_t, rows);
        free(codes_t);
        free(halves_t);
    }
    for (size_t i = 0; i < operand->groups * operand->padded_rows; i++)
        operand->scale[i] = ldexpf((float)(1 + next(&seed) % 3), -(int)(next(&seed) % 5));
    free(codes);
    free(halves);
}

static problem make_problem(const dither_gemm_kernel *kernel, size_t m, size_t n, size_t k, size_t a_group,
                            size_t b_group)
{
    problem p = {.kernel = kernel, .m = m, .n = n, .k = k};
    p.a_values = malloc(m * k * sizeof(double));
    p.b_values = malloc(n * k * sizeof(double));
    fill(&p.a, kernel, DITHER_SIDE_A, m, k, a_group, (uint32_t)(m * 7 + n), p.a_values);
    fill(&p.b, kernel, DITHER_SIDE_B, n, k, b_group, (uint32_t)(k * 5 + n * 3 + 1), p.b_values);
    return p;
}

static void free_problem(problem *p)
{
    free(p->a.data);
    free(p->b.data);
    free(p->a_values);
    free(p->b_values);
}

static double scale_of(const dither_operand *operand, size_t row, size_t k)
{
    return (double)operand->scale[k / operand->group * operand->padded_rows + row];
}

/*
 * The exact value, and the sum of magnitudes that bounds its error: codes are whole numbers and the bf16 values small
 * multiples of 1/4, so that a kernel's sum over one group is exact in f32; its two roundings of the scaled sum and one
 * of each addition of a group are 2^-24 relative to partial sums that the magnitudes bound.
 */
typedef struct exact_sum {
    double value, magnitude;
} exact_sum;

static exact_sum exact(const problem *p, size_t i, size_t j, bool scaled)
{
    exact_sum sum = {0, 0};
    const size_t step = p->a.group < p->b.group ? p->a.group : p->b.group; /* of one scale on either side */
    const double *a = p->a_values + i * p->k, *b = p->b_values + j * p->k;
    for (size_t k0 = 0; k0 < p->k; k0 += step) {
        const double scale = scaled ? scale_of(&p->a, i, k0) * scale_of(&p->b, j, k0) : 1;
        for (size_t k = k0; k < p->k && k < k0 + step; k++) {
            const double term = a[k] * b[k] * scale;
            sum.value += term;
            sum.magnitude += fabs(term);
        }
    }
    return sum;
}

static double bound(const problem *p, double magnitude)
{
    const double groups = (double)(p->a.groups > p->b.groups ? p->a.groups : p->b.groups);
    return (groups + 4) * 0x1p-24 * magnitude;
}

static bool runs_here(const dither_gemm_kernel *kernel)
{
    return (kernel->needs & dither_cpu_active()->features) == kernel->needs;
}

static void check_f32(const problem *p, bool accumulate, const float *bias)
{
    const size_t stride = p->n + 3;
    float *c = malloc(p->m * stride * sizeof *c), *alone = malloc(p->m * stride * sizeof *c);
    for (size_t i = 0; i < p->m * stride; i++)
        alone[i] = c[i] = (float)(i % 7);
    const dither_gemm_out out = {
        .type = DITHER_GEMM_F32, .c = c, .stride = stride, .accumulate = accumulate, .bias = bias};
    dither_gemm(&p->a, &p->b, &out, 3);
    dither_gemm_out again = out;
    again.c = alone;
    dither_gemm(&p->a, &p->b, &again, 1);
    assert_memory_equal(c, alone, p->m * stride * sizeof *c);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < stride; j++) {
            const float before = (float)((i * stride + j) % 7);
            if (j >= p->n) {
                assert_true(c[i * stride + j] == before); /* between the rows nothing is written */
                continue;
            }
            const exact_sum sum = exact(p, i, j, true);
            const double added = (accumulate ? (double)before : 0) + (bias ? (double)bias[j] : 0);
            const double wanted = sum.value + added, error = fabs((double)c[i * stride + j] - wanted);
            if (error > bound(p, sum.magnitude + added))
                fail_msg("%s %zux%zux%zu: C[%zu][%zu] = %g, not %g", p->kernel->isa, p->m, p->n, p->k, i, j,
                         (double)c[i * stride + j], wanted);
        }
    free(c);
    free(alone);
}

static void check_bf16(const problem *p, const float *bias)
{
    uint16_t *c = calloc(p->m * p->n, sizeof *c);
    const dither_gemm_out out = {.type = DITHER_GEMM_BF16, .c = c, .stride = p->n, .bias = bias};
    dither_gemm(&p->a, &p->b, &out, 2);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            const exact_sum sum = exact(p, i, j, true);
            const uint32_t wide = (uint32_t)c[i * p->n + j] << 16;
            float got;
            memcpy(&got, &wide, sizeof got);
            const double added = bias ? (double)bias[j] : 0, wanted = sum.value + added;
            const double error = bound(p, sum.magnitude + added);
            if (!(fabs((double)got - wanted) <= (fabs(wanted) + error) * 0x1p-8 + error))
                fail_msg("%s %zux%zux%zu: C[%zu][%zu] = %g in bf16, not %g", p->kernel->isa, p->m, p->n, p->k, i, j,
                         (double)got, wanted);
        }
    free(c);
}

static void check_s32(const problem *p)
{
    int32_t *c = calloc(p->m * p->n, sizeof *c);
    const dither_gemm_out out = {.type = DITHER_GEMM_S32, .c = c, .stride = p->n};
    dither_gemm(&p->a, &p->b, &out, 2);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++)
            assert_true((double)c[i * p->n + j] == exact(p, i, j, false).value);
    free(c);
}

static void check_problem(const dither_gemm_kernel *kernel, size_t m, size_t n, size_t k, size_t a_group,
                          size_t b_group)
{
    if (a_group % kernel->k_step || b_group % kernel->k_step)
        return;
    problem p = make_problem(kernel, m, n, k, a_group, b_group);
    float *bias = malloc(n * sizeof *bias);
    for (size_t j = 0; j < n; j++)
        bias[j] = (float)j;
    check_f32(&p, false, NULL);
    check_f32(&p, true, NULL);
    check_f32(&p, false, bias);
    check_bf16(&p, NULL);
    check_bf16(&p, bias);
    if (kernel->element == DITHER_ELEMENT_S8)
        check_s32(&p);
    free(bias);
    free_problem(&p);
}

static void test_shapes(void **state)
{
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},     {1, 17, 3},     {3, 129, 17},  {17, 1, 129},  {129, 3, 64},
                                       {33, 65, 257}, {64, 96, 128},  {70, 130, 200}, {8, 48, 700}, {1, 200, 64},
                                       {200, 40, 70}};
    for (size_t at = 0; dither_gemm_kernel_at(at) != NULL; at++) {
        const dither_gemm_kernel *kernel = dither_gemm_kernel_at(at);
        if (!runs_here(kernel)) {
            print_message("skipped: no %s here\n", kernel->isa);
            continue;
        }
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const size_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
            check_problem(kernel, m, n, k, 0, 0);
            check_problem(kernel, m, n, k, 64, 0);
            check_problem(kernel, m, n, k, 0, 128);
            check_problem(kernel, m, n, k, 64, 128);
            check_problem(kernel, m, n, k, 32, 32);
        }
    }
}

/* More than one piece of C, in rows and in columns; more than one block of k. */
static void test_pieces(void **state)
{
    (void)state;
    for (size_t at = 0; dither_gemm_kernel_at(at) != NULL; at++) {
        const dither_gemm_kernel *kernel = dither_gemm_kernel_at(at);
        if (!runs_here(kernel))
            continue;
        check_problem(kernel, 210, 140, 300, 64, 0);
        check_problem(kernel, 9, 70, 2500, 64, 64);
        check_problem(kernel, 9, 70, 4100, 32, 0);
    }
}

/* A sum longer than 32 bits can hold is cut into parts; alternating ends would show one that wrapped around. */
static void test_long_k(void **state)
{
    (void)state;
    const size_t k = 140000;
    for (size_t at = 0; dither_gemm_kernel_at(at) != NULL; at++) {
        const dither_gemm_kernel *kernel = dither_gemm_kernel_at(at);
        if (!runs_here(kernel) || kernel->element != DITHER_ELEMENT_S8)
            continue;
        dither_operand a, b;
        int8_t *codes = malloc(k);
        memset(codes, 127, k);
        void *memory[2];
        for (int i = 0; i < 2; i++) {
            const dither_side side = i == 0 ? DITHER_SIDE_A : DITHER_SIDE_B;
            memory[i] = aligned_alloc(DITHER_ALIGN, dither_operand_bytes(kernel, side, 1, k, 0));
            dither_operand *operand = i == 0 ? &a : &b;
            dither_operand_init(operand, kernel, side, 1, k, 0, memory[i]);
            dither_operand_fill_scale(operand, 1);
            dither_operand_write(operand, DITHER_AXIS_COLS, 0, 0, 1, k, codes, k);
        }
        float c = 0;
        const dither_gemm_out out = {.type = DITHER_GEMM_F32, .c = &c, .stride = 1};
        dither_gemm(&a, &b, &out, 1);
        assert_true(fabs((double)c - 127.0 * 127.0 * (double)k) <= 1e-6 * 127 * 127 * (double)k);
        free(memory[0]);
        free(memory[1]);
        free(codes);
    }
}

/* Integers: the same bits whatever the instruction set, scales that are no powers of two and many groups included. */
static void test_same_bits(void **state)
{
    (void)state;
    const size_t m = 19, n = 70, k = 1000;
    float *first = malloc(m * n * sizeof *first), *c = malloc(m * n * sizeof *c);
    bool some = false;
    for (size_t at = 0; dither_gemm_kernel_at(at) != NULL; at++) {
        const dither_gemm_kernel *kernel = dither_gemm_kernel_at(at);
        if (!runs_here(kernel) || kernel->element != DITHER_ELEMENT_S8)
            continue;
        problem p = make_problem(kernel, m, n, k, 128, 64);
        for (size_t g = 0; g < p.a.groups; g++)
            for (size_t i = 0; i < m; i++)
                p.a.scale[g * p.a.padded_rows + i] = 0.1f + (float)(i * 3 + g) / 7;
        for (size_t g = 0; g < p.b.groups; g++)
            for (size_t j = 0; j < n; j++)
                p.b.scale[g * p.b.padded_rows + j] = 0.3f + (float)(j + g) / 11;
        const dither_gemm_out out = {.type = DITHER_GEMM_F32, .c = some ? c : first, .stride = n};
        dither_gemm(&p.a, &p.b, &out, 2);
        if (some)
            assert_memory_equal(c, first, m * n * sizeof *c);
        some = true;
        free_problem(&p);
    }
    free(first);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_long_k),
        cmocka_unit_test(test_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
