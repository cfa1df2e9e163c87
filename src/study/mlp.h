/*
 * A multilayer perceptron with ReLU between its layers and softmax cross entropy at its end, in f32: the networks of
 * the repeated-batch study (method.md's MNIST protocol), their start and their unquantized gradient.
 */
#ifndef DITHER_STUDY_MLP_H
#define DITHER_STUDY_MLP_H

#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

enum { DITHER_MLP_LAYERS = 8, DITHER_MLP_WIDTH = 65520, DITHER_MLP_TEXT = 64 };

/* Widths from the input to the classes: layer l is [width[l + 1]][width[l]]. */
typedef struct dither_mlp {
    size_t layers;
    size_t width[DITHER_MLP_LAYERS + 1];
    char text[DITHER_MLP_TEXT]; /* "784-100-10" */
} dither_mlp;

/** "784-100-10". @return DITHER_OK | DITHER_E_USAGE (error names `where`) */
DITHER_MUST_USE dither_status dither_mlp_parse(const char *where, const char *text, dither_mlp *net,
                                               dither_error *error);

/** How many parameters there are: for each layer its weights [out][in] and then its biases [out]. */
size_t dither_mlp_parameters(const dither_mlp *net);
/** Where the weights of a layer begin, and its biases. */
size_t dither_mlp_weight_at(const dither_mlp *net, size_t layer);
size_t dither_mlp_bias_at(const dither_mlp *net, size_t layer);

/** kaiming-uniform(a = sqrt 5): weights and biases uniform in (-1/sqrt(in), 1/sqrt(in)), drawn from `seed` alone. */
void dither_mlp_init(const dither_mlp *net, uint64_t seed, float *parameters);

/** dy[k] = p[k] - [k = label], p = softmax(logits). @return -log p[label] */
double dither_mlp_loss(size_t classes, const float *logits, unsigned label, float *dy);

/** Floats of scratch that the gradient of n samples takes. */
size_t dither_mlp_scratch(const dither_mlp *net, size_t n);

/**
 * The gradient of the mean loss of n samples.
 * @param x         [n][width[0]]
 * @param labels    [n], below the number of classes
 * @param gradient  [dither_mlp_parameters()]
 * @param loss      mean loss in nats
 */
void dither_mlp_gradient(const dither_mlp *net, const float *parameters, size_t n, const float *x,
                         const uint8_t *labels, float *scratch, float *gradient, double *loss);

/** The norm of a layer's weight part of a vector of parameters. */
double dither_mlp_norm(const dither_mlp *net, const float *parameters, size_t layer);

#endif
