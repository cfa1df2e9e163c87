/*
 * How a draw of a gradient differs from the true one, summed over each place of a model: its embedding, each of its
 * layers, its output. With e = weight (p - t) the draw's error, and m the mean error of the draws before it:
 *
 *     tt = |t|^2   ee = |e|^2   et = e.t   em = e.m   mm = |m|^2
 *
 * Differences and sums are in double, in an order that depends on the shape alone.
 */
#ifndef DITHER_STUDY_GRADIENT_SUMS_H
#define DITHER_STUDY_GRADIENT_SUMS_H

#include "model/network.h"
#include "study/draw_figures.h"

/* A run of elements that are in one place. */
typedef struct dither_gradient_piece {
    size_t first, count, place;
} dither_gradient_piece;

typedef struct dither_gradient_places {
    size_t count;                  /* places: 0 is the whole, then as dither_gradient_place_name says */
    dither_gradient_piece *pieces; /* [piece_count], owned */
    dither_draw_products *partial; /* [piece_count], owned */
    size_t piece_count;
} dither_gradient_places;

enum { DITHER_GRADIENT_PLACE_NAME = 32 };

/** How many places a model has: the whole, the embedding, the layers, the output. */
size_t dither_gradient_place_count(const dither_model_config *config);

/** "whole", "embedding", "layer 0", ..., "output", into text[DITHER_GRADIENT_PLACE_NAME]. */
void dither_gradient_place_name(const dither_model_config *config, size_t place, char *text);

/** @param places  dither_gradient_places_free() it in any case. @return DITHER_OK | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_gradient_places_init(dither_gradient_places *places,
                                                          const dither_network *network);
void dither_gradient_places_free(dither_gradient_places *places);

/**
 * @param t, p    blocks laid out as the network's parameters
 * @param weight  of the draw; 1 where all are alike
 * @param total   sum of the errors of the draws before, to which this one's is added (where `draws` is 0, it is
 *                written); NULL: there is none, and em = mm = 0
 * @param draws   in it
 * @param sums    [places->count], written
 */
void dither_gradient_sum(dither_gradient_places *places, const float *t, const float *p, double weight, float *total,
                         uint64_t draws, dither_draw_products *sums, int threads);

#endif
