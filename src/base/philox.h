/*
 * Philox4x32-10 (Salmon et al., SC11) as a pure function of a key and a counter, and the address scheme of dither_draw.
 */
#ifndef DITHER_BASE_PHILOX_H
#define DITHER_BASE_PHILOX_H

#include <stddef.h>
#include <stdint.h>

#include "dither/tensor.h"

/* Random fields beside the six roles of a linear layer (dither_role: 0 to 5). */
enum {
    DITHER_FIELD_HADAMARD = 6, /* signs of the random Hadamard transform */
    DITHER_FIELD_INIT = 7,     /* initial weights */
    DITHER_FIELD_SHUFFLE = 8,  /* order of the training windows */
    DITHER_FIELD_SAMPLE = 9,   /* tokens that generate draws */
    DITHER_FIELD_EXPORT = 10   /* blocks of files that are converted */
};

/** out = philox4x32-10(key, counter). */
void dither_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/**
 * The draws of `count` columns from column `first` of row draw->row0 + row, each in the low `bits` bits.
 *
 * An element reads a lane of w bits, w = 8, 16 or 32, the smallest that holds `bits`. A stretch of 16 x 128/w columns
 * shares 16 counter blocks; column c of the stretch reads block c mod 16, and of its 128 bits the lane c / 16, lanes
 * counted from the low end of word 0: neighbouring columns read neighbouring blocks, which is the order SIMD makes them
 * in.
 */
void dither_draw_fill(const dither_draw *draw, size_t row, size_t first, size_t count, int bits, uint32_t *out);

/** One 32-bit draw at (row, column). */
uint32_t dither_draw_u32(const dither_draw *draw, size_t row, size_t column);

#endif
