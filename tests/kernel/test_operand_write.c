/*
 * Pieces into operands by the packing formula of gemm_kernel.h: every packing of the table and some of no kernel, both
 * axes, whole and cut pieces. Values and operand end at a page that must not be touched; nothing else is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/gemm_kernels.h"
#include "kernel/operand.h"

enum { REGION = 1 << 20, UNTOUCHED = 0xa5 };

static uint8_t *values_end, *operand_end;
static uint8_t expected[REGION];

static uint8_t *guarded_end(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *base = mmap(NULL, REGION + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(base != MAP_FAILED);
    assert_int_equal(mprotect(base + REGION, page, PROT_NONE), 0);
    return base + REGION;
}

static int open_rooms(void **state)
{
    (void)state;
    values_end = guarded_end();
    operand_end = guarded_end();
    return 0;
}

/* The formula, on a whole matrix of values. */
static void expect(const dither_operand *operand, const dither_packing *packing, dither_axis axis,
                   const uint8_t *values, size_t stride, size_t element)
{
    for (size_t row = 0; row < operand->rows; row++)
        for (size_t k = 0; k < operand->padded_k; k++) {
            const size_t at = row / packing->panel * packing->panel * operand->padded_k +
                              k / packing->unit * packing->panel * packing->unit +
                              row % packing->panel * packing->unit + k % packing->unit;
            const size_t from = axis == DITHER_AXIS_COLS ? row * stride + k : k * stride + row;
            for (size_t b = 0; b < element; b++)
                expected[at * element + b] =
                    (uint8_t)((k < operand->k ? values[from * element + b] : 0) ^ packing->flip);
        }
}

/* A matrix, written in pieces of at most piece_rows x piece_cols. */
static void check(const dither_gemm_kernel *kernel, dither_side side, dither_axis axis, size_t rows, size_t cols,
                  size_t piece_rows, size_t piece_cols)
{
    const dither_packing *packing = side == DITHER_SIDE_A ? &kernel->a : &kernel->b;
    const size_t element = kernel->element == DITHER_ELEMENT_S8 ? 1 : 2;
    uint8_t *values = values_end - rows * cols * element;
    for (size_t i = 0; i < rows * cols * element; i++)
        values[i] = (uint8_t)(i * 7 + i / 251 * 13 + 1);
    const bool along_cols = axis == DITHER_AXIS_COLS;
    dither_operand operand;
    dither_operand_init(&operand, kernel, side, along_cols ? rows : cols, along_cols ? cols : rows, 0, NULL);
    const size_t bytes = operand.padded_rows * operand.padded_k * element;
    assert_true(bytes <= REGION);
    operand.data = operand_end - bytes;
    memset(operand.data, UNTOUCHED, bytes);
    memset(expected, UNTOUCHED, bytes);
    expect(&operand, packing, axis, values, cols, element);
    for (size_t i = 0; i < rows; i += piece_rows)
        for (size_t j = 0; j < cols; j += piece_cols) {
            const size_t down = rows - i < piece_rows ? rows - i : piece_rows;
            const size_t across = cols - j < piece_cols ? cols - j : piece_cols;
            dither_operand_write(&operand, axis, i, j, down, across, values + (i * cols + j) * element, cols);
        }
    for (size_t b = 0; b < bytes; b++)
        if (((const uint8_t *)operand.data)[b] != expected[b])
            fail_msg("%s %s side %d axis %d, %zux%zu in pieces of %zux%zu: byte %zu is %d, not %d",
                     element == 1 ? "s8" : "bf16", kernel->isa, (int)side, (int)axis, rows, cols, piece_rows,
                     piece_cols, b, ((const uint8_t *)operand.data)[b], expected[b]);
}

/* Pieces that respect DITHER_K_STEP along k, and anything across it. */
static void check_shapes(const dither_gemm_kernel *kernel)
{
    static const size_t shapes[][2] = {{1, 1}, {3, 5}, {17, 64}, {64, 17}, {70, 131}, {131, 70}, {33, 200}, {200, 33}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int side = 0; side < 2; side++)
            for (int axis = 0; axis < 2; axis++) {
                const size_t rows = shapes[s][0], cols = shapes[s][1];
                check(kernel, (dither_side)side, (dither_axis)axis, rows, cols, rows, cols);
                check(kernel, (dither_side)side, (dither_axis)axis, rows, cols, 64, 64);
                if (axis == DITHER_AXIS_COLS)
                    check(kernel, (dither_side)side, (dither_axis)axis, rows, cols, 7, 128);
                else
                    check(kernel, (dither_side)side, (dither_axis)axis, rows, cols, 128, 13);
            }
}

static void every_kernel(void **state)
{
    (void)state;
    for (size_t index = 0; dither_gemm_kernel_at(index) != NULL; index++)
        check_shapes(dither_gemm_kernel_at(index));
}

/* Packings of other architectures, and of no kernel at all. */
static void other_packings(void **state)
{
    (void)state;
    static const dither_packing packings[] = {{8, 8, 0},      {4, 16, 0},    {6, 4, 0x80}, {5, 4, 0},
                                              {16, 64, 0x80}, {12, 8, 0},    {3, 2, 0},    {10, 32, 0},
                                              {8, 1, 0},      {32, 4, 0x80}, {11, 4, 0}};
    for (size_t p = 0; p < sizeof packings / sizeof packings[0]; p++)
        for (int element = 0; element < 2; element++) {
            dither_gemm_kernel kernel = {.isa = "none",
                                         .element = (dither_element)element,
                                         .m = packings[p].panel,
                                         .n = packings[p].panel,
                                         .k_step = packings[p].unit};
            kernel.a = kernel.b = packings[p];
            if (kernel.element == DITHER_ELEMENT_BF16)
                kernel.a.flip = kernel.b.flip = 0;
            check_shapes(&kernel);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kernel), cmocka_unit_test(other_packings)};
    return cmocka_run_group_tests(tests, open_rooms, NULL);
}
