/* Which tokens may follow, how likely each is, and which one a random number chooses (dither/generate.h). */
#ifndef DITHER_MODEL_SAMPLE_H
#define DITHER_MODEL_SAMPLE_H

#include "dither/generate.h"

typedef struct dither_candidate {
    float weight; /* exp((logit - largest) / temperature): its probability but for a common factor */
    uint32_t id;
} dither_candidate;

/* Scratch of a vocabulary. */
typedef struct dither_sample {
    size_t vocab;
    float *scores;                /* [vocab] logits after the penalty */
    float *weights;               /* [vocab] */
    dither_candidate *candidates; /* [vocab], of which `count` are drawn from */
    size_t count;
    double sum; /* of their weights */
} dither_sample;

DITHER_MUST_USE dither_status dither_sample_open(dither_sample *sample, size_t vocab, dither_error *error);
void dither_sample_close(dither_sample *sample);

/**
 * Fill candidates, count and sum; with a temperature of 0 one candidate.
 * @param logits  [vocab], finite
 * @param recent  [recent_count] ids that the penalty is for
 *
 * Cost: a few passes over the vocabulary in SIMD; what is sorted are the likeliest alone. Numerics: weights are f32,
 * each exp within an ulp of its argument's; sums are in double.
 */
void dither_sample_candidates(dither_sample *sample, const dither_sampling *sampling, const float *logits,
                              const uint32_t *recent, size_t recent_count);

/** The candidate that u in [0, 1) falls on, where each has as much of [0, 1) as its share of sum, in their order. */
uint32_t dither_sample_choose(const dither_sample *sample, double u);

/** The first of the largest. */
uint32_t dither_sample_largest(size_t vocab, const float *scores);

/** log(sum of exp(logits)) */
double dither_sample_log_sum(size_t vocab, const float *logits);

#endif
