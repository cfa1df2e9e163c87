/*
 * How GGUF files store a matrix: every row as blocks of 32 or 256 values, each with scales of its own; or as plain f32,
 * f16 or bf16, whose blocks are single values. docs/formats.md has the layouts.
 */
#ifndef DITHER_QUANT_BLOCK_H
#define DITHER_QUANT_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/tensor.h"

typedef enum dither_block_type {
    DITHER_BLOCK_F32,
    DITHER_BLOCK_F16,
    DITHER_BLOCK_BF16,
    DITHER_BLOCK_Q4_0,
    DITHER_BLOCK_Q4_1,
    DITHER_BLOCK_Q5_0,
    DITHER_BLOCK_Q5_1,
    DITHER_BLOCK_Q8_0,
    DITHER_BLOCK_Q2_K,
    DITHER_BLOCK_Q3_K,
    DITHER_BLOCK_Q4_K,
    DITHER_BLOCK_Q5_K,
    DITHER_BLOCK_Q6_K,
    DITHER_BLOCK_IQ4_NL,
    DITHER_BLOCK_TYPES
} dither_block_type;

typedef struct dither_block_info {
    const char *name;     /* "q4_1" */
    uint32_t gguf;        /* the type's number in GGUF files */
    size_t values, bytes; /* of a block */
    bool writes;          /* dither_block_encode knows it */
} dither_block_info;

const dither_block_info *dither_block_info_of(dither_block_type type);
/** @return false where the number is not one of the table's */
bool dither_block_from_gguf(uint32_t number, dither_block_type *type);
/** By name, in either case. @return false where there is none of that name */
bool dither_block_from_name(const char *name, dither_block_type *type);

/** Bytes of a row; SIZE_MAX where cols is no multiple of the block, or that overflows. */
size_t dither_block_row_bytes(dither_block_type type, size_t cols);

/**
 * x = the values of `count / values` blocks, each a sum of at most one rounded product and one rounded sum, as the
 * format defines it: the same bits on every machine.
 *
 * @param count   a multiple of the block's values
 * @param blocks  may be unaligned; any bytes are values (of which some may be infinite or NaN)
 */
void dither_block_decode(dither_block_type type, size_t count, const void *blocks, float *x);

/**
 * Whether encoding keeps `x` in range: no NaN, no infinity, and no value beyond the largest code times the largest
 * scale of the type. What does not fit is encoded all the same, to values that are infinite, NaN or clipped.
 */
bool dither_block_fits(dither_block_type type, size_t count, const float *x);

/**
 * Write one row as blocks; the type must be one that `writes`.
 *
 * To nearest (draw NULL) by the scale rule of the format's reference quantizer in ggml, byte for byte:
 *
 *     q8_0   d = max |x| / 127                     code = round_half_away(x / d)
 *     q4_0   d = (x of largest magnitude) / -8     code = min(15, trunc(x / d + 8.5))
 *     q4_1   d = (max - min) / 15, m = min         code = min(15, trunc((x - m) / d + 0.5))
 *
 * where codes come from d in f32, multiplied by its reciprocal, and d and m are stored in f16.
 *
 * Stochastically (draw): the scale, and q4_1's m, are those of f16 that hold every value of the block between the
 * smallest and the largest code, and the code is x divided by the stored scale, up or down with 32 random bits: nothing
 * clips, and the mean of many is x to f32's precision. f16 and bf16 are rounded so without any scale; f32 is copied.
 *
 * @param count  a multiple of the block's values
 * @param x      finite; may not overlap blocks
 * @param row    with draw: the row's number, and x its columns from 0 on
 */
void dither_block_encode(dither_block_type type, size_t count, const float *x, void *blocks, const dither_draw *draw,
                         size_t row);

#endif
