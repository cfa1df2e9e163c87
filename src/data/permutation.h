/* The order of an epoch: a permutation that is a function of (seed, epoch), computed value by value. */
#ifndef DITHER_DATA_PERMUTATION_H
#define DITHER_DATA_PERMUTATION_H

#include <stddef.h>
#include <stdint.h>

enum { DITHER_PERMUTATION_ROUNDS = 8 };

typedef struct dither_permutation {
    uint64_t count; /* of 0 .. count - 1 */
    uint32_t keys[DITHER_PERMUTATION_ROUNDS];
} dither_permutation;

/** The permutation of an epoch. */
void dither_permutation_draw(dither_permutation *permutation, uint64_t count, uint64_t seed, uint64_t epoch);

/** A random number of an epoch, in 0 .. count - 1 to within 2^-64 count; independent of its permutation. */
uint64_t dither_permutation_phase(uint64_t count, uint64_t seed, uint64_t epoch);

/** Where index < count goes. */
uint64_t dither_permutation_at(const dither_permutation *permutation, uint64_t index);

#endif
