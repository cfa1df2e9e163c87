/*
 * The gradient of given sequences at given weights, under one scheme after another:
 *
 *     block += factor * gradient of the sum of the sequences' losses, with the draws of one number
 *
 * Backward is linear in what it starts from, so a factor of 1 / trained tokens gives a mean loss's gradient, and one of
 * the other sign takes away what another call has added: |g1 - g2|^2 takes one block. Stochastic rounding is symmetric,
 * so the sign changes no draw; the size of the factor matters as it does in training, where a format without a scale
 * of its own has an absolute step.
 *
 * Draws are addressed (dither/tensor.h) by the seed, the draw's number as the step, and the micro-batch: calls that
 * differ in one of them are independent of each other. The weights are quantized once a scheme, as draw 0.
 *
 * Memory: the weights, `blocks` gradients, and what the largest of the schemes takes for codes, one micro-batch's
 * activations and scratch.
 */
#ifndef DITHER_STUDY_GRADIENT_H
#define DITHER_STUDY_GRADIENT_H

#include "model/network.h"

enum { DITHER_GRADIENT_BLOCKS = 4, DITHER_GRADIENT_MICROBATCHES = 4096 };

typedef struct dither_gradient {
    dither_network network; /* of the scheme that was laid out last */
    dither_arena arena;     /* weights, block 0, then what the scheme needs */
    dither_arena more;      /* the other blocks */
    dither_arena scratch;
    dither_context context;
    dither_clips clips;        /* of all calls, the weights' too: dither_gradient_clear_clips */
    dither_clips *layer_clips; /* [layers + 1] of them each layer's, the output head's last; owned */
    size_t batch, seq;  /* the largest that one call may bring */
    float *block[DITHER_GRADIENT_BLOCKS]; /* [network.elements] each, as network.parameters */
    size_t blocks;
} dither_gradient;

/* What a gradient source is opened for. */
typedef struct dither_gradient_request {
    const dither_model_config *config;
    const dither_scheme *schemes; /* [scheme_count] that dither_gradient_scheme will be called with */
    size_t scheme_count;
    size_t batch, seq; /* the largest micro-batch */
    size_t blocks;     /* 1 .. DITHER_GRADIENT_BLOCKS */
    uint64_t seed;
    int threads; /* at least 1 */
} dither_gradient_request;

/** Bytes that dither_gradient_open would take. @return DITHER_OK | DITHER_E_MEMORY (too large to be counted) */
DITHER_MUST_USE dither_status dither_gradient_count(const dither_gradient_request *request, uint64_t *bytes,
                                                    dither_error *error);

/**
 * Take the memory and lay out the first scheme. The weights are zero: dither_gradient_load, or dither_network_init on
 * gradient->network. dither_gradient_close() in any case.
 * @return DITHER_OK | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_gradient_open(dither_gradient *gradient, const dither_gradient_request *request,
                                                   dither_error *error);
void dither_gradient_close(dither_gradient *gradient);

/** Read the weights of a model folder or GGUF file of the request's config. */
DITHER_MUST_USE dither_status dither_gradient_load(dither_gradient *gradient, const char *path, dither_error *error);

/**
 * From here on gradients are those of `scheme`, one of the request's. Quantizes the weights; blocks keep what they
 * hold.
 * @return DITHER_OK | DITHER_E_MEMORY | DITHER_E_NUMERIC (error names the layer)
 */
DITHER_MUST_USE dither_status dither_gradient_scheme(dither_gradient *gradient, const dither_scheme *scheme,
                                                     dither_error *error);

/** Count what quantizers saturate from here on. */
void dither_gradient_clear_clips(dither_gradient *gradient);

/* Which draws a call takes. */
typedef struct dither_gradient_draw {
    uint32_t number;     /* from 1 on */
    uint32_t microbatch; /* below DITHER_GRADIENT_MICROBATCHES */
} dither_gradient_draw;

/**
 * @param view    one micro-batch
 * @param fresh   write the block instead of adding to it
 * @param block   one of gradient->block, or another that is laid out alike
 * @param loss    added to: nats, over all trained tokens; may be NULL
 * @return DITHER_OK | DITHER_E_NUMERIC (NaN or Inf; error names the place)
 */
DITHER_MUST_USE dither_status dither_gradient_add(dither_gradient *gradient, const dither_batch_view *view,
                                                  dither_gradient_draw draw, float factor, bool fresh, float *block,
                                                  double *loss, dither_error *error);

#endif
