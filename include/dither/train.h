/**
 * Training: a run from options to a model folder, and the events it reports on the way.
 */
#ifndef DITHER_TRAIN_H
#define DITHER_TRAIN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/data.h"
#include "dither/model.h"
#include "dither/records.h"
#include "dither/speed.h"
#include "dither/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options ---------------------------------------------------------------------------------------------- */

typedef enum dither_optimizer { DITHER_OPTIMIZER_ADAMW, DITHER_OPTIMIZER_SGD } dither_optimizer;

typedef enum dither_schedule {
    DITHER_SCHEDULE_COSINE,   /* warm-up, then half a cosine from lr to min_lr */
    DITHER_SCHEDULE_LINEAR,   /* warm-up, then a line from lr to min_lr */
    DITHER_SCHEDULE_CONSTANT, /* warm-up, then lr */
    DITHER_SCHEDULE_WSD       /* warm-up, stable, then a line to min_lr over the last fifth */
} dither_schedule;

/* noise_every: as often as costs less than 1 % of the time, every 256 / (micro-batches a step) steps; the default. */
enum { DITHER_NOISE_EVERY_AUTO = 0x7fffffff };

/* Texts are the caller's and must live until dither_train returns; NULL means not given. */
typedef struct dither_train_options {
    const char *new_model;        /* a shape for dither_model_config_parse */
    const char *model;            /* or a folder to start from */
    const char *tokenizer;        /* of a new model, or of a folder without one: a tokenizer.json, or a folder with it;
                                     NULL: bytes, or the folder's */
    const char *const *data;      /* texts, or records (records.h) as FILE or FILE:WEIGHT; folders of either */
    size_t data_count;
    const char *val;              /* a file or folder; NULL: the last val_fraction of data, of each file of records */
    double val_fraction;          /* 0.1 */
    const char *chat_format;      /* of records; NULL: that of the model's chat template */
    const char *fields;           /* of records; NULL: the usual ones */
    dither_train_on train_on;     /* of records; assistant */
    dither_long longer;           /* of records; cut */
    const char *out;              /* folder to write; created; NULL only for a dry run */
    const char *scheme;           /* "paper-int8" */
    uint64_t steps;               /* total; 1000 */
    double epochs;                /* above 0: as many steps as this many epochs take, whatever `steps` says; 0 */
    uint64_t batch;               /* sequences a micro-batch; 8 */
    uint64_t accumulate;          /* micro-batches a step; 1 */
    uint64_t seq;                 /* tokens a sequence; 0: the model's ctx; of records, or from a model, at most 512 */
    dither_optimizer optimizer;
    double lr, min_lr;            /* 1e-3; min_lr < 0: lr / 10 */
    dither_schedule schedule;
    uint64_t warmup;              /* steps; 0 */
    double beta1, beta2;          /* 0.9, 0.95 */
    double adam_eps;              /* 1e-8 */
    double weight_decay;          /* 0.1, matrices only */
    double clip;                  /* largest global gradient norm; 0: no clipping; 1 */
    double momentum;              /* SGD; 0.9 */
    uint64_t seed;                /* 1 */
    int threads;                  /* 0: all cores */
    uint64_t eval_every;          /* steps between evaluations; 0: only at the end; 250 */
    uint64_t eval_tokens;         /* predictions of an evaluation on the way; the last one covers everything; 65536 */
    uint64_t save_every;          /* steps between checkpoints; 0: only at the end; 250 */
    uint64_t noise_every;         /* steps between probes of the noise of stochastic rounding; 0: none */
    bool auto_batch;              /* double accumulate when that noise drowns the gradient */
    uint64_t auto_batch_max;      /* to at most so many times accumulate; 16 */
    uint64_t stop_at;             /* checkpoint after this step and return; 0: run to the end */
    uint64_t memory;              /* bytes allowed; 0: what the machine has */
    bool resume;                  /* go on from out/state where there is one; a finished run returns at once */
    bool tensorboard;             /* also write out/events.out.tfevents.*, for TensorBoard */
    bool save_bf16;               /* model.safetensors in bf16 rather than f32 */
    bool dry_run;                 /* report the start event and the plan, then return; writes nothing */
    const dither_peaks *profile;  /* report where the time goes, against these peaks; NULL: off */
} dither_train_options;

/** The defaults above. */
DITHER_API void dither_train_options_init(dither_train_options *options);

/** Words of the two enums, as the command line and the files spell them. NULL past the end. */
DITHER_API const char *dither_optimizer_name(int optimizer);
DITHER_API const char *dither_schedule_name(int schedule);

/** Learning rate of step 1..steps. */
DITHER_API double dither_train_lr(const dither_train_options *options, uint64_t step);

/* ---- events ----------------------------------------------------------------------------------------------- */

typedef enum dither_event_kind {
    DITHER_EVENT_START,
    DITHER_EVENT_PLAN,       /* one row of the memory plan; only under dry_run, after START */
    DITHER_EVENT_STEP,
    DITHER_EVENT_EVAL,
    DITHER_EVENT_CHECKPOINT,
    DITHER_EVENT_END,
    DITHER_EVENT_PROFILE,    /* where the time of this process's steps went; only where asked for, before END */
    DITHER_EVENT_NOTICE      /* something the user should know; text says it */
} dither_event_kind;

typedef struct dither_event {
    dither_event_kind kind;
    uint64_t step, steps;
    /* START */
    const dither_train_options *options; /* what the run goes by, defaults and resumed values filled in */
    const dither_model_config *config;
    const char *scheme;                  /* canonical */
    const char *cpu;
    uint64_t parameters;
    uint64_t predicted_bytes;            /* peak resident memory */
    uint64_t model_bytes, state_bytes;   /* on disk: model.safetensors, and the checkpoint beside it */
    uint64_t disk_bytes;                 /* both, and one of either while it is replaced */
    uint64_t disk_free_bytes;            /* on the file system of out; UINT64_MAX: not known, or no out */
    uint64_t train_tokens, val_tokens;   /* of the data */
    uint64_t train_records, val_records; /* 0: the data are texts */
    uint64_t trained_tokens;             /* of the train_tokens; in STEP, of the step's batch */
    int threads;
    bool resumed;                        /* step says from where */
    /* PLAN: a kind's sum where plan_name is NULL */
    const char *plan_kind, *plan_name, *plan_format, *plan_lifetime;
    size_t plan_rows, plan_cols;
    uint64_t plan_bytes;
    /* STEP; tokens_per_s in END too */
    double loss;          /* nats a trained token, of this step's batch */
    double lr, grad_norm; /* the norm before clipping */
    double tokens_per_s;
    double clip_rate;     /* values a quantizer saturated / values quantized */
    const dither_clips *roles; /* [DITHER_ROLES] the same role by role, and what rounding adds to each; NULL: none */
    double noise;         /* of stochastic rounding in the gradient: E|g' - g|^2, a running estimate; 0: none yet */
    double noise_ratio;   /* that / |g|^2, of the gradient without it; Inf: nothing but noise */
    double noise_probe;   /* the same of this step's probe alone; 0: it had none */
    uint64_t accumulate;  /* micro-batches of the step, where --auto-batch may change them; else 0 */
    double eta_s;
    uint64_t rss_bytes;   /* largest so far */
    /* EVAL, END */
    double val_loss;      /* NaN where there is no held-out text */
    double bits_per_byte;
    uint64_t eval_tokens; /* predictions it is the mean of */
    /* CHECKPOINT */
    const char *path;
    /* END */
    uint64_t peak_rss_bytes;
    bool finished;        /* false: stopped at stop_at or by the stop flag */
    const dither_speed *speed; /* PROFILE */
    const char *text;     /* NOTICE */
} dither_event;

typedef void (*dither_event_fn)(void *context, const dither_event *event);

enum { DITHER_EVENT_JSON = 16384 }; /* bytes that hold every event as JSON */

/**
 * The event as one JSON object without a newline, as in out/log.jsonl. A text of more than 8 KiB is cut.
 * @param text  [size]; size below DITHER_EVENT_JSON may cut the object itself
 * @return its length, below size
 */
DITHER_API size_t dither_event_json(const dither_event *event, char *text, size_t size);

/* ---- runs ------------------------------------------------------------------------------------------------- */

/**
 * Train. `out` becomes a model folder (config.json, model.safetensors, tokenizer.json, log.jsonl) with out/state, from
 * which a later call with options->resume goes on; options that were not given (dither_train_resume_options) come from
 * there.
 * @param report  called with every event; may be NULL
 * @param stop    set to non-zero by a signal handler: the step is finished and a checkpoint written; may be NULL
 * @return DITHER_OK | DITHER_E_USAGE | DITHER_E_SHAPE | DITHER_E_FORMAT | DITHER_E_IO
 *       | DITHER_E_MEMORY   the predicted peak is above what is allowed; error says what would fit
 *       | DITHER_E_BUSY     another process works on out
 *       | DITHER_E_NUMERIC  NaN or Inf: error says step, tensor and layer; the last good checkpoint is kept
 *       | DITHER_E_STOPPED  by the stop flag; what was done is saved
 */
DITHER_API DITHER_MUST_USE dither_status dither_train(const dither_train_options *options, dither_event_fn report,
                                                      void *context, const volatile sig_atomic_t *stop,
                                                      dither_error *error);

/**
 * The options that out/state was written with, so that `--resume` needs no others.
 * @param found    whether there is a checkpoint; if not, options is left alone
 * @param storage  receives the texts that options then points to; free() it after dither_train
 */
DITHER_API DITHER_MUST_USE dither_status dither_train_resume_options(const char *out, dither_train_options *options,
                                                                     bool *found, void **storage, dither_error *error);

typedef struct dither_evaluation {
    double nats_per_token, perplexity, bits_per_byte;
    uint64_t tokens, bytes; /* predicted */
    uint64_t peak_rss_bytes; /* the most that this process ever had in memory */
    size_t records;          /* there are, 0: it is a text; of them: */
    size_t cut, skipped;     /* longer than a sequence, by what was asked */
    size_t untrained;        /* left out since nothing of them, or of what fits, is predicted */
} dither_evaluation;

/**
 * Loss of a model on a text: window i reads tokens [iT, iT+T) and predicts [iT+1, iT+T], so every token but the first
 * is predicted exactly once.
 * @param seq       T; 0: the model's ctx
 * @param limit     stop after so many predictions; 0: all
 * @param progress  called now and then with predictions done and in all; may be NULL
 * @return DITHER_OK | DITHER_E_USAGE (seq above ctx) | DITHER_E_SHAPE (fewer than two tokens; a vocabulary
 *         smaller than the text's) | DITHER_E_NUMERIC | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_evaluate(dither_model *model, const dither_corpus *corpus, size_t seq,
                                                         uint64_t limit,
                                                         void (*progress)(void *context, uint64_t done, uint64_t total),
                                                         void *context, dither_evaluation *result, dither_error *error);

/**
 * The same on records: packed to seq in the order of their files, trained tokens alone are predicted.
 * @param longer  what happens to records of more than seq + 1 tokens
 * @param limit   stop after so many predictions; 0: all
 * @return as dither_evaluate; DITHER_E_SHAPE where no record has an answer
 */
DITHER_API DITHER_MUST_USE dither_status dither_evaluate_records(
    dither_model *model, const dither_records *records, size_t seq, dither_long longer, uint64_t limit,
    void (*progress)(void *context, uint64_t done, uint64_t total), void *context, dither_evaluation *result,
    dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
