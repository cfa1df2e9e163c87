/* Loss on what is held out: a text, in windows that predict every token once; records, in packed sequences. */
#ifndef DITHER_TRAIN_EVALUATION_H
#define DITHER_TRAIN_EVALUATION_H

#include "data/samples.h"
#include "dither/train.h"
#include "model/network.h"

/* Of what was predicted so far. */
typedef struct dither_eval_sums {
    double nats;
    uint64_t tokens, bytes;
} dither_eval_sums;

dither_evaluation dither_eval_result(const dither_eval_sums *sums);

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

/**
 * Make room in an opened model for windows of `seq` tokens, several at once where they are short.
 * @return DITHER_OK | DITHER_E_MEMORY (more than the machine has: error says what fewer would take)
 */
DITHER_MUST_USE dither_status dither_eval_reserve(dither_model *model, size_t seq, dither_error *error);

typedef struct dither_eval_records_job {
    dither_network *network;
    const dither_context *context;
    dither_head_mode mode;
    dither_packer *packing;      /* in the order of its files; its seq at most the network's */
    dither_batch_buffers buffers; /* for the network's batch */
    uint64_t limit;               /* predictions at most; 0: all */
    bool spread;                  /* over all sequences, of which whole ones are taken; else from the first on */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *progress_context;
    const volatile sig_atomic_t *stop; /* may be NULL */
} dither_eval_records_job;

/** @return DITHER_OK | DITHER_E_NUMERIC | DITHER_E_STOPPED */
DITHER_MUST_USE dither_status dither_eval_records_run(const dither_eval_records_job *job, dither_evaluation *result,
                                                      dither_error *error);

#endif
