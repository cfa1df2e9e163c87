/*
 * A parameter as it lies in a file: rows of blocks, perhaps in another order, transposed, or short of 1. Whoever reads
 * it gets the rows of the model, a piece at a time; the whole matrix in f32 need never exist.
 */
#ifndef DITHER_QUANT_STORED_ROWS_H
#define DITHER_QUANT_STORED_ROWS_H

#include "quant/block.h"

typedef struct dither_stored {
    dither_block_type type;
    const unsigned char *data; /* the element (0, 0) of the parameter, in a row of blocks; may be unaligned */
    size_t rows, cols;         /* of the parameter; a vector has rows 1 */
    size_t stride;             /* bytes from a row of the file to the next */
    bool transposed;           /* the file has its columns as rows: only of types whose blocks are single values */
    size_t interleaved;        /* heads whose two halves the file's rows take turns from; 0: rows are in order */
    bool plus_one;             /* the file holds the values less 1 */
} dither_stored;

/** A matrix in f32 in memory, row after row. */
dither_stored dither_stored_f32(const float *x, size_t rows, size_t cols);

/** Whether rows are blocks that can be multiplied where they lie: dither_stored_row gives them. */
bool dither_stored_whole_rows(const dither_stored *stored);

/**
 * The blocks of row `row`, where rows are whole.
 *
 *     interleaved: row i of half j (0, 1) of a head of 2 n rows is the file's row 2 i + j of that head
 */
const unsigned char *dither_stored_row(const dither_stored *stored, size_t row);

/** x[count][cols] = rows [first, first + count), which must lie inside. */
void dither_stored_rows(const dither_stored *stored, size_t first, size_t count, float *x);

#endif
