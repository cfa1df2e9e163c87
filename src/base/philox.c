#include "base/philox.h"

#include <assert.h>
#include <string.h>

enum {
    ROUNDS = 10,
    BLOCKS = 16,            /* counter blocks of a stretch */
    BLOCK_BITS = 128,
    LONGEST = BLOCKS * (BLOCK_BITS / 8) /* columns of the longest stretch */
};

/* Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3. */
#define MULTIPLIER_0 0xD2511F53u
#define MULTIPLIER_1 0xCD9E8D57u
#define WEYL_0 0x9E3779B9u
#define WEYL_1 0xBB67AE85u

void dither_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)MULTIPLIER_0 * x0;
        const uint64_t p1 = (uint64_t)MULTIPLIER_1 * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)p0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

/* A draw's key and the counter of column block 0 in a row. */
typedef struct address {
    uint32_t key[2];
    uint32_t counter[4];
} address;

static address address_of(const dither_draw *draw, size_t row)
{
    assert(draw->microbatch < 1u << 12 && draw->tensor < 1u << 16 && draw->role < 1u << 4);
    return (address){
        .key = {(uint32_t)draw->seed, (uint32_t)(draw->seed >> 32)},
        .counter = {0, draw->row0 + (uint32_t)row, draw->tensor << 16 | draw->role << 12 | draw->microbatch,
                    draw->step},
    };
}

/* words[w][b] = word w of the block at `stretch * BLOCKS + b`: dither_philox, block beside block in SIMD lanes. */
static void stretch_words(const address *at, size_t stretch, uint32_t words[4][BLOCKS])
{
    uint32_t k0 = at->key[0], k1 = at->key[1];
    uint32_t *x0 = words[0], *x1 = words[1], *x2 = words[2], *x3 = words[3];
    for (uint32_t b = 0; b < BLOCKS; b++) {
        x0[b] = (uint32_t)stretch * BLOCKS + b;
        x1[b] = at->counter[1];
        x2[b] = at->counter[2];
        x3[b] = at->counter[3];
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int b = 0; b < BLOCKS; b++) {
            const uint64_t p0 = (uint64_t)MULTIPLIER_0 * x0[b];
            const uint64_t p1 = (uint64_t)MULTIPLIER_1 * x2[b];
            x0[b] = (uint32_t)(p1 >> 32) ^ x1[b] ^ k0;
            x1[b] = (uint32_t)p1;
            x2[b] = (uint32_t)(p0 >> 32) ^ x3[b] ^ k1;
            x3[b] = (uint32_t)p0;
        }
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
}

static size_t lane_bits(int bits)
{
    return bits <= 8 ? 8 : bits <= 16 ? 16 : 32;
}

/* The draws of a whole stretch: lane by lane, so that BLOCKS neighbours come from one word each of BLOCKS blocks. */
static void stretch_draws(const address *at, size_t stretch, int bits, uint32_t *out)
{
    uint32_t words[4][BLOCKS];
    stretch_words(at, stretch, words);
    const size_t width = lane_bits(bits);
    const uint32_t mask = UINT32_MAX >> (32 - bits);
    for (size_t lane = 0; lane < BLOCK_BITS / width; lane++) {
        const uint32_t *word = words[lane * width / 32];
        const unsigned shift = (unsigned)(lane * width % 32);
        for (size_t b = 0; b < BLOCKS; b++)
            out[lane * BLOCKS + b] = word[b] >> shift & mask;
    }
}

void dither_draw_fill(const dither_draw *draw, size_t row, size_t first, size_t count, int bits, uint32_t *out)
{
    assert(bits >= 1 && bits <= 32);
    const address at = address_of(draw, row);
    const size_t length = BLOCKS * (BLOCK_BITS / lane_bits(bits));
    size_t done = 0;
    while (done < count) {
        const size_t stretch = (first + done) / length;
        const size_t skip = (first + done) % length;
        size_t wanted = length - skip;
        if (wanted > count - done)
            wanted = count - done;
        if (wanted == length) {
            stretch_draws(&at, stretch, bits, out + done);
        } else {
            uint32_t part[LONGEST];
            stretch_draws(&at, stretch, bits, part);
            memcpy(out + done, part + skip, wanted * sizeof *out);
        }
        done += wanted;
    }
}

uint32_t dither_draw_u32(const dither_draw *draw, size_t row, size_t column)
{
    const size_t length = BLOCKS * (BLOCK_BITS / 32);
    address at = address_of(draw, row);
    at.counter[0] = (uint32_t)(column / length * BLOCKS + column % BLOCKS);
    uint32_t block[4];
    dither_philox(at.key, at.counter, block);
    return block[column % length / BLOCKS];
}
