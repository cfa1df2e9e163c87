/* What rounding adds to a matrix on its way into operands: quant/variance.h, block by block while it is near. */
#ifndef DITHER_KERNEL_PACK_VARIANCE_H
#define DITHER_KERNEL_PACK_VARIANCE_H

#include "kernel/quantize_rows.h"
#include "quant/scale.h"

typedef struct dither_pack_variance {
    const float *x; /* [rows][cols] */
    size_t rows, cols;
    const dither_pack_target *target;
    const dither_quantize_rows *rows_of; /* the instruction set */
    const dither_grid *grid;
    const dither_regions *regions; /* of scale; NULL: there is none */
    const float *scale;
    dither_variance *pieces; /* [dither_variance_pieces(rows, cols)] */
} dither_pack_variance;

/**
 * The piece of a block, where the row that stands for the piece is one of the block's.
 * @param row0, row1  of the block, within one piece
 * @param col0        a multiple of DITHER_VARIANCE_COLS @param count  columns, at most as many
 */
void dither_pack_variance_find(const dither_pack_variance *of, size_t row0, size_t row1, size_t col0, size_t count);

#endif
