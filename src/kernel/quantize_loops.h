/* Plain loops of the row kernels that compilers turn into vector code: each instruction set's file compiles its own. */
#ifndef DITHER_KERNEL_QUANTIZE_LOOPS_H
#define DITHER_KERNEL_QUANTIZE_LOOPS_H

#include "kernel/quantize_rows.h"
#include "quant/bits.h"

static inline uint32_t dither_span_amax(const float *x, size_t count, float factor, const float *col_factor)
{
    uint32_t amax = 0;
    if (col_factor == NULL) {
        for (size_t j = 0; j < count; j++) {
            const uint32_t bits = dither_f32_bits(x[j] * factor) & 0x7fffffffu;
            amax = bits > amax ? bits : amax;
        }
        return amax;
    }
    for (size_t j = 0; j < count; j++) {
        const uint32_t bits = dither_f32_bits(x[j] * factor * col_factor[j]) & 0x7fffffffu;
        amax = bits > amax ? bits : amax;
    }
    return amax;
}

static inline float dither_source_factor(const dither_quantize_source *source, size_t i)
{
    return source->row_factor != NULL ? source->row_factor[i] : 1.0f;
}

static inline void dither_loop_amax_rows(const dither_quantize_source *source, size_t width, uint32_t *amax,
                                         size_t step)
{
    for (size_t i = 0; i < source->rows; i++, amax += step) {
        const float *x = source->x + i * source->stride;
        const float factor = dither_source_factor(source, i);
        for (size_t j = 0, g = 0; j < source->cols; j += width, g++) {
            const size_t count = source->cols - j < width ? source->cols - j : width;
            const float *col_factor = source->col_factor != NULL ? source->col_factor + j : NULL;
            const uint32_t span = dither_span_amax(x + j, count, factor, col_factor);
            amax[g] = span > amax[g] ? span : amax[g];
        }
    }
}

static inline void dither_loop_amax_cols(const dither_quantize_source *source, uint32_t *restrict amax)
{
    for (size_t i = 0; i < source->rows; i++) {
        const float *x = source->x + i * source->stride;
        const float factor = dither_source_factor(source, i), *col_factor = source->col_factor;
        for (size_t j = 0; j < source->cols; j++) {
            const float scaled = col_factor != NULL ? x[j] * factor * col_factor[j] : x[j] * factor;
            const uint32_t bits = dither_f32_bits(scaled) & 0x7fffffffu;
            amax[j] = bits > amax[j] ? bits : amax[j];
        }
    }
}

/*
 * The smallest f32 s with s max >= amax. s = fl(amax / max) is it or the one below it: f64's quotient is monotone. Then
 * amax / s <= max as f32 divides it too, since max is an f32 (every format but fixed point).
 */
static inline void dither_loop_scales(const uint32_t *restrict amax, size_t count, double max, float *restrict scale)
{
    for (size_t i = 0; i < count; i++) {
        const double wanted = (double)dither_f32_from_bits(amax[i]);
        const float s = (float)(wanted / max);
        const uint32_t below = (double)s * max < wanted;
        scale[i] = dither_f32_from_bits(dither_f32_bits(s) + below);
    }
}

/* Codes of a block, where its values are to be: bytes to the bf16 values of the same integers, from the last row on. */
static inline void dither_loop_widen(const dither_quantize_block *block)
{
    for (size_t i = block->source.rows; i-- > 0;) {
        int8_t codes[DITHER_PIECE_COLS];
        memcpy(codes, (const int8_t *)block->values + i * DITHER_PIECE_COLS, sizeof codes);
        uint16_t *values = (uint16_t *)block->values + i * DITHER_PIECE_COLS;
        for (size_t j = 0; j < DITHER_PIECE_COLS; j++)
            values[j] = (uint16_t)(dither_f32_bits((float)codes[j]) >> 16);
    }
}

#endif
