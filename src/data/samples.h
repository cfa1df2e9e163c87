/*
 * Where a run's samples come from: windows of a text, or packed records. Either way sample n is a function of seed and
 * n, so that a resumed run reads what an uninterrupted one would have read.
 */
#ifndef DITHER_DATA_SAMPLES_H
#define DITHER_DATA_SAMPLES_H

#include "data/batch.h"
#include "data/packer.h"
#include "nn/batch_view.h"

typedef struct dither_samples {
    size_t seq;
    const dither_corpus *corpus; /* NULL: records */
    dither_sampler sampler;      /* of the corpus */
    dither_packer *packing;     /* of the records */
} dither_samples;

/* Memory that batches are written to: the caller's. */
typedef struct dither_batch_buffers {
    uint32_t *ids, *targets;    /* [batch][seq] */
    uint32_t *positions, *first; /* [batch][seq], of records alone */
    uint32_t *window;           /* [seq + 1], of a text alone */
} dither_batch_buffers;

/** Samples n .. n + batch - 1. @return a view of the buffers */
dither_batch_view dither_samples_fill(const dither_samples *samples, uint64_t n, size_t batch,
                                      const dither_batch_buffers *buffers);

/** Trained tokens of samples n .. n + count - 1, counted without filling anything. */
uint64_t dither_samples_trained(const dither_samples *samples, uint64_t n, uint64_t count);

#endif
