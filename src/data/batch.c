#include "data/batch.h"

#include <string.h>

#include "base/philox.h"

/*
 * What is random about an epoch is drawn at the address (step = low half of the epoch, row = high half, tensor 0,
 * microbatch 0, field DITHER_FIELD_SHUFFLE): columns 0 and 1 give the phase, 2 to 9 the keys of the permutation.
 */
enum { COLUMN_PHASE = 0, COLUMN_KEYS = 2, ROUNDS = 8 };

typedef struct epoch {
    uint64_t phase;
    uint32_t keys[ROUNDS];
} epoch;

/* Every window of an epoch starts at first + phase + i * seq; the phase is as large as what the windows leave over. */
static epoch draw_epoch(const dither_sampler *sampler, uint64_t number)
{
    const dither_draw draw = {.seed = sampler->seed, .step = (uint32_t)number, .role = DITHER_FIELD_SHUFFLE,
                              .row0 = (uint32_t)(number >> 32)};
    epoch drawn;
    uint64_t high = dither_draw_u32(&draw, 0, COLUMN_PHASE), low = dither_draw_u32(&draw, 0, COLUMN_PHASE + 1);
    drawn.phase = (high << 32 | low) % (sampler->tokens - 1 - sampler->windows * sampler->seq + 1);
    for (size_t i = 0; i < ROUNDS; i++)
        drawn.keys[i] = dither_draw_u32(&draw, 0, COLUMN_KEYS + i);
    return drawn;
}

/* The round function of the Feistel network: any function makes a permutation, a scrambling one a good one. */
static uint64_t scramble(uint64_t half, uint32_t key)
{
    uint64_t x = (half + key) * UINT64_C(0x9e3779b97f4a7c15) + key;
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

/*
 * A permutation of 0 .. count-1: a Feistel network permutes the smallest 2^(2 half) >= count, and walking along its
 * cycle until the value lies below count permutes what is there (Black and Rogaway, CT-RSA 2002). The power is at most
 * 4 count, so that the walk takes at most 4 steps in the mean.
 */
static uint64_t permute(uint64_t index, uint64_t count, const uint32_t keys[ROUNDS])
{
    unsigned half = 1;
    while (half < 32 && count > UINT64_C(1) << 2 * half)
        half++;
    const uint64_t mask = (UINT64_C(1) << half) - 1;
    do {
        uint64_t left = index >> half, right = index & mask;
        for (size_t i = 0; i < ROUNDS; i++) {
            uint64_t next = left ^ (scramble(right, keys[i]) & mask);
            left = right;
            right = next;
        }
        index = left << half | right;
    } while (index >= count);
    return index;
}

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
    const epoch drawn = draw_epoch(sampler, n / sampler->windows);
    uint64_t window = permute(n % sampler->windows, sampler->windows, drawn.keys);
    return sampler->first + drawn.phase + window * sampler->seq;
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
