/**
 * Advice before a run: how few bits the backward pass may have with this model, data and memory, and what batch pays
 * for them.
 *
 * For f32 and each scheme the noise of the gradient is measured at the model's weights (noise.h), the memory of the run
 * is counted as its dry run counts it, and its steps are timed on this machine. With s2 the variance of one sequence's
 * gradient in f32 and q2 the variance that the scheme's draws add to it, b sequences have the noise of B in f32 where
 *
 *     (s2 + q2) / b = s2 / B        b / B = (s2 + q2) / s2
 *
 * and with the same noise in every step the same number of steps should lead to the same loss: what a scheme costs is
 * b / B times the tokens, divided by its rate.
 *
 * Plain SGD with momentum mu and a small learning rate lr ends above the best loss by
 *
 *     lr (s2 + q2) / (4 (1 - mu) b)
 *
 * nats (Liu et al., arXiv 2012.03636, to first order in lr), of which q2's share is the scheme's. For AdamW this is a
 * guide only. None of it says what the scheme's bias costs; it is measured beside.
 */
#ifndef DITHER_ADVICE_H
#define DITHER_ADVICE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/interval.h"
#include "dither/train.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DITHER_ADVICE_SCHEMES = 32 /* the most at once */ };

/* Texts are the caller's and must live until dither_advice_make returns; NULL means not given. */
typedef struct dither_advice_options {
    dither_train_options run;   /* what would be trained in f32. batch: sequences of a step; seq 0: the model's ctx, at
                                 * most 256; memory: of the run, not of the measuring. scheme, accumulate, out, resume
                                 * and what is about saving and evaluating do not matter */
    const char *const *schemes; /* to compare with f32 */
    size_t scheme_count;        /* at most DITHER_ADVICE_SCHEMES; those that are f32 are left out */
    double hours;               /* that the run may take; 0: not said */
    uint64_t sequences;         /* that the noise is measured on; 0: the batch, at most 8 */
    uint64_t samples;           /* that s2 is measured on; 0: 16, or as many as there are */
    uint64_t draws;             /* of each scheme, at most; 32 */
    double precision;           /* draws end once the interval of the variance is within so much of it; 0.05 */
    double timing_s;            /* a scheme's steps are timed for about so long, two at least; 2 */
} dither_advice_options;

/** The defaults above, and those of dither_train_options_init. */
DITHER_API void dither_advice_options_init(dither_advice_options *options);

/* One way to train. Intervals are NaN where they were not measured. */
typedef struct dither_advice_row {
    const char *scheme;          /* as given; "f32" */
    bool fits;                   /* false: even one sequence takes more memory than there is; the rest is unknown */
    uint64_t batch, accumulate;  /* sequences a micro-batch, micro-batches a step: f32's noise, in this memory */
    uint64_t memory_bytes;       /* peak of that run, as its dry run predicts it */
    dither_interval q2;          /* variance that the draws add to one sequence's gradient */
    dither_interval noise;       /* q2 / s2 */
    dither_interval factor;      /* b / B: what the batch must grow by, to have f32's noise */
    dither_interval bit_factor;  /* and once more for one bit less: (s2 + 4 q2) / (s2 + q2) */
    dither_interval bias;        /* |E G - g| / |g|, of the `sequences`: what no batch averages out */
    double tokens_per_s, step_s; /* of steps with batch x accumulate sequences */
    double seconds;              /* of options.run.steps such steps */
    uint64_t steps;              /* that the hours hold; options.run.steps where none were said */
    double sgd_lr;               /* SGD: from here on the draws cost more than DITHER_ADVICE_NATS; INFINITY: none do */
    double sgd_excess;           /* SGD: nats that the draws cost at options.run.lr */
} dither_advice_row;

#define DITHER_ADVICE_NATS 0.01

/* A bias of half the gradient: what a step gains may be halved too. Schemes that surely have more are not advised. */
#define DITHER_ADVICE_BIAS 0.5

/* Advice; dither_advice_free() it. */
typedef struct dither_advice {
    dither_model_config config;
    uint64_t parameters;
    bool random_weights;         /* a new model's */
    uint64_t seq, batch;         /* B */
    uint64_t train_tokens;       /* of the data */
    int threads;
    uint64_t sequences, samples; /* measured on */
    double loss, norm;           /* of the sequences, in f32: nats a token, |g| */
    dither_interval sampling;    /* s2 */
    double sgd_sampling;         /* nats that the sampling costs SGD at options.run.lr */
    uint64_t memory_limit;       /* bytes */
    size_t row_count;
    dither_advice_row *rows;     /* [row_count], the first is f32 */
    size_t best;                 /* the row to take; row_count: none fits */
} dither_advice;

typedef enum dither_advice_stage { DITHER_ADVICE_NOISE, DITHER_ADVICE_SPEED } dither_advice_stage;

typedef struct dither_advice_progress {
    dither_advice_stage stage;
    const char *scheme;
    uint64_t done, total; /* passes of a sequence; the total is a guess */
} dither_advice_progress;

/**
 * Measure, count and time. Writes no file.
 * @param advice    receives it; NULL on failure
 * @param progress  called after every pass; may be NULL
 * @param stop      set to non-zero by a signal handler: ends after the pass or step; may be NULL
 * @return DITHER_OK | DITHER_E_USAGE | DITHER_E_SHAPE (too little data) | DITHER_E_FORMAT | DITHER_E_IO
 *       | DITHER_E_MEMORY (of the measuring) | DITHER_E_NUMERIC | DITHER_E_STOPPED
 *
 * Memory: what measuring takes (noise.h), and then what the largest of the runs takes. Everything but what is timed is
 * the same for any number of threads.
 */
DITHER_API DITHER_MUST_USE dither_status dither_advice_make(
    const dither_advice_options *options, dither_advice **advice,
    void (*progress)(void *context, const dither_advice_progress *progress), void *context,
    const volatile sig_atomic_t *stop, dither_error *error);
DITHER_API void dither_advice_free(dither_advice *advice);

#ifdef __cplusplus
}
#endif
#endif
