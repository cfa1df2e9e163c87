/*
 * Rotary positions (Su et al. 2021, arXiv 2104.09864) in the half-split pairing of the llama files: element i of a head
 * is rotated with element i + head_dim/2 by the angle position * frequency[i].
 */
#ifndef DITHER_NN_ROPE_H
#define DITHER_NN_ROPE_H

#include "nn/context.h"
#include "nn/kept.h"

/* How a model was stretched to longer texts than it was trained on first. f[i] = base^(-2i/head_dim). */
typedef enum dither_rope_kind {
    DITHER_ROPE_NONE,   /* frequency[i] = f[i] */
    DITHER_ROPE_LINEAR, /* f[i] / factor (Chen et al. 2023, arXiv 2306.15595) */
    /*
     * Llama 3.1: with w = 2 pi / f[i] positions a turn, f[i] where w < original_ctx / high_freq_factor, f[i] / factor
     * where w > original_ctx / low_freq_factor, and between the two a mixture of them, linear in original_ctx / w.
     */
    DITHER_ROPE_LLAMA3
} dither_rope_kind;

typedef struct dither_rope {
    double base;
    size_t head_dim; /* even */
    dither_rope_kind kind;
    double factor;                             /* > 0; not read for NONE */
    double low_freq_factor, high_freq_factor;  /* LLAMA3: 0 < low < high */
    size_t original_ctx;                       /* LLAMA3: > 0 */
} dither_rope;

/**
 * table[position] = cosines, then sines.
 * @param table  [positions][2][head_dim/2]
 *
 * Numerics: computed in double and rounded once.
 */
void dither_rope_table(const dither_rope *rope, size_t positions, float *table);

/* The heads at the front of the rows of a matrix, and where each row is in its text. */
typedef struct dither_rotation {
    size_t tokens, heads, head_dim, stride; /* x is [tokens][stride] */
    size_t seq, start;                      /* row t is at position start + t mod seq ... */
    const uint32_t *positions;              /* ... or, where this is not NULL, at positions[t] */
    const float *table;                     /* of dither_rope_table */
    size_t table_positions;                 /* of the table; every position is below it */
} dither_rotation;

/** Rotate in place. @param inverse  rotate back: the backward pass */
void dither_rope_apply(const dither_context *context, const dither_rotation *rotation, bool inverse, float *x);

/** Forward, in the pass that keeps x as it is then, behind the heads too. @param kept  [tokens][stride], written */
void dither_rope_forward_keep(const dither_context *context, const dither_rotation *rotation, float *x,
                              dither_kept kept);

#endif
