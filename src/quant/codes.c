/* Quantized matrices in memory: their layout, and the way back to f32. */
#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "dither/tensor.h"
#include "quant/bits.h"
#include "quant/pack.h"
#include "quant/scale.h"
#include "quant/span.h"

typedef struct layout {
    size_t row_bytes, scales, codes_size, scale_size;
} layout;

/* False where a size overflows. */
static bool layout_of(const dither_quantizer *quantizer, dither_axis axis, size_t rows, size_t cols, layout *out)
{
    const dither_regions regions = dither_regions_of(quantizer, axis, rows, cols);
    out->row_bytes = dither_pack_bytes(&quantizer->format, cols);
    out->scales = quantizer->shape == DITHER_SCALE_NONE ? 0 : dither_multiply(regions.down, regions.across);
    const size_t codes = out->row_bytes == SIZE_MAX ? SIZE_MAX : dither_multiply(rows, out->row_bytes);
    const size_t scales = dither_multiply(out->scales, dither_scale_bytes(quantizer->scale));
    if (dither_multiply(rows, cols) == SIZE_MAX || codes > SIZE_MAX / 4 || scales > SIZE_MAX / 4) {
        return false;
    }
    out->codes_size = dither_align_up(codes);
    out->scale_size = dither_align_up(scales);
    return true;
}

size_t dither_codes_bytes(const dither_quantizer *quantizer, dither_axis axis, size_t rows, size_t cols)
{
    layout sizes;
    return layout_of(quantizer, axis, rows, cols, &sizes) ? sizes.codes_size + sizes.scale_size : 0;
}

dither_status dither_codes_init(dither_codes *codes, const dither_quantizer *quantizer, dither_axis axis, size_t rows,
                                size_t cols, void *memory)
{
    layout sizes;
    if (!layout_of(quantizer, axis, rows, cols, &sizes)) {
        return DITHER_E_SHAPE;
    }
    uint8_t *bytes = memory;
    *codes = (dither_codes){.quantizer = *quantizer,
                            .axis = axis,
                            .rows = rows,
                            .cols = cols,
                            .row_bytes = sizes.row_bytes,
                            .scales = sizes.scales,
                            .packed = bytes,
                            .scale = bytes != NULL ? bytes + sizes.codes_size : NULL,
                            .tensor_scale = 1.0f};
    return DITHER_OK;
}

float dither_codes_scale(const dither_codes *codes, size_t i, size_t j)
{
    const dither_quantizer *quantizer = &codes->quantizer;
    if (quantizer->shape == DITHER_SCALE_NONE) {
        return 1.0f;
    }
    const dither_regions regions = dither_regions_of(quantizer, codes->axis, codes->rows, codes->cols);
    const size_t index = i / regions.height * regions.across + j / regions.width;
    return dither_scale_load(quantizer->scale, codes->tensor_scale,
                             codes->scale + index * dither_scale_bytes(quantizer->scale));
}

uint32_t dither_codes_get(const dither_codes *codes, size_t i, size_t j)
{
    const dither_format *format = &codes->quantizer.format;
    const size_t skip = j % (size_t)format->group_codes;
    uint32_t group[8];
    assert((size_t)format->group_codes <= sizeof group / sizeof group[0]);
    dither_unpack(format, codes->packed + i * codes->row_bytes, j - skip, skip + 1, group);
    return group[skip];
}

void dither_span_scales(const dither_codes *codes, const dither_regions *regions, size_t i, size_t first, size_t count,
                        float *scales)
{
    const dither_scale_type type = codes->quantizer.scale;
    const size_t bytes = dither_scale_bytes(type);
    const uint8_t *stored = codes->scale + i / regions->height * regions->across * bytes;
    for (size_t j = 0; j < count;) {
        const size_t region = (first + j) / regions->width;
        const float s = dither_scale_load(type, codes->tensor_scale, stored + region * bytes);
        const size_t end = (region + 1) * regions->width - first;
        for (; j < count && j < end; j++) {
            scales[j] = s;
        }
    }
}

enum { TABLE = 256 };

typedef struct decoding {
    const dither_codes *codes;
    dither_regions regions;
    bool scaled;
    float *y;
    float table[TABLE]; /* values of all codes of up to 8 bits */
} decoding;

static void decode_span(const decoding *d, size_t i, size_t first, size_t count, float *y)
{
    const dither_format *format = &d->codes->quantizer.format;
    uint32_t codes[DITHER_SPAN];
    dither_unpack(format, d->codes->packed + i * d->codes->row_bytes, first, count, codes);
    if (format->bits <= 8) {
        for (size_t j = 0; j < count; j++) {
            y[j] = d->table[codes[j]];
        }
    } else if (format->exponent_bits == 8) { /* f32 with a shorter mantissa: bf16, and f32 itself */
        const int shift = 32 - format->bits;
        for (size_t j = 0; j < count; j++) {
            y[j] = dither_f32_from_bits(codes[j] << shift);
        }
    } else {
        for (size_t j = 0; j < count; j++) {
            y[j] = dither_format_decode(format, codes[j]);
        }
    }
}

static void decode_rows(void *context, size_t index, int thread)
{
    (void)thread;
    const decoding *d = context;
    const size_t rows = d->codes->rows, cols = d->codes->cols;
    const size_t row0 = index * DITHER_SPAN_ROWS;
    const size_t end = rows - row0 < DITHER_SPAN_ROWS ? rows : row0 + DITHER_SPAN_ROWS;
    float scales[DITHER_SPAN];
    for (size_t first = 0; first < cols; first += DITHER_SPAN) {
        const size_t count = cols - first < DITHER_SPAN ? cols - first : DITHER_SPAN;
        for (size_t i = row0; i < end; i++) {
            float *y = d->y + i * cols + first;
            decode_span(d, i, first, count, y);
            if (!d->scaled) {
                continue;
            }
            if (i == row0 || i % d->regions.height == 0) {
                dither_span_scales(d->codes, &d->regions, i, first, count, scales);
            }
            for (size_t j = 0; j < count; j++) {
                y[j] *= scales[j];
            }
        }
    }
}

static void decode_all(const dither_codes *codes, bool scaled, float *y, int threads)
{
    const dither_quantizer *quantizer = &codes->quantizer;
    decoding d = {.codes = codes, .scaled = scaled && quantizer->shape != DITHER_SCALE_NONE, .y = y};
    d.regions = dither_regions_of(quantizer, codes->axis, codes->rows, codes->cols);
    if (quantizer->format.bits <= 8) {
        for (uint32_t code = 0; code >> quantizer->format.bits == 0; code++) {
            d.table[code] = dither_format_decode(&quantizer->format, code);
        }
    }
    dither_parallel_for(threads, (codes->rows + DITHER_SPAN_ROWS - 1) / DITHER_SPAN_ROWS, decode_rows, &d);
}

void dither_dequantize(const dither_codes *codes, float *y, int threads)
{
    decode_all(codes, true, y, threads);
}

void dither_codes_values(const dither_codes *codes, float *y, int threads)
{
    decode_all(codes, false, y, threads);
}
