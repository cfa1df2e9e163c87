/* The piece of work of the quantizer and its inverse: a few rows, and of each a span of columns on the stack. */
#ifndef DITHER_QUANT_SPAN_H
#define DITHER_QUANT_SPAN_H

#include <stddef.h>

#include "dither/tensor.h"
#include "quant/scale.h"

enum {
    DITHER_SPAN = 1280,   /* columns: whole groups of every packing (5, 8) and whole stretches of draws (256) */
    DITHER_SPAN_ROWS = 16 /* rows of a task */
};

/** scales[j] = dither_codes_scale(codes, i, first + j), j < count. */
void dither_span_scales(const dither_codes *codes, const dither_regions *regions, size_t i, size_t first, size_t count,
                        float *scales);

#endif
