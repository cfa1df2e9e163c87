/* Blocks of rows by the definition: dither_draw_fill and dither_round_span, for every quantizer. */
#include "base/philox.h"
#include "kernel/bf16.h"
#include "kernel/quantize_loops.h"

static bool can(const dither_quantize_plan *plan)
{
    (void)plan;
    return true;
}

/* y = x' / scale of one row; codes under a scale of 0 are 0, the sign of a -0 included. Returns the largest |x'|. */
static uint32_t divide_row(const dither_quantize_block *block, size_t i, float *y)
{
    const dither_quantize_source *source = &block->source;
    const float *x = source->x + i * source->stride, *scale = block->scale + i * block->scale_step;
    const float factor = dither_source_factor(source, i);
    uint32_t amax = 0;
    for (size_t j = 0; j < source->cols; j++) {
        const float scaled = source->col_factor != NULL ? x[j] * factor * source->col_factor[j] : x[j] * factor;
        const uint32_t bits = dither_f32_bits(scaled) & 0x7fffffffu;
        const float s = scale[j >> block->shift];
        amax = bits > amax ? bits : amax;
        y[j] = s != 0.0f ? scaled / s : 0.0f;
    }
    return amax;
}

static void store_row(const dither_quantize_block *block, size_t i, const uint32_t *codes)
{
    const dither_quantize_plan *plan = block->plan;
    if (plan->element == DITHER_ELEMENT_S8) {
        int8_t *values = (int8_t *)block->values + i * DITHER_PIECE_COLS;
        dither_value_ints(&plan->values, codes, block->source.cols, values);
        return;
    }
    const float *inside = block->inside + i * block->scale_step;
    uint16_t *values = (uint16_t *)block->values + i * DITHER_PIECE_COLS;
    for (size_t j = 0; j < block->source.cols; j++) {
        const float value = dither_value_at(&plan->values, codes[j]);
        const float whole = plan->inside ? value * inside[j >> block->shift] : value;
        values[j] = (uint16_t)(dither_f32_bits(dither_bf16_round(whole)) >> 16);
    }
}

static void quantize(dither_quantize_block *block)
{
    const dither_quantize_plan *plan = block->plan;
    const dither_rounding rounding = plan->quantizer->rounding;
    const size_t cols = block->source.cols;
    float y[DITHER_PIECE_COLS];
    uint32_t random[DITHER_PIECE_COLS], codes[DITHER_PIECE_COLS];
    for (size_t i = 0; i < block->source.rows; i++) {
        block->bad = divide_row(block, i, y) >= DITHER_F32_INF || block->bad;
        if (rounding.mode == DITHER_ROUND_SR)
            dither_draw_fill(plan->draw, block->row0 + i, block->col0, cols, rounding.bits, random);
        block->clipped += dither_round_span(&plan->grid, rounding, y, random, cols, codes);
        store_row(block, i, codes);
    }
}

const dither_quantize_rows dither_quantize_rows_ref = {
    .isa = "ref",
    .can = can,
    .quantize = quantize,
    .amax_rows = dither_loop_amax_rows,
    .amax_cols = dither_loop_amax_cols,
    .scales = dither_loop_scales,
    .variance = dither_loop_variance,
};
