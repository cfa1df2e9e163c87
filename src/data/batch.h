/*
 * Which window of the stream a sample is. Sample n belongs to epoch n / windows; an epoch visits every window of T
 * tokens once, in an order and from a phase that are functions of (seed, epoch): the sample number is the whole
 * position.
 */
#ifndef DITHER_DATA_BATCH_H
#define DITHER_DATA_BATCH_H

#include "dither/data.h"

typedef struct dither_sampler {
    uint64_t first, tokens; /* the part of the stream to sample from */
    uint64_t seed;
    size_t seq;
    uint64_t windows; /* of an epoch */
} dither_sampler;

/** @return DITHER_OK | DITHER_E_SHAPE (fewer than seq + 1 tokens) */
DITHER_MUST_USE dither_status dither_sampler_init(dither_sampler *sampler, uint64_t first, uint64_t tokens, size_t seq,
                                                  uint64_t seed);

/** Token number where sample n's window starts; it reads seq + 1 tokens from there. */
uint64_t dither_sampler_start(const dither_sampler *sampler, uint64_t n);

/**
 * Fill a batch with samples n .. n + batch - 1.
 * @param ids, targets  [batch][seq]; targets are ids shifted by one
 * @param window        scratch, [seq + 1]
 */
void dither_sampler_batch(const dither_sampler *sampler, const dither_corpus *corpus, uint64_t n, size_t batch,
                          uint32_t *ids, uint32_t *targets, uint32_t *window);

#endif
