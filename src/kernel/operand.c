#include "kernel/operand.h"

#include <assert.h>

#include "base/arena.h"

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static const dither_packing *packing_of(const dither_gemm_kernel *kernel, dither_side side)
{
    return side == DITHER_SIDE_A ? &kernel->a : &kernel->b;
}

static size_t element_bytes(const dither_gemm_kernel *kernel)
{
    return kernel->element == DITHER_ELEMENT_S8 ? sizeof(int8_t) : sizeof(uint16_t);
}

/* Everything but the memory. */
static dither_operand shape_of(const dither_gemm_kernel *kernel, dither_side side, size_t rows, size_t k, size_t group)
{
    assert(group % kernel->k_step == 0);
    dither_operand operand = {.kernel = kernel, .side = side, .rows = rows, .k = k};
    operand.padded_rows = round_up(rows, packing_of(kernel, side)->panel);
    operand.padded_k = round_up(k, kernel->k_step);
    operand.group = group > 0 && group < operand.padded_k ? group : operand.padded_k;
    operand.groups = operand.group > 0 ? (operand.padded_k + operand.group - 1) / operand.group : 0;
    return operand;
}

static size_t data_bytes(const dither_operand *operand)
{
    const size_t elements = dither_multiply(operand->padded_rows, operand->padded_k);
    return dither_align_up(dither_multiply(elements, element_bytes(operand->kernel)));
}

size_t dither_operand_bytes(const dither_gemm_kernel *kernel, dither_side side, size_t rows, size_t k, size_t group)
{
    const dither_operand operand = shape_of(kernel, side, rows, k, group);
    return data_bytes(&operand) + dither_align_up(operand.groups * operand.padded_rows * sizeof(float));
}

void dither_operand_init(dither_operand *operand, const dither_gemm_kernel *kernel, dither_side side, size_t rows,
                         size_t k, size_t group, void *memory)
{
    *operand = shape_of(kernel, side, rows, k, group);
    if (memory == NULL)
        return;
    unsigned char *bytes = memory;
    operand->data = bytes;
    void *scale = bytes + data_bytes(operand);
    operand->scale = scale;
}

void dither_operand_fill_scale(dither_operand *operand, float scale)
{
    for (size_t i = 0; i < operand->groups * operand->padded_rows; i++)
        operand->scale[i] = scale;
}

size_t dither_operand_panel_bytes(const dither_operand *operand)
{
    return packing_of(operand->kernel, operand->side)->panel * operand->padded_k * element_bytes(operand->kernel);
}

size_t dither_operand_unit_offset(const dither_operand *operand, size_t k)
{
    return packing_of(operand->kernel, operand->side)->panel * k * element_bytes(operand->kernel);
}
