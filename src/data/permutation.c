#include "data/permutation.h"

#include "base/philox.h"

/*
 * What is random about an epoch is drawn at the address (step = low half of the epoch, row = high half, tensor 0,
 * microbatch 0, field DITHER_FIELD_SHUFFLE): columns 0 and 1 give the phase, 2 to 9 the keys of the permutation.
 */
enum { COLUMN_PHASE = 0, COLUMN_KEYS = 2 };

static dither_draw draw_of(uint64_t seed, uint64_t epoch)
{
    return (dither_draw){.seed = seed, .step = (uint32_t)epoch, .role = DITHER_FIELD_SHUFFLE,
                         .row0 = (uint32_t)(epoch >> 32)};
}

uint64_t dither_permutation_phase(uint64_t count, uint64_t seed, uint64_t epoch)
{
    const dither_draw draw = draw_of(seed, epoch);
    uint64_t high = dither_draw_u32(&draw, 0, COLUMN_PHASE), low = dither_draw_u32(&draw, 0, COLUMN_PHASE + 1);
    return (high << 32 | low) % count;
}

void dither_permutation_draw(dither_permutation *permutation, uint64_t count, uint64_t seed, uint64_t epoch)
{
    const dither_draw draw = draw_of(seed, epoch);
    permutation->count = count;
    for (size_t i = 0; i < DITHER_PERMUTATION_ROUNDS; i++)
        permutation->keys[i] = dither_draw_u32(&draw, 0, COLUMN_KEYS + i);
}

/* The round function of the Feistel network: any function makes a permutation, a scrambling one a good one. */
static uint64_t scramble(uint64_t half, uint32_t key)
{
    uint64_t x = (half + key) * UINT64_C(0x9e3779b97f4a7c15) + key;
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

/*
 * A Feistel network permutes the smallest 2^(2 half) >= count, and walking along its cycle until the value lies below
 * count permutes what is there (Black and Rogaway, CT-RSA 2002). The power is at most 4 count, so that the walk takes
 * at most 4 steps in the mean.
 */
uint64_t dither_permutation_at(const dither_permutation *permutation, uint64_t index)
{
    unsigned half = 1;
    while (half < 32 && permutation->count > UINT64_C(1) << 2 * half)
        half++;
    const uint64_t mask = (UINT64_C(1) << half) - 1;
    do {
        uint64_t left = index >> half, right = index & mask;
        for (size_t i = 0; i < DITHER_PERMUTATION_ROUNDS; i++) {
            uint64_t next = left ^ (scramble(right, permutation->keys[i]) & mask);
            left = right;
            right = next;
        }
        index = left << half | right;
    } while (index >= permutation->count);
    return index;
}
