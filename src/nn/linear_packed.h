/*
 * The packed half of the linear layer: products on low-bit units. x and dy are quantized and packed in one pass over
 * memory for every product that reads them; W once a step for both of its products.
 *
 * Each function does those of the layer's products that the plan runs packed, and leaves the others to linear.c.
 */
#ifndef DITHER_NN_LINEAR_PACKED_H
#define DITHER_NN_LINEAR_PACKED_H

#include "nn/linear_parts.h"

/** Bytes of W's operands, and their layout. */
size_t dither_linear_packed_bytes(const dither_linear_plan *plan, size_t in, size_t out);
void dither_linear_packed_init(dither_linear *linear, void *memory);

DITHER_MUST_USE dither_status dither_linear_packed_refresh(const dither_linear_call *call, dither_linear *linear);

size_t dither_linear_packed_saved_bytes(const dither_linear_plan *plan, size_t in, size_t tokens);
void dither_linear_packed_saved_init(dither_linear_saved *saved, const dither_linear_plan *plan, size_t in,
                                     size_t tokens, void *memory);

/** y, and what dW keeps of x. @param saved  may be NULL */
DITHER_MUST_USE dither_status dither_linear_packed_forward(const dither_linear_call *call, size_t tokens,
                                                           const float *x, float *y, dither_linear_saved *saved);

/** What dW keeps of x alone; x must not be folded into dy (its scales are read off y's operand). */
DITHER_MUST_USE dither_status dither_linear_packed_keep(const dither_linear_call *call, size_t tokens, const float *x,
                                                        dither_linear_saved *saved);

/** dx and dw, NULL where not wanted. */
DITHER_MUST_USE dither_status dither_linear_packed_backward(const dither_linear_call *call, size_t tokens,
                                                            const dither_linear_saved *saved, const float *dy,
                                                            float *dx, float *dw);

#endif
