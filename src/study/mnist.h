/* What the parts of the repeated-batch study share: dither/study.h. */
#ifndef DITHER_STUDY_MNIST_H
#define DITHER_STUDY_MNIST_H

#include "dither/study.h"
#include "study/cells.h"
#include "study/pictures.h"

enum {
    DITHER_MNIST_NETS = 12,
    DITHER_MNIST_SEEDS = 100,
    DITHER_MNIST_BATCHES = 16,
    DITHER_MNIST_FINEST = 4, /* steps are 2^-1 to 2^-4 */
    DITHER_MNIST_DRAWS = 16  /* of the last gradient, to measure its noise with */
};

/* What a cell is a run of. */
typedef struct dither_mnist_cell {
    size_t net;
    int step_log2; /* 0: nothing is quantized, and the batch is the samples once */
    uint64_t batch;
    uint32_t seed;
} dither_mnist_cell;

/* What is recorded of a cell, one value a layer: cell->value[kind * layers + layer]; the loss stands behind. */
typedef enum dither_mnist_kind {
    DITHER_MNIST_NORM, /* of the f32 gradient at the end */
    DITHER_MNIST_NOISE, /* there, sqrt(E |quantized gradient - f32 gradient|^2) at this step and batch */
    DITHER_MNIST_KINDS
} dither_mnist_kind;

enum { DITHER_MNIST_ALL_LAYERS = DITHER_MLP_LAYERS };

typedef struct dither_mnist {
    const dither_study_mnist_options *options;
    dither_mlp net[DITHER_MNIST_NETS];
    dither_pictures pictures;
    char identity[128];
    size_t count;
    dither_mnist_cell *meaning; /* [count] */
    dither_cell *cell;          /* [count] */
    double seconds;             /* of processor time in all cells */
} dither_mnist;

/** A recorded value of a layer, or of all layers as one vector. NaN where the cell is not there or diverged. */
double dither_mnist_value(const dither_mnist *study, size_t cell, dither_mnist_kind kind, size_t layer);
double dither_mnist_loss(const dither_mnist *study, size_t cell);

/** The cell of a run. @return study->count where there is none */
size_t dither_mnist_find(const dither_mnist *study, size_t net, int step_log2, uint64_t batch, uint32_t seed);

/* value ~ D^p batch^r, fitted for each seed; the intervals are over seeds. */
typedef struct dither_mnist_powers {
    dither_interval p, r;
    dither_interval trade; /* by which the batch grows to make up for a bit less; NaN where r is not below 0 */
} dither_mnist_powers;

dither_mnist_powers dither_mnist_fit(const dither_mnist *study, size_t net, dither_mnist_kind kind, size_t layer);

/** The mean over seeds and its interval. */
dither_interval dither_mnist_mean(const dither_mnist *study, size_t net, int step_log2, uint64_t batch,
                                  dither_mnist_kind kind, size_t layer);

/** The final gradient norm of all layers against that of the unquantized run of the same seed. */
dither_interval dither_mnist_ratio(const dither_mnist *study, size_t net, int step_log2, uint64_t batch);

/** Fill claims from the fits. */
void dither_mnist_claim(const dither_mnist *study, dither_claims *claims);

/** results.csv, results.json and report.html in the study's folder. */
DITHER_MUST_USE dither_status dither_mnist_write(const dither_mnist *study, dither_claims *claims,
                                                 dither_error *error);
DITHER_MUST_USE dither_status dither_mnist_report(const dither_mnist *study, const char *path, dither_claims *claims,
                                                  dither_error *error);

#endif
