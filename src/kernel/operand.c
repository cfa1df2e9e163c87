#include "kernel/operand.h"

#include <assert.h>
#include <string.h>

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

/* Where a piece lies in the operand, and how to step through its values. */
typedef struct piece {
    const dither_operand *operand;
    dither_packing packing;
    size_t row0, rows, k0, k; /* in the operand */
    size_t row_step, k_step;  /* between neighbours, in `values` */
} piece;

static size_t place(const piece *p, size_t row, size_t k)
{
    const dither_packing *to = &p->packing;
    return row / to->panel * to->panel * p->operand->padded_k + k / to->unit * to->panel * to->unit +
           row % to->panel * to->unit + k % to->unit;
}

static void write_s8(const piece *p, const int8_t *values, size_t end)
{
    uint8_t *data = p->operand->data;
    for (size_t i = 0; i < p->rows; i++)
        for (size_t k = 0; k < end - p->k0; k++) {
            const int8_t code = k < p->k ? values[i * p->row_step + k * p->k_step] : 0;
            data[place(p, p->row0 + i, p->k0 + k)] = (uint8_t)code ^ p->packing.flip;
        }
}

static void write_bf16(const piece *p, const uint16_t *values, size_t end)
{
    uint16_t *data = p->operand->data;
    for (size_t i = 0; i < p->rows; i++)
        for (size_t k = 0; k < end - p->k0; k++)
            data[place(p, p->row0 + i, p->k0 + k)] = k < p->k ? values[i * p->row_step + k * p->k_step] : 0;
}

void dither_operand_write(dither_operand *operand, dither_axis axis, size_t row0, size_t col0, size_t rows, size_t cols,
                          const void *values, size_t stride)
{
    piece p = {.operand = operand, .packing = *packing_of(operand->kernel, operand->side)};
    if (axis == DITHER_AXIS_COLS) {
        p.row0 = row0, p.rows = rows, p.row_step = stride;
        p.k0 = col0, p.k = cols, p.k_step = 1;
    } else {
        p.row0 = col0, p.rows = cols, p.row_step = 1;
        p.k0 = row0, p.k = rows, p.k_step = stride;
    }
    assert(p.row0 + p.rows <= operand->rows && p.k0 + p.k <= operand->k);
    const size_t end = p.k0 + p.k == operand->k ? operand->padded_k : p.k0 + p.k;
    if (operand->kernel->element == DITHER_ELEMENT_S8)
        write_s8(&p, values, end);
    else
        write_bf16(&p, values, end);
}
