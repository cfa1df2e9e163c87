/*
 * What a run knows about the noise of stochastic rounding in its gradients, and when that noise drowns them.
 *
 *     q    E|g' - g|^2 / 2 of two gradients of one micro-batch's summed loss with independent draws: noise_probe.h
 *     u    running mean of q / running mean of the micro-batches' trained tokens: the noise of one token
 *     noise        u / (trained tokens of the step), for the loss is their mean and draws are independent
 *     |g|^2        running mean of the steps' squared norm, less the noise, which is part of it
 *
 * The alarm: |g| < sqrt(3) noise^(1/2) (arXiv 2505.19115) at several probes in a row, by the running estimate and by
 * each of the probes alone: noise has heavy tails, and one large probe says nothing.
 */
#ifndef DITHER_TRAIN_ROUNDING_NOISE_H
#define DITHER_TRAIN_ROUNDING_NOISE_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "dither/status.h"

/* All of it is in the checkpoint. */
typedef struct dither_rounding_noise {
    double variance, tokens; /* running sums over probes, of equal weights: their quotient is u */
    double latest;           /* u of the last probe alone */
    double square, weight;   /* running sums over steps: of the squared norm, of 1 */
    uint64_t below;          /* probes in a row that found the gradient too small */
    bool alarmed;            /* and it was said */
    uint64_t doublings;      /* of --accumulate */
} dither_rounding_noise;

/** Add a step's gradient norm. */
void dither_rounding_noise_add_step(dither_rounding_noise *noise, double norm);

/** Add a probe. @param variance  q @param tokens  trained in its micro-batch, at least 1 */
void dither_rounding_noise_add_probe(dither_rounding_noise *noise, double variance, uint64_t tokens);

/** The noise in the gradient of a step on so many trained tokens; 0: nothing is known yet. */
double dither_rounding_noise_of(const dither_rounding_noise *noise, uint64_t trained);

/** That / |g|^2; Inf where there is nothing but noise, 0 where nothing is known. */
double dither_rounding_noise_ratio(const dither_rounding_noise *noise, uint64_t trained);

/** After a probe: whether to give the alarm now. Once given, it waits until |g| has been above twice the noise. */
bool dither_rounding_noise_alarm(dither_rounding_noise *noise, uint64_t trained);

/** How many times the batch it takes until |g| is sqrt(3) times the noise; 2 to 1,000. */
uint64_t dither_rounding_noise_factor(const dither_rounding_noise *noise, uint64_t trained);

/** Twice the micro-batches a step from now on: what is known of the gradient's norm begins anew. */
void dither_rounding_noise_double(dither_rounding_noise *noise);

/** As an object; cJSON_Delete it. NULL: no memory. */
cJSON *dither_rounding_noise_json(const dither_rounding_noise *noise);

/** @param object  NULL: nothing is known. @return DITHER_OK | DITHER_E_FORMAT */
DITHER_MUST_USE dither_status dither_rounding_noise_read(const cJSON *object, const char *path,
                                                         dither_rounding_noise *noise, dither_error *error);

#endif
