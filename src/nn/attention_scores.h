/*
 * What the f32 forms of attention share: blocks of scores and the softmax of their rows.
 */
#ifndef DITHER_NN_ATTENTION_SCORES_H
#define DITHER_NN_ATTENTION_SCORES_H

#include <math.h>
#include <string.h>

#include "kernel/expf.h"
#include "kernel/rows.h"
#include "nn/attention.h"

enum {
    DITHER_ATTENTION_BLOCK = 64, /* queries and keys of a block: its scores are 16 KiB and stay in the first cache */
    DITHER_ATTENTION_STEP = 16   /* a masked row is worked on in whole steps */
};

static inline size_t dither_smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline float dither_attention_scale(const dither_attention *shape)
{
    return shape->scale != 0 ? shape->scale : (float)(1.0 / sqrt((double)shape->head_dim));
}

/* Where the work on a row of which `to` keys are seen ends. */
static inline size_t dither_softmax_end(size_t keys, size_t to)
{
    return dither_smaller(keys, (to + DITHER_ATTENTION_STEP - 1) / DITHER_ATTENTION_STEP * DITHER_ATTENTION_STEP);
}

/** Before the first block of keys. */
static inline void dither_softmax_begin(size_t rows, float *max, float *sum)
{
    for (size_t i = 0; i < rows; i++) {
        max[i] = -INFINITY;
        sum[i] = 0;
    }
}

/**
 * One row of one more block of scores becomes exp(score - max) for the largest score so far, and 0 for the keys that
 * are not from..to-1. Max and sum move on.
 * @return exp(former max - max): what was gathered before shrinks by it
 */
static inline float dither_softmax_row(const dither_rows *loops, size_t keys, size_t from, size_t to, float *scores,
                                       float *max, float *sum)
{
    if (from >= to) {
        memset(scores, 0, keys * sizeof *scores);
        return 1;
    }
    const size_t begin = from / DITHER_ATTENTION_STEP * DITHER_ATTENTION_STEP, end = dither_softmax_end(keys, to);
    for (size_t j = begin; j < from; j++)
        scores[j] = -INFINITY;
    for (size_t j = to; j < end; j++)
        scores[j] = -INFINITY;
    const float former = *max, here = loops->largest(end - begin, scores + begin);
    const float largest = here > former ? here : former, shrink = dither_expf(former - largest);
    *max = largest;
    *sum = *sum * shrink + loops->exp_sum(end - begin, largest, scores + begin);
    memset(scores, 0, begin * sizeof *scores);
    memset(scores + end, 0, (keys - end) * sizeof *scores);
    return shrink;
}

static inline void dither_scale_row(size_t n, float factor, float *restrict x)
{
    if (factor == 1.0f)
        return;
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

#endif
