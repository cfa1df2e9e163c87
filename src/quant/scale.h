/*
 * Scales, always rounded up: the largest element divided by its scale is at most the format's largest value, also as
 * the f32 division computes it, so that nothing clips and stochastic rounding stays unbiased.
 */
#ifndef DITHER_QUANT_SCALE_H
#define DITHER_QUANT_SCALE_H

#include <stddef.h>
#include <stdint.h>

#include "dither/tensor.h"

/** Bytes of one stored scale. */
size_t dither_scale_bytes(dither_scale_type type);

/** How a matrix of codes is cut into regions of one scale each; the last ones may be smaller. */
typedef struct dither_regions {
    size_t height, width; /* of a region */
    size_t down, across;  /* regions; scale of (i, j) = (i / height) across + j / width */
} dither_regions;

/** The regions of a quantizer's shape. Sizes are at least 1 even where the matrix is empty. */
dither_regions dither_regions_of(const dither_quantizer *quantizer, dither_axis axis, size_t rows, size_t cols);

/**
 * The second-level scale of DITHER_SCALE_E4M3: the smallest number of 8 significant bits with
 * 448 scale max >= amax, so that (scale of a group) (scale of the tensor) is exact in f32 above its subnormals.
 */
float dither_scale_tensor(float amax, double max);

/**
 * Store the scale of a region: the smallest of its type whose f32 value s has s max >= amax and fl(amax / s) <= max;
 * the type's largest where there is none.
 *
 * @param amax    largest magnitude of the region, finite; 0 stores 0 (E8M0, which has no zero: 2^-127)
 * @param max     format->max
 * @param tensor  dither_scale_tensor() of the matrix under DITHER_SCALE_E4M3; else 1
 */
void dither_scale_store(dither_scale_type type, float amax, double max, float tensor, uint8_t *scale);

/** The f32 value of a stored scale. */
float dither_scale_load(dither_scale_type type, float tensor, const uint8_t *scale);

#endif
