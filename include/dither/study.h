/**
 * Studies: the claims of the paper as experiments. Each ends in a table of what the paper says, what was measured, and
 * whether that holds, and leaves results.csv, results.json and report.html, one self-contained page, in a folder.
 */
#ifndef DITHER_STUDY_H
#define DITHER_STUDY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/interval.h"
#include "dither/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A statement of the paper, and what came of it. */
typedef struct dither_claim {
    char claim[160];
    char paper[96];
    char measured[200];
    char verdict[96];
} dither_claim;

enum { DITHER_CLAIMS_MAX = 64 };

typedef struct dither_claims {
    size_t count;
    dither_claim claim[DITHER_CLAIMS_MAX];
    bool plotted; /* false: gnuplot is not installed, and the page has tables alone */
} dither_claims;

/* How far a study is. Cells are its independent runs. */
typedef struct dither_study_event {
    size_t cells, done, kept; /* kept: done before this call */
    double fraction;          /* of the work */
    double seconds, left;     /* since the call, and until the end as far as is known; left < 0: unknown */
} dither_study_event;

/* Called from any thread, one call at a time. */
typedef void (*dither_study_listener)(void *context, const dither_study_event *event);

/* Who and what made a page, as it says at its end. */
typedef struct dither_study_origin {
    const char *command; /* the command line */
    const char *version;
} dither_study_origin;

typedef struct dither_study_mnist_options {
    const char *data; /* folder with train-images-idx3-ubyte[.gz] and train-labels-idx1-ubyte[.gz] */
    const char *out;  /* folder, created where it is not there */
    const char *const *nets; /* [net_count] widths from the pixels to the classes, as "784-100-10" */
    size_t net_count;
    const uint64_t *batches; /* [batch_count] multiples of `samples`, up to 4096 times it */
    size_t batch_count;
    uint64_t samples; /* fixed training samples: the first of the files */
    uint64_t steps;   /* of plain SGD */
    uint64_t seeds;   /* runs of each cell, seeds 1 to this */
    double lr;
    int threads;      /* 0: all cores; results do not depend on it */
    dither_study_origin origin;
} dither_study_mnist_options;

/** The protocol of the paper: three nets, 512 samples, batches of 512 to 4096, 20,000 steps of 0.001, 4 seeds. */
DITHER_API void dither_study_mnist_init(dither_study_mnist_options *options);

/**
 * The repeated-batch experiment: a batch is the same samples again and again, so that sampling noise is 0 and only the
 * noise of stochastic rounding is left. Forward in f32; backward with fixed-point codes of the absolute steps 2^-1 to
 * 2^-4 for x and dy, one draw of dy for both products; the gradient of the summed loss divided by the batch. Recorded
 * are the norm of each layer's f32 gradient on the samples after the last step, and the noise of the quantized one.
 *
 * Finished runs are kept in OUT/cells: the same call goes on where a killed one was, and ends with the same files.
 *
 * @param listener  may be NULL
 * @param stop      set to non-zero by a signal handler: what is not finished is given up; may be NULL
 * @return DITHER_OK | DITHER_E_USAGE | DITHER_E_FORMAT (files of another shape, cells of another study) | DITHER_E_IO
 *       | DITHER_E_BUSY (another study runs in OUT) | DITHER_E_MEMORY | DITHER_E_STOPPED
 */
DITHER_API DITHER_MUST_USE dither_status dither_study_mnist(const dither_study_mnist_options *options,
                                                            dither_study_listener listener, void *context,
                                                            const volatile sig_atomic_t *stop, dither_claims *claims,
                                                            dither_error *error);

typedef struct dither_study_scaling_options {
    const char *model;       /* a folder or a GGUF file */
    const char *const *data; /* texts, or records (records.h); folders of either */
    size_t data_count;
    const char *chat_format, *fields; /* of records; NULL: the usual ones */
    const char *out;         /* folder, created where it is not there */
    uint64_t sequences;      /* a power of two from 4 to 256; 64 */
    uint64_t seq;            /* tokens a sequence; 0: the model's ctx, at most 256 */
    uint64_t seeds;          /* repetitions of what is random, at most 20; 3 */
    uint64_t elements;       /* of the gradient that are looked at, at most, spread evenly; 1048576 */
    int threads;             /* 0: all cores; results do not depend on it */
    dither_study_origin origin;
} dither_study_scaling_options;

/** The defaults above. */
DITHER_API void dither_study_scaling_init(dither_study_scaling_options *options);

/**
 * How the error of a quantized gradient goes with the batch and with the bits, at a model's weights: fixed sequences,
 * each quantized as its own micro-batch, in batches of 1, 2, 4, ..., all of them. Variance of backward stochastic
 * rounding under paper-int8, paper-e4m3, paper-e4m1, paper-int4, and with the roles of the last int7, int6, int5, int3,
 * e4m2 and e4m0; errors of rounding the same to nearest, of quantized weights and of quantized forward activations, and
 * what of each is left in an endless batch. For the whole gradient and each layer.
 *
 * Memory: the weights, one gradient, what a pass takes, and 8 bytes an element and sequence.
 * Otherwise as dither_study_mnist.
 */
DITHER_API DITHER_MUST_USE dither_status dither_study_scaling(const dither_study_scaling_options *options,
                                                              dither_study_listener listener, void *context,
                                                              const volatile sig_atomic_t *stop, dither_claims *claims,
                                                              dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
