/*
 * Operands of the low-bit products, packed for one kernel: its panels, and the scales that multiply the sums.
 *
 *     C[i][j] = sum over groups g of (sum over the k of g of a[i][k] b[j][k]) * a.scale[g][i] * b.scale[g][j]
 */
#ifndef DITHER_KERNEL_OPERAND_H
#define DITHER_KERNEL_OPERAND_H

#include "dither/tensor.h"
#include "kernel/gemm_kernel.h"

typedef enum dither_side { DITHER_SIDE_A, DITHER_SIDE_B } dither_side;

typedef struct dither_operand {
    const dither_gemm_kernel *kernel;
    dither_side side;
    size_t rows, k;               /* rows: m of A, n of B */
    size_t padded_rows, padded_k; /* whole panels; whole k_steps */
    size_t group, groups;         /* k's that one scale stands for; the last group may be shorter */
    void *data;                   /* kernel->a or ->b says how it lies */
    float *scale;                 /* [groups][padded_rows] */
} dither_operand;

/** @param group  k's of a scale, a multiple of kernel->k_step; 0: one scale for all of k */
size_t dither_operand_bytes(const dither_gemm_kernel *kernel, dither_side side, size_t rows, size_t k, size_t group);

/** Lay an operand out on dither_operand_bytes() bytes, 64-byte aligned; NULL in a dry run. Reads and writes nothing. */
void dither_operand_init(dither_operand *operand, const dither_gemm_kernel *kernel, dither_side side, size_t rows,
                         size_t k, size_t group, void *memory);

/** Every scale 1, or another number. */
void dither_operand_fill_scale(dither_operand *operand, float scale);

/** Bytes from the start of a panel to the next, and to its unit that holds k (a multiple of the unit). */
size_t dither_operand_panel_bytes(const dither_operand *operand);
size_t dither_operand_unit_offset(const dither_operand *operand, size_t k);

/**
 * Write a piece of a matrix of codes (s8) or of bf16 values into the operand.
 *
 *     axis COLS: the matrix is [rows of the operand][k];  axis ROWS: it is [k][rows of the operand]
 *
 * @param row0, col0  of the piece in the matrix; its first k is a multiple of DITHER_K_STEP
 * @param values      [rows][stride], int8_t or bf16 bits (uint16_t), as kernel->element says
 *
 * The piece that holds the last k also writes the padding behind it, zeros. Padding rows are never read into C and are
 * left as they are. Pieces that do not overlap may be written at the same time.
 */
void dither_operand_write(dither_operand *operand, dither_axis axis, size_t row0, size_t col0, size_t rows, size_t cols,
                          const void *values, size_t stride);

#endif
