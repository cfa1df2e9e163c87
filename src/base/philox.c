#include "base/philox.h"

#include <assert.h>
#include <string.h>

enum { LANES = 16, ROUNDS = 10 };

/* Constants of Salmon et al. 2011, table 2. */
#define MULTIPLIER_0 0xD2511F53u
#define MULTIPLIER_1 0xCD9E8D57u
#define WEYL_0 0x9E3779B9u
#define WEYL_1 0xBB67AE85u

/* LANES blocks side by side: word w of block l stands at [w][l], so each line of the loop is one vector operation. */
typedef struct blocks {
    uint32_t word[4][LANES];
} blocks;

static void encrypt(uint32_t key0, uint32_t key1, blocks *b)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (int l = 0; l < LANES; l++) {
            const uint64_t p0 = (uint64_t)MULTIPLIER_0 * b->word[0][l];
            const uint64_t p1 = (uint64_t)MULTIPLIER_1 * b->word[2][l];
            const uint32_t w0 = (uint32_t)(p1 >> 32) ^ b->word[1][l] ^ key0;
            const uint32_t w2 = (uint32_t)(p0 >> 32) ^ b->word[3][l] ^ key1;
            b->word[0][l] = w0;
            b->word[1][l] = (uint32_t)p1;
            b->word[2][l] = w2;
            b->word[3][l] = (uint32_t)p0;
        }
        key0 += WEYL_0;
        key1 += WEYL_1;
    }
}

void dither_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)MULTIPLIER_0 * c[0], p1 = (uint64_t)MULTIPLIER_1 * c[2];
        const uint32_t w0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, w2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[0] = w0;
        c[1] = (uint32_t)p1;
        c[2] = w2;
        c[3] = (uint32_t)p0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    memcpy(out, c, sizeof c);
}

/* The 16 blocks of one stretch of columns. */
static void make_stretch(const dither_draw *draw, size_t row, size_t stretch, blocks *b)
{
    assert(draw->tensor < 65536 && draw->role < 16 && draw->microbatch < 4096);
    const uint32_t where = draw->tensor << 16 | draw->role << 12 | draw->microbatch;
    for (size_t l = 0; l < LANES; l++) {
        b->word[0][l] = (uint32_t)(stretch * LANES + l);
        b->word[1][l] = draw->row0 + (uint32_t)row;
        b->word[2][l] = where;
        b->word[3][l] = draw->step;
    }
    encrypt((uint32_t)draw->seed, (uint32_t)(draw->seed >> 32), b);
}

void dither_draw_fill(const dither_draw *draw, size_t row, size_t first, size_t count, int bits, uint32_t *out)
{
    const unsigned width = bits <= 8 ? 8 : bits <= 16 ? 16 : 32;
    const uint32_t mask = bits == 32 ? UINT32_MAX : (1u << bits) - 1;
    const size_t length = LANES * 128 / width; /* columns of a stretch */
    blocks b;
    for (size_t done = 0; done < count;) {
        const size_t column = first + done, inside = column % length;
        make_stretch(draw, row, column / length, &b);
        const size_t n = count - done < length - inside ? count - done : length - inside;
        for (size_t i = 0; i < n;) {
            const size_t at = inside + i, lane = at / LANES, block = at % LANES;
            const unsigned bit = (unsigned)lane * width, shift = bit % 32;
            const size_t run = n - i < LANES - block ? n - i : LANES - block;
            for (size_t l = 0; l < run; l++)
                out[done + i + l] = b.word[bit / 32][block + l] >> shift & mask;
            i += run;
        }
        done += n;
    }
}

uint32_t dither_draw_u32(const dither_draw *draw, size_t row, size_t column)
{
    const size_t inside = column % 64;
    const uint32_t key[2] = {(uint32_t)draw->seed, (uint32_t)(draw->seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)(column / 64 * LANES + inside % LANES), draw->row0 + (uint32_t)row,
                                 draw->tensor << 16 | draw->role << 12 | draw->microbatch, draw->step};
    uint32_t out[4];
    dither_philox(key, counter, out);
    return out[inside / LANES];
}
