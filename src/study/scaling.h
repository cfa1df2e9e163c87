/*
 * What the parts of the scaling study share: dither/study.h. A cell is one kind of error of one scheme on all
 * sequences; x_k is that of sequence k, and a batch's error is the mean of its sequences'. The sequences are
 * partitioned into batches of b = 1, 2, 4, ..., all of them, in their order, and for each place of the model
 *
 *     batches[l]  mean over the batches of b = 2^l sequences of |mean x_k|^2
 *     floor       (|sum x_k|^2 - sum |x_k|^2) / (n (n - 1)): A of E |mean x_k|^2 = A + B / b, without bias; B is the
 *                 mean |x_k|^2 less A
 *     spread      standard error of the floor over sequences, by the jackknife
 *
 * Squares are sums over a sample of the elements, which is the same in all cells, times its inverse fraction.
 */
#ifndef DITHER_STUDY_SCALING_H
#define DITHER_STUDY_SCALING_H

#include "dither/study.h"
#include "study/cells.h"
#include "study/gradient.h"
#include "study/gradient_sums.h"
#include "train/run.h"

enum {
    DITHER_SCALING_SEQUENCES = 256,
    DITHER_SCALING_LEVELS = 9,
    DITHER_SCALING_SCHEMES = 24,
    DITHER_SCALING_SEEDS = 20
};

/* What x_k is. */
typedef enum dither_scaling_kind {
    DITHER_SCALING_F32,     /* the gradient in f32 itself: floor |g|^2, B the sampling variance */
    DITHER_SCALING_RANDOM,  /* (G1 - G2) / sqrt 2 of two draws: the variance of stochastic rounding */
    DITHER_SCALING_NEAREST, /* G - g, the backward roles to nearest, the others in f32 */
    DITHER_SCALING_WEIGHT,  /* G - g, weights alone, to nearest */
    DITHER_SCALING_ACT      /* G - g, the forward activations alone, to nearest */
} dither_scaling_kind;

typedef struct dither_scaling_scheme {
    dither_scaling_kind kind;
    char name[24];   /* "int8", "paper-e4m3" */
    char format[16]; /* "int8" */
    dither_scheme scheme;
} dither_scaling_scheme;

/* Some elements of the gradient, sorted by place. */
typedef struct dither_scaling_sample {
    size_t count;
    size_t *element; /* [count] in a block */
    size_t *first;   /* [places + 1] of each place but the whole, 0 */
    double factor;   /* elements there are / elements taken */
} dither_scaling_sample;

typedef struct dither_scaling {
    const dither_study_scaling_options *options;
    dither_run run; /* its data */
    dither_gradient gradient;
    dither_gradient_places places;
    dither_scaling_sample sample;
    dither_scaling_scheme scheme[DITHER_SCALING_SCHEMES];
    size_t scheme_count, levels;
    dither_cell *cell; /* [count] */
    struct {
        size_t scheme;
        uint32_t seed;
    } *meaning; /* [count] */
    size_t count;
    float *x, *g; /* [sample.count][sequences]; g is filled when first needed */
    bool has_g;
    uint32_t *tokens;
    dither_batch_buffers buffers;
    char identity[192];
} dither_scaling;

/** Choose about `most` of the elements, spread evenly. @return DITHER_OK | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_scaling_sample_init(dither_scaling_sample *sample,
                                                         const dither_gradient_places *places, size_t elements,
                                                         size_t most);
void dither_scaling_sample_free(dither_scaling_sample *sample);

/** Figures of one place in a cell's values. */
typedef struct dither_scaling_figures {
    double batches[DITHER_SCALING_LEVELS], floor, spread;
} dither_scaling_figures;

/**
 * Sum. @param x  [sample->count][n], n = 2^(levels - 1)
 * @param figures  [places], written
 */
void dither_scaling_sum(const dither_scaling_sample *sample, size_t places, const float *x, size_t levels,
                        dither_scaling_figures *figures);

/** Figures <-> values of a cell, levels + 2 a place. */
void dither_scaling_store(const dither_scaling *study, const dither_scaling_figures *figures, double *value);
dither_scaling_figures dither_scaling_figures_of(const dither_scaling *study, size_t cell, size_t place);

/** The scheme of this kind and name. @return scheme_count: none */
size_t dither_scaling_find(const dither_scaling *study, dither_scaling_kind kind, const char *name);

/* ---- what follows; intervals are over repetitions, those of floors over sequences --------------------------- */

/** Of batches of 2^level sequences. */
dither_interval dither_scaling_mean(const dither_scaling *study, size_t scheme, size_t place, size_t level);

/** The slope of log variance against log b, each b weighted by its number of batches. */
dither_interval dither_scaling_slope(const dither_scaling *study, size_t scheme, size_t place);

/** A, against |g|^2 of the same place. */
dither_interval dither_scaling_floor(const dither_scaling *study, size_t scheme, size_t place);

/** The share of A in A + B: of one sequence's error, what no batch averages out. */
double dither_scaling_floor_share(const dither_scaling *study, size_t scheme, size_t place);

/**
 * Over the formats of a family, integers or floats: the power p of variance ~ D^p.
 * @param floats  E4M3 ... E4M0; else int8 ... int3
 */
dither_interval dither_scaling_power(const dither_scaling *study, bool floats, size_t place);

/** By which the variance grows for a bit less, the mean over a family. */
dither_interval dither_scaling_bit(const dither_scaling *study, bool floats, size_t place);

/** log2 of the step of a family's format, up to a constant. */
double dither_scaling_step(const char *format);

void dither_scaling_claim(const dither_scaling *study, dither_claims *claims);

/** results.csv, results.json and report.html. */
DITHER_MUST_USE dither_status dither_scaling_write(const dither_scaling *study, dither_claims *claims,
                                                   dither_error *error);
DITHER_MUST_USE dither_status dither_scaling_report(const dither_scaling *study, const char *path,
                                                    dither_claims *claims, dither_error *error);

#endif
