/* Plain loops of the row kernels that compilers turn into vector code: each instruction set's file compiles its own. */
#ifndef DITHER_KERNEL_QUANTIZE_LOOPS_H
#define DITHER_KERNEL_QUANTIZE_LOOPS_H

#include "kernel/quantize_rows.h"
#include "quant/bits.h"
#include "quant/variance_loop.h"

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
static inline void dither_loop_scales_f32(const uint32_t *restrict amax, size_t count, double max,
                                          float *restrict scale)
{
    for (size_t i = 0; i < count; i++) {
        const double wanted = (double)dither_f32_from_bits(amax[i]);
        const float s = (float)(wanted / max);
        const uint32_t below = (double)s * max < wanted;
        scale[i] = dither_f32_from_bits(dither_f32_bits(s) + below);
    }
}

/*
 * The smallest power of two s with s max >= amax: a comparison of bits, since amax / s is exact. Magnitudes below f32's
 * normals all come to the least scale, 2^-127, or to the next one where max is 1.
 */
static inline void dither_loop_scales_e8m0(const uint32_t *restrict amax, size_t count, uint32_t max_bits,
                                           float *restrict scale)
{
    const int32_t least_bits = 0x00400000, bias = 127, most = 254;
    const int32_t second = max_bits < UINT32_C(128) << 23 ? 1 : 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t bits = (int32_t)amax[i];
        const int32_t normal = ((bits - (int32_t)max_bits + 0x7fffff) >> 23) + bias;
        const int32_t small = bits > least_bits ? second : 0;
        const int32_t any = bits < 0x00800000 ? small : normal;
        const int32_t code = any < 0 ? 0 : any > most ? most : any;
        scale[i] = dither_f32_from_bits((uint32_t)(code > 0 ? code << 23 : least_bits));
    }
}

/* Value of an E4M3 code of 0 to 127, NaN's among them as if it were a number. */
static inline float dither_e4m3_value(int32_t code)
{
    const float small = (float)code * 0x1p-9f;
    const float normal = dither_f32_from_bits((uint32_t)(code + (120 << 3)) << 20);
    return code < 8 ? small : normal;
}

/*
 * The smallest E4M3 value v with v tensor max >= amax: exact products in f64, of at most 4 + 8 + 11 bits. As under f32
 * scales nothing then divides to more than max. amax has 24 bits, so that it is at least 2^-24 of itself from each of
 * them and f64's quotient stands on the right side: cut short to a code it is that of v or the one below.
 * v tensor is exact as well, `tensor` being far from f32's subnormals.
 */
static inline void dither_loop_scales_e4m3(const uint32_t *restrict amax, size_t count, double max, float tensor,
                                           float *restrict scale, float *restrict inside)
{
    const double one = (double)tensor * max, inverse = 1.0 / one;
    for (size_t i = 0; i < count; i++) {
        const double largest = (double)dither_f32_from_bits(amax[i]);
        const float wanted = (float)(largest * inverse);
        const float capped = wanted < 0x1p-6f ? wanted : 0x1p-6f;
        const int32_t small = (int32_t)(capped * 0x1p9f);
        const int32_t normal = (int32_t)(dither_f32_bits(wanted) >> 20) - (120 << 3);
        int32_t code = small < 8 ? small : normal;
        code = code < 1 ? 1 : code;
        code += (double)dither_e4m3_value(code) * one < largest ? 1 : 0;
        code = code > 126 ? 126 : code;
        code = amax[i] == 0 ? 0 : code;
        const float value = dither_e4m3_value(code);
        inside[i] = value;
        scale[i] = value * tensor;
    }
}

static inline bool dither_loop_scales(const dither_scale_job *job, const uint32_t *amax, size_t count, float *scale,
                                      float *inside)
{
    if (job->type == DITHER_SCALE_F32) {
        dither_loop_scales_f32(amax, count, job->max, scale);
        return true;
    }
    if (job->type == DITHER_SCALE_E8M0) {
        dither_loop_scales_e8m0(amax, count, dither_f32_bits((float)job->max), scale);
        return true;
    }
    if (job->tensor < 0x1p-100f)
        return false;
    dither_loop_scales_e4m3(amax, count, job->max, job->tensor, scale, inside);
    return true;
}

/* Bits of the lane that a draw is read from (philox.h); none under RNE. */
typedef enum dither_lane { NO_DRAW = 0, LANE_8 = 8, LANE_16 = 16, LANE_32 = 32 } dither_lane;

static inline dither_lane dither_lane_of(const dither_quantize_plan *plan)
{
    const int bits = plan->quantizer->rounding.bits;
    if (plan->quantizer->rounding.mode != DITHER_ROUND_SR)
        return NO_DRAW;
    return bits <= 8 ? LANE_8 : bits <= 16 ? LANE_16 : LANE_32;
}

/*
 * Scales within the bounds of these kernels leave nothing beyond format->max: f32's are rounded up, E8M0 saturates at
 * 2^127, E4M3's second level is rounded up. What has no scale, but bf16 itself, may clip and is for ref.
 */
static inline bool dither_simd_can(const dither_quantize_plan *plan)
{
    const dither_quantizer *quantizer = plan->quantizer;
    const dither_format *format = &quantizer->format;
    const bool nearest = quantizer->rounding.mode == DITHER_ROUND_RNE;
    if (!nearest && quantizer->rounding.mode != DITHER_ROUND_SR)
        return false;
    if (format->kind == DITHER_KIND_INT)
        return quantizer->shape != DITHER_SCALE_NONE && !plan->inside;
    if (quantizer->shape == DITHER_SCALE_NONE)
        return format->exponent_bits == 8 && format->mantissa_bits == 7;
    /* Without mantissa bits a tie looks at the exponent; with 7 exponent bits steps reach subnormals. */
    return format->exponent_bits <= 6 && format->mantissa_bits <= 7 && !(nearest && format->mantissa_bits == 0);
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
