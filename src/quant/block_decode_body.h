/*
 * The loops of block_decode.h, included once for each instruction set by a file that names the table:
 * DITHER_DECODERS_NAME, DITHER_DECODERS_ISA and DITHER_DECODERS_NEEDS. Written for the vectorizers of gcc and clang.
 *
 * Layouts: ggml's, as docs/formats.md describes them; d, m are f16, a code is q.
 */
#ifndef DITHER_QUANT_BLOCK_DECODE_BODY_H
#define DITHER_QUANT_BLOCK_DECODE_BODY_H

#include <stdbool.h>
#include <string.h>

#include "dither/cpu.h"
#include "quant/block_decode.h"
#include "quant/half.h"

#ifndef DITHER_DECODERS_NAME /* this header alone: the portable table under a name of its own */
#define DITHER_DECODERS_NAME  dither_block_decoders_body
#define DITHER_DECODERS_ISA   "body"
#define DITHER_DECODERS_NEEDS 0
extern const dither_block_decoders DITHER_DECODERS_NAME;
#endif

/* Left alone, gcc computes parts of 16 values four at a time, or in AVX2 not at all. */
#if !defined(_OPENMP) || defined(__clang__) /* clang needs no word, and warns where sanitizers are in the way */
#define PART
#elif defined(__AVX512F__)
#define PART _Pragma("omp simd simdlen(16)")
#else
#define PART _Pragma("omp simd simdlen(8)")
#endif

static inline float half_at(const unsigned char *at)
{
    uint16_t code;
    memcpy(&code, at, sizeof code);
    return dither_f32_from_f16(code);
}

static void decode_f32(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    memcpy(x, at, blocks * sizeof *x);
}

static void decode_f16(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    for (size_t i = 0; i < blocks; i++)
        x[i] = half_at(at + 2 * i);
}

static void decode_bf16(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    for (size_t i = 0; i < blocks; i++) {
        uint16_t code;
        memcpy(&code, at + 2 * i, sizeof code);
        x[i] = dither_f32_from_bf16(code);
    }
}

/* ---- blocks of 32: half of the values in low nibbles, half in high ones ---------------------------------------- */

/*
 * Codes of several blocks as bytes first, then floats: each a loop that is SIMD. One block at a time, what the first
 * has just stored in halves would be read whole, which the processor has to wait for.
 */
enum { TOGETHER = 8 };

/* Bit i of a byte as bit 4 of byte i. */
static inline uint64_t fifths(uint64_t bits)
{
    const uint64_t each = bits * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
    /* Byte i is 0 or 2^i; 128 - 2^i more moves that to its top bit. */
    return (each + UINT64_C(0x00406070787c7e7f)) >> 3 & UINT64_C(0x1010101010101010);
}

/* 16 bytes of nibbles, and the 4 bytes of fifth bits before them where there are such, in words of eight codes. */
static inline void put_codes(const unsigned char *restrict at, bool fifth, unsigned char *restrict codes)
{
    for (size_t k = 0; k < 2; k++) {
        uint64_t word;
        memcpy(&word, at + (fifth ? 4 : 0) + 8 * k, sizeof word);
        uint64_t low = word & UINT64_C(0x0f0f0f0f0f0f0f0f), high = word >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f);
        low |= fifth ? fifths(at[k]) : 0;
        high |= fifth ? fifths(at[k + 2]) : 0;
        memcpy(codes + 8 * k, &low, sizeof low);
        memcpy(codes + 16 + 8 * k, &high, sizeof high);
    }
}

/* A block: d, m where has_m, fifth bits where there are such, nibbles: x = d (q - zero) + m. Flags are constants. */
static inline __attribute__((always_inline)) void decode_nibbles(size_t blocks, const unsigned char *restrict at,
                                                                 float *restrict x, bool has_m, bool fifth, int zero)
{
    const size_t head = has_m ? 4 : 2, bytes = head + (fifth ? 20 : 16);
    for (size_t b = 0; b < blocks; b += TOGETHER) {
        const size_t n = blocks - b < TOGETHER ? blocks - b : TOGETHER;
        unsigned char codes[32 * TOGETHER];
        for (size_t k = 0; k < n; k++)
            put_codes(at + (b + k) * bytes + head, fifth, codes + 32 * k);
        for (size_t k = 0; k < n; k++) {
            const unsigned char *block = at + (b + k) * bytes;
            const float d = half_at(block), m = has_m ? half_at(block + 2) : 0;
            float *to = x + (b + k) * 32;
            for (size_t i = 0; i < 32; i++) {
                const float scaled = d * (float)(codes[32 * k + i] - zero);
                to[i] = has_m ? scaled + m : scaled;
            }
        }
    }
}

/* d, 16 bytes: x = d (q - 8) */
static void decode_q4_0(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    decode_nibbles(blocks, at, x, false, false, 8);
}

/* d, m, 16 bytes: x = d q + m */
static void decode_q4_1(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    decode_nibbles(blocks, at, x, true, false, 0);
}

/* d, fifth bits, 16 bytes: x = d (q - 16) */
static void decode_q5_0(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    decode_nibbles(blocks, at, x, false, true, 16);
}

/* d, m, fifth bits, 16 bytes: x = d q + m */
static void decode_q5_1(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    decode_nibbles(blocks, at, x, true, true, 0);
}

/* d, 32 signed bytes: x = d q */
static void decode_q8_0(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    for (size_t b = 0; b < blocks; b++, at += 34, x += 32) {
        const float d = half_at(at);
        for (size_t i = 0; i < 32; i++)
            x[i] = d * (float)(int8_t)at[2 + i];
    }
}

/* d, 16 bytes: x = d values[q] */
static void decode_iq4_nl(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    static const float values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    for (size_t b = 0; b < blocks; b++, at += 18, x += 32) {
        const float d = half_at(at);
        for (size_t i = 0; i < 16; i++) {
            x[i] = d * values[at[2 + i] & 15];
            x[i + 16] = d * values[at[2 + i] >> 4];
        }
    }
}

/* ---- blocks of 256 in parts of 16 or 32 with small scales ----------------------------------------------------- */

/*
 * 16 parts' scales (low nibble) and minima (high), 64 bytes, d, m: x = (d scale) q - (m minimum)
 * Bits 2k of bytes 32 h .. 32 h + 31 are the values from 128 h + 32 k on.
 */
static void decode_q2_k(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    for (size_t b = 0; b < blocks; b++, at += 84) {
        const float d = half_at(at + 80), m = half_at(at + 82);
        for (size_t part = 0; part < 16; part++, x += 16) {
            const float scale = d * (float)(at[part] & 15), minimum = m * (float)(at[part] >> 4);
            const unsigned char *q = at + 16 + part / 8 * 32 + part % 2 * 16;
            const int shift = (int)(part % 8 / 2 * 2);
            PART
            for (size_t i = 0; i < 16; i++)
                x[i] = scale * (float)(q[i] >> shift & 3) - minimum;
        }
    }
}

/*
 * 32 bytes of third bits, 64 bytes of two, 12 bytes of 6-bit scales, d: x = (d (scale - 32)) (q - 4)
 * Bit j of the first 32 bytes are the values from 32 j on. Scales: low nibbles of bytes 0..7 and then high nibbles of
 * them are their low four bits, bits 2k of bytes 8..11 the upper two of scales 4k .. 4k + 3.
 */
static void decode_q3_k(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    for (size_t b = 0; b < blocks; b++, at += 110) {
        const float d = half_at(at + 108);
        const unsigned char *packed = at + 96;
        for (size_t part = 0; part < 16; part++, x += 16) {
            const int low = packed[part % 8] >> (part / 8 * 4) & 15;
            const int high = packed[8 + part % 4] >> (part / 4 * 2) & 3;
            const float scale = d * (float)((low | high << 4) - 32);
            const unsigned char *q = at + 32 + part / 8 * 32 + part % 2 * 16, *third = at + part % 2 * 16;
            const int shift = (int)(part % 8 / 2 * 2), bit = (int)(part / 2);
            PART
            for (size_t i = 0; i < 16; i++)
                x[i] = scale * (float)((q[i] >> shift & 3) + (third[i] >> bit & 1) * 4 - 4);
        }
    }
}

/*
 * The 6-bit scale and minimum of part 0..7 of a q4_k or q5_k block: four bytes of scales 0..3, four of minima 0..3,
 * whose top two bits are those of 4..7; four of the low nibbles of scales 4..7 and, above, of minima 4..7.
 */
static inline void k_scale(const unsigned char *packed, size_t part, int *scale, int *minimum)
{
    if (part < 4) {
        *scale = packed[part] & 63;
        *minimum = packed[part + 4] & 63;
    } else {
        *scale = (packed[part + 4] & 15) | packed[part - 4] >> 6 << 4;
        *minimum = packed[part + 4] >> 4 | packed[part] >> 6 << 4;
    }
}

/* d, m, 12 bytes of scales and minima, 128 bytes: x = (d scale) q - (m minimum) */
static void decode_q4_k(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    for (size_t b = 0; b < blocks; b++, at += 144) {
        const float d = half_at(at), m = half_at(at + 2);
        for (size_t part = 0; part < 8; part++, x += 32) {
            int k, n;
            k_scale(at + 4, part, &k, &n);
            const float scale = d * (float)k, minimum = m * (float)n;
            const unsigned char *q = at + 16 + part / 2 * 32;
            const int shift = (int)(part % 2 * 4);
            for (size_t i = 0; i < 32; i++)
                x[i] = scale * (float)(q[i] >> shift & 15) - minimum;
        }
    }
}

/* d, m, 12 bytes of scales and minima, 32 of fifth bits, 128 of nibbles: x = (d scale) q - (m minimum) */
static void decode_q5_k(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    for (size_t b = 0; b < blocks; b++, at += 176) {
        const float d = half_at(at), m = half_at(at + 2);
        for (size_t part = 0; part < 8; part++, x += 32) {
            int k, n;
            k_scale(at + 4, part, &k, &n);
            const float scale = d * (float)k, minimum = m * (float)n;
            const unsigned char *q = at + 48 + part / 2 * 32, *fifth = at + 16;
            const int shift = (int)(part % 2 * 4), bit = (int)part;
            for (size_t i = 0; i < 32; i++)
                x[i] = scale * (float)((q[i] >> shift & 15) + (fifth[i] >> bit & 1) * 16) - minimum;
        }
    }
}

/*
 * 128 bytes of nibbles, 64 of two more bits, 16 signed scales, d: x = (d scale) (q - 32)
 * Rows of 32 values, r = 4 h + k: nibbles k / 2 of bytes 64 h + 32 (k mod 2) on, bits 2k of bytes 32 h on.
 */
static void decode_q6_k(size_t blocks, const unsigned char *restrict at, float *restrict x)
{
    for (size_t b = 0; b < blocks; b++, at += 210) {
        const float d = half_at(at + 208);
        for (size_t part = 0; part < 16; part++, x += 16) {
            const size_t half = part / 8, k = part % 8 / 2, first = part % 2 * 16;
            const float scale = d * (float)(int8_t)at[192 + part];
            const unsigned char *q = at + 64 * half + 32 * (k % 2) + first, *upper = at + 128 + 32 * half + first;
            const int shift = (int)(k / 2 * 4), pair = (int)(2 * k);
            PART
            for (size_t i = 0; i < 16; i++)
                x[i] = scale * (float)((q[i] >> shift & 15) + (upper[i] >> pair & 3) * 16 - 32);
        }
    }
}

const dither_block_decoders DITHER_DECODERS_NAME = {
    .isa = DITHER_DECODERS_ISA,
    .needs = DITHER_DECODERS_NEEDS,
    .decode =
        {
            [DITHER_BLOCK_F32] = decode_f32,
            [DITHER_BLOCK_F16] = decode_f16,
            [DITHER_BLOCK_BF16] = decode_bf16,
            [DITHER_BLOCK_Q4_0] = decode_q4_0,
            [DITHER_BLOCK_Q4_1] = decode_q4_1,
            [DITHER_BLOCK_Q5_0] = decode_q5_0,
            [DITHER_BLOCK_Q5_1] = decode_q5_1,
            [DITHER_BLOCK_Q8_0] = decode_q8_0,
            [DITHER_BLOCK_Q2_K] = decode_q2_k,
            [DITHER_BLOCK_Q3_K] = decode_q3_k,
            [DITHER_BLOCK_Q4_K] = decode_q4_k,
            [DITHER_BLOCK_Q5_K] = decode_q5_k,
            [DITHER_BLOCK_Q6_K] = decode_q6_k,
            [DITHER_BLOCK_IQ4_NL] = decode_iq4_nl,
        },
};

#endif
