/*
 * Inner loops for samples that are rounded stochastically again and again: what is rounded stays, only draws change.
 * One table entry an instruction set; all give the same bits.
 *
 * A value x = sign (k + f) D, 0 <= f < 1, is split once into `low` = sign k, `step` = sign 1 and `accept` = f 2^16
 * rounded half to even; a draw of 16 bits then gives the code low + step [draw < accept], which is that of the
 * quantizer fxN:sr16 (include/dither/format.h). Vectors have a length that is a multiple of DITHER_REPEAT_BLOCK.
 */
#ifndef DITHER_KERNEL_REPEAT_ROWS_H
#define DITHER_KERNEL_REPEAT_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/tensor.h"

enum {
    DITHER_REPEAT_BLOCK = 16,    /* columns that stand together */
    DITHER_REPEAT_BITS = 16,     /* of a draw */
    DITHER_REPEAT_LARGEST = 16384 /* code that a split may come to; beyond, a run has diverged */
};

/* A row of codes as its nonzero ones: `count` of them, code[t] at index[t]. */
typedef struct dither_repeat_list {
    size_t count;
    const uint16_t *index;
    const int16_t *code;
} dither_repeat_list;

/* A vector of which some blocks are zero: block k of `value` stands at block id[k] of the whole. */
typedef struct dither_repeat_blocks {
    size_t count;
    const uint16_t *id;   /* [count] */
    const int16_t *value; /* [count][DITHER_REPEAT_BLOCK] */
} dither_repeat_blocks;

/* `code` times row `row` of a group of such vectors. */
typedef struct dither_repeat_term {
    uint16_t row;
    int16_t code;
} dither_repeat_term;

typedef struct dither_repeat_rows {
    const char *isa;
    uint32_t needs;
    /**
     * low, step, accept of x[0..n-1] in steps of 1/inverse, a power of two.
     * @return false where a magnitude is beyond DITHER_REPEAT_LARGEST steps or NaN; the outputs then are unspecified
     */
    bool (*split)(size_t n, const float *x, float inverse, int16_t *low, int16_t *step, uint16_t *accept);
    /** codes[j] = low[j] + step[j] [draw of 16 bits at (row, j) < accept[j]] */
    void (*choose)(const dither_draw *draw, size_t row, size_t n, const int16_t *low, const int16_t *step,
                   const uint16_t *accept, int16_t *codes);
    /** The nonzero codes. @return how many; index and code have room for n */
    size_t (*nonzero)(size_t n, const int16_t *codes, uint16_t *index, int16_t *code);
    /** sum += over t < count of code[t] x[row[t]]. The caller sees that nothing overflows. */
    void (*add)(size_t count, const dither_repeat_term *term, const dither_repeat_blocks *x, int16_t *sum);
    /** y[j] = scale * (sum over t of code[t] w[index[t]][j]) where gate[j] > 0, else 0 */
    void (*combine)(const dither_repeat_list *list, const float *w, size_t n, float scale, const float *gate,
                    float *y);
    /**
     * A block of columns: y = bias + sum over t < count of x[t] w[index[t]], even t and odd t each in order, then both.
     * @param w  rows of DITHER_REPEAT_BLOCK values  @param bias, y  [DITHER_REPEAT_BLOCK]
     */
    void (*forward)(size_t count, const uint16_t *index, const float *x, const float *w, const float *bias, float *y);
} dither_repeat_rows;

/** All of them, fastest first; NULL past the end. */
const dither_repeat_rows *dither_repeat_rows_at(size_t index);
/** The first that runs with these features; the last one, ref, always does. */
const dither_repeat_rows *dither_repeat_rows_select(uint32_t features);

#endif
