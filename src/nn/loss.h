/*
 * Cross entropy on the output head, a chunk of tokens at a time: all logits never exist at once.
 *
 *     logits = h W^T;   loss[t] = log(sum_v exp(logits[t][v])) - logits[t][target[t]]
 */
#ifndef DITHER_NN_LOSS_H
#define DITHER_NN_LOSS_H

#include "nn/linear.h"

/* How the head's product is computed, and whether its gradient is wanted. */
typedef enum dither_head_mode {
    DITHER_HEAD_TRAIN,   /* the scheme's forward; dh and dw too */
    DITHER_HEAD_FORWARD, /* the scheme's forward; the loss alone */
    DITHER_HEAD_EXACT    /* f32 with the master weights; the loss alone */
} dither_head_mode;

/**
 * Tokens of a chunk: a function of vocabulary and scheme alone, a multiple of 128.
 * @param rht  the scheme's: chunks hold whole blocks of the Hadamard transform
 */
size_t dither_head_chunk(size_t vocab, size_t rht);

/**
 * @param h        [tokens][head->in]
 * @param targets  [tokens], each < head->out, or UINT32_MAX: not trained on (loss 0, gradient 0)
 * @param scale    factor of the gradient: 1 / (trained tokens of the whole step)
 * @param losses   [tokens] nats, written
 * @param dh       [tokens][head->in] = scale * dloss/dh, written; only under DITHER_HEAD_TRAIN
 * @param dw       [head->out][head->in], added to (written where context->fresh); only under DITHER_HEAD_TRAIN
 * @return DITHER_OK | DITHER_E_NUMERIC (a quantizer met NaN or Inf; a non-finite loss shows in losses)
 */
DITHER_MUST_USE dither_status dither_head_loss(const dither_context *context, const dither_linear *head,
                                               dither_head_mode mode, size_t tokens, const float *h,
                                               const uint32_t *targets, float scale, float *losses, float *dh,
                                               float *dw);

/** softmax cross entropy of one row in place: logits becomes scale * (softmax - onehot(target)). @return the loss */
float dither_cross_entropy_row(size_t vocab, uint32_t target, float scale, float *logits);

#endif
