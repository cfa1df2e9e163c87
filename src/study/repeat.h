/*
 * Backward under stochastic rounding of the same samples again and again, as in the paper's MNIST protocol: a batch is
 * n samples, each `repeats` times, so sampling noise is 0 and only that of the rounding is left.
 *
 *     forward      f32, once: repeats share it
 *     dy, top      p - [k = label], f32; the loss is a sum over the batch
 *     Q            fixed point of an absolute step D = 2^step_log2, fxN:sr16, own draws for each repeat
 *     dW           sum over samples and repeats of Q(dy)^T Q(x)
 *     dx           Q(dy) W, the same codes of dy as in dW (same_grad); dy below = dx where the unit is on
 *     db           sum of the unquantized dy
 *
 * and the sums are divided by the batch n * repeats afterwards. Products of codes are summed as integers, so dW is
 * exact. A code of 0 adds nothing, so work grows with the nonzero codes of dy, not with the size of the layer.
 *
 * Draws are addressed (include/dither/tensor.h): tensor = layer, role = bact or goact, microbatch = repeat, row =
 * sample; of pixels only patches of 4 x 4 that are not all 0 have columns. The top layer's dy of 8 samples is one row
 * of 8 vectors, each of a multiple of 16 columns.
 */
#ifndef DITHER_STUDY_REPEAT_H
#define DITHER_STUDY_REPEAT_H

#include "kernel/repeat_rows.h"
#include "study/mlp.h"

enum { DITHER_REPEATS_MAX = 255 };

/* Pictures and what they show. */
typedef struct dither_pictures {
    size_t count, height, width;
    float *x;        /* [count][height * width], 0 to 1 */
    uint8_t *labels; /* [count] */
} dither_pictures;

typedef struct dither_repeat dither_repeat;

/**
 * Lay everything out for these samples and this step; no later call allocates.
 * @param pictures   of as many pixels as the net's input; labels below its classes
 * @param step_log2  0 to -31
 * @param kernels    repeat_rows.h
 * @return DITHER_OK | DITHER_E_MEMORY | DITHER_E_SHAPE (pictures of more than 65,535 pixels, rounded up to patches)
 */
DITHER_MUST_USE dither_status dither_repeat_open(dither_repeat **repeat, const dither_mlp *net,
                                                 const dither_pictures *pictures, int step_log2,
                                                 const dither_repeat_rows *kernels, dither_error *error);
void dither_repeat_close(dither_repeat *repeat);

/** Parameters (mlp.h) in and out. */
void dither_repeat_load(dither_repeat *repeat, const float *parameters);
void dither_repeat_store(const dither_repeat *repeat, float *parameters);

/**
 * Forward, then backward `repeats` times.
 * @param seed     key of every draw  @param step  of training
 * @param repeats  1 to DITHER_REPEATS_MAX
 * @return DITHER_OK | DITHER_E_NUMERIC (a gradient beyond 16,384 steps, or NaN: the run has diverged)
 */
DITHER_MUST_USE dither_status dither_repeat_backward(dither_repeat *repeat, uint64_t seed, uint32_t step,
                                                     size_t repeats, dither_error *error);

/** The last backward's sums divided by its batch. @param gradient  as parameters (mlp.h) */
void dither_repeat_gradient(const dither_repeat *repeat, float *gradient);

/** w = w - lr g, g as dither_repeat_gradient() gives it. */
void dither_repeat_descend(dither_repeat *repeat, float lr);

#endif
