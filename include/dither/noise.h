/**
 * What a scheme does to a model's gradient: bias, variance and clipping on real data, with the kernels that train.
 *
 * At the model's weights, for a batch of b sequences of the data, g is the gradient of the mean loss in f32 and G the
 * one that the scheme computes, each micro-batch quantized by itself:
 *
 *     bias2     |E G - g|^2          what no number of draws averages out
 *     variance  E |G - E G|^2        of stochastic rounding; about q2 / b
 *     error2    E |G - g|^2          both together
 *     cosine    E cos(G, g)
 *
 * for the scheme as a whole and for each of its roles alone (the other five in f32), for the whole gradient and for
 * each layer. The expectations are over draws, at these weights and these sequences; weights are quantized once a
 * scheme, as in a step, so that they add to the bias, not to the variance. From R draws G_r, with G* their mean,
 *
 *     variance = sum |G_r - G*|^2 / (R - 1)      bias2 = |G* - g|^2 - variance / R
 *
 * so that bias2 is without what the draws' own noise adds, and may come out below 0 where there is none. Every figure
 * has its 95 % interval (src/study/draw_figures.h).
 */
#ifndef DITHER_NOISE_H
#define DITHER_NOISE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/interval.h"
#include "dither/model.h"
#include "dither/records.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DITHER_NOISE_PARTS = 1 + DITHER_ROLES, /* DITHER_NOISE_WHOLE; 1 + role: that role alone */
    DITHER_NOISE_WHOLE = 0,
    DITHER_NOISE_BATCHES = 16 /* the most batch sizes */
};

/* Texts are the caller's and must live until dither_noise_measure returns; NULL means not given. */
typedef struct dither_noise_options {
    const char *model;        /* a folder or a GGUF file */
    const char *new_model;    /* or a shape (dither_model_config_parse), measured at its random weights */
    const char *tokenizer;    /* of a new model: a tokenizer.json or a folder with one; NULL: bytes */
    const char *const *data;  /* texts, or records (records.h) as FILE or FILE:WEIGHT; folders of either */
    size_t data_count;
    const char *chat_format;  /* of records; NULL: that of the model's chat template */
    const char *fields;       /* of records; NULL: the usual ones */
    dither_train_on train_on; /* of records; assistant */
    dither_long longer;       /* of records; cut */
    const char *scheme;       /* "paper-int8" */
    const uint64_t *batches;  /* [batch_count] sequences, each larger than the one before; NULL: 1, 2, 4, 8 */
    size_t batch_count;
    uint64_t micro_batch;     /* sequences that are quantized together, at most 1024; 1 */
    uint64_t samples;         /* sequences that s2 is measured on; 0: the largest batch, at least 8; 1: it is not */
    uint64_t seq;             /* tokens a sequence; 0: the model's ctx, at most 256 */
    uint64_t draws;           /* of a figure, at most, 4 or more; 32 */
    double precision;         /* draws end once the interval of the variance is within so much of it; 0.05 */
    uint32_t parts;           /* bits 1 << part of what to measure; all */
    uint64_t seed;            /* of the sequences and of the draws; 1 */
    int threads;              /* 0: all cores */
    uint64_t memory;          /* bytes allowed; 0: what the machine has */
} dither_noise_options;

/** The defaults above. */
DITHER_API void dither_noise_options_init(dither_noise_options *options);

typedef struct dither_noise_cell {
    dither_interval bias2, variance, error2, cosine;
    double clip_rate; /* values that quantizers saturated / values quantized; a tied head's are the embedding's */
} dither_noise_cell;

/* One batch: the first so many of the sequences. */
typedef struct dither_noise_batch {
    uint64_t sequences, tokens;
    uint64_t trained; /* of the tokens */
    double loss;      /* in f32, nats a trained token */
} dither_noise_batch;

/* What a part of the scheme took at one batch. */
typedef struct dither_noise_count {
    uint64_t draws;             /* 0: the role is f32, and all of its figures are exact without */
    bool random;                /* false: nothing is rounded at random, and one draw is exact */
    uint64_t elements, clipped; /* values quantized, and saturated, in all draws together */
} dither_noise_count;

/* Results; dither_noise_free() them. Places are those of dither_noise_place. */
typedef struct dither_noise {
    dither_model_config config;
    dither_scheme scheme;
    uint64_t seq, micro_batch, samples;
    size_t batch_count, place_count;
    dither_noise_batch *batches; /* [batch_count] */
    double *norm2;               /* [batch_count][place_count] |g|^2 */
    dither_interval *sampling;   /* [place_count] s2: variance of one sequence's gradient in f32; NaN under 2 samples,
                                  * without an end under 3 */
    dither_noise_cell *cells;    /* [batch_count][DITHER_NOISE_PARTS][place_count]; NaN where not measured */
    dither_noise_count *counts;  /* [batch_count][DITHER_NOISE_PARTS] */
    uint64_t passes;             /* forward and backward passes of a sequence, in all */
    uint64_t peak_rss_bytes;
} dither_noise;

/* How far a measurement is; `total` is a guess until the number of draws is known. */
typedef struct dither_noise_progress {
    uint64_t done, total; /* passes of a sequence */
    uint64_t batch;       /* sequences */
    size_t part;          /* DITHER_NOISE_PARTS: the gradient in f32 */
} dither_noise_progress;

/**
 * Measure.
 * @param noise     receives the results; NULL on failure
 * @param progress  called after every pass; may be NULL
 * @param stop      set to non-zero by a signal handler: ends after the pass; may be NULL
 * @return DITHER_OK | DITHER_E_USAGE | DITHER_E_SHAPE (fewer sequences than asked for) | DITHER_E_FORMAT | DITHER_E_IO
 *       | DITHER_E_MEMORY | DITHER_E_NUMERIC | DITHER_E_STOPPED
 *
 * Memory: the weights, three gradients, and what one micro-batch takes. Threads: the results do not depend on them.
 */
DITHER_API DITHER_MUST_USE dither_status dither_noise_measure(
    const dither_noise_options *options, dither_noise **noise,
    void (*progress)(void *context, const dither_noise_progress *progress), void *context,
    const volatile sig_atomic_t *stop, dither_error *error);
DITHER_API void dither_noise_free(dither_noise *noise);

DITHER_API const dither_noise_cell *dither_noise_at(const dither_noise *noise, size_t batch, size_t part,
                                                    size_t place);

enum { DITHER_NOISE_PLACE = 32 };

/** "whole", "embedding", "layer 0", ..., "output", into text[DITHER_NOISE_PLACE]. */
DITHER_API void dither_noise_place(const dither_noise *noise, size_t place, char *text);

/** "scheme", or the name of the role. */
DITHER_API const char *dither_noise_part(size_t part);

/** sqrt(error2) / |g|. */
DITHER_API dither_interval dither_noise_relative_error(const dither_noise *noise, size_t batch, size_t part,
                                                       size_t place);

/** q2: b times the variance at the largest batch, the variance that the draws of one sequence add. */
DITHER_API dither_interval dither_noise_per_sample(const dither_noise *noise, size_t part, size_t place);

/** How many times the batch one bit less takes for the same noise: (s2 + 4 q2) / (s2 + q2), 1 to 4; NaN without s2. */
DITHER_API double dither_noise_batch_factor(const dither_noise *noise);

enum { DITHER_NOISE_CAVEAT = 256 };

/**
 * Where the theory of stochastic rounding (no bias, variance falling with the batch) does not hold for a scheme: what
 * of it, and what follows, in a line.
 * @param index  from 0 on
 * @param text   [DITHER_NOISE_CAVEAT]
 * @return false past the last
 */
DITHER_API bool dither_noise_caveat(const dither_scheme *scheme, size_t index, char *text);

#ifdef __cplusplus
}
#endif
#endif
