/*
 * Rotary positions (Su et al. 2021, arXiv 2104.09864) in the half-split pairing of the llama files: element i of a head
 * is rotated with element i + head_dim/2 by the angle position * base^(-2i/head_dim).
 */
#ifndef DITHER_NN_ROPE_H
#define DITHER_NN_ROPE_H

#include "nn/context.h"
#include "nn/kept.h"

/** table[position] = cosines, then sines. @param table  [positions][2][head_dim/2] */
void dither_rope_table(size_t positions, size_t head_dim, double base, float *table);

/**
 * Rotate the first `heads` heads of each row of x in place.
 * @param x        [tokens][stride], heads at its front
 * @param seq      row t is at position start + t mod seq
 * @param inverse  rotate back: the backward pass
 */
void dither_rope_apply(const dither_context *context, size_t tokens, size_t seq, size_t start, size_t heads,
                       size_t head_dim, size_t stride, const float *table, bool inverse, float *x);

/** Forward, in the pass that keeps x as it is then, behind the heads too. @param kept  [tokens][stride], written */
void dither_rope_forward_keep(const dither_context *context, size_t tokens, size_t seq, size_t start, size_t heads,
                              size_t head_dim, size_t stride, const float *table, float *x, dither_kept kept);

#endif
