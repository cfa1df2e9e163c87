#include "data/batch.h"

#include <string.h>

#include "data/permutation.h"

dither_status dither_sampler_init(dither_sampler *sampler, uint64_t first, uint64_t tokens, size_t seq, uint64_t seed)
{
    if (seq == 0 || tokens == 0 || tokens - 1 < seq)
        return DITHER_E_SHAPE;
    uint64_t count = (tokens - 1) / seq;
    *sampler = (dither_sampler){.first = first, .tokens = tokens, .seed = seed, .seq = seq,
                                .windows = count > 1 ? count - 1 : 1};
    return DITHER_OK;
}

uint64_t dither_sampler_start(const dither_sampler *sampler, uint64_t n)
{
    /* Every window of an epoch starts at first + phase + i * seq; the phase is as large as what the windows leave. */
    const uint64_t epoch = n / sampler->windows;
    const uint64_t left = sampler->tokens - 1 - sampler->windows * sampler->seq;
    const uint64_t phase = dither_permutation_phase(left + 1, sampler->seed, epoch);
    dither_permutation order;
    dither_permutation_draw(&order, sampler->windows, sampler->seed, epoch);
    return sampler->first + phase + dither_permutation_at(&order, n % sampler->windows) * sampler->seq;
}

void dither_sampler_batch(const dither_sampler *sampler, const dither_corpus *corpus, uint64_t n, size_t batch,
                          uint32_t *ids, uint32_t *targets, uint32_t *window)
{
    const size_t seq = sampler->seq;
    for (size_t b = 0; b < batch; b++) {
        dither_corpus_read(corpus, dither_sampler_start(sampler, n + b), seq + 1, window);
        memcpy(ids + b * seq, window, seq * sizeof *ids);
        memcpy(targets + b * seq, window + 1, seq * sizeof *targets);
    }
}
