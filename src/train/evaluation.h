/* Loss on held-out text, in windows that predict every token once. */
#ifndef DITHER_TRAIN_EVALUATION_H
#define DITHER_TRAIN_EVALUATION_H

#include "dither/train.h"
#include "model/network.h"

typedef struct dither_eval_job {
    dither_network *network;
    const dither_context *context;
    dither_head_mode mode; /* EXACT or FORWARD */
    const dither_corpus *corpus;
    uint64_t first, tokens; /* the part of the corpus */
    size_t seq;             /* at most the network's */
    uint64_t limit;         /* predictions at most, windows spread evenly; 0: all */
    uint32_t *ids, *targets, *window; /* [batch*seq] of the network, [seq + 1] */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *progress_context;
    const volatile sig_atomic_t *stop; /* may be NULL */
} dither_eval_job;

/**
 * @return DITHER_OK | DITHER_E_SHAPE (fewer than two tokens) | DITHER_E_NUMERIC | DITHER_E_STOPPED
 */
DITHER_MUST_USE dither_status dither_eval_run(const dither_eval_job *job, dither_evaluation *result,
                                              dither_error *error);

#endif
