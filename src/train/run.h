/* A training run: everything it holds, from its options to its memory. */
#ifndef DITHER_TRAIN_RUN_H
#define DITHER_TRAIN_RUN_H

#include "data/samples.h"
#include "dither/cpu.h"
#include "dither/train.h"
#include "model/network.h"
#include "train/log.h"
#include "train/state.h"
#include "train/tensorboard.h"

typedef struct dither_run {
    dither_train_options options; /* defaults and resumed values filled in */
    dither_scheme scheme;
    dither_model_config config;
    dither_cpu cpu;
    int threads;
    bool resumes; /* a checkpoint was there when the run was opened */
    dither_tokenizer *tokenizer;
    dither_samples samples;
    dither_corpus *corpus, *val_corpus; /* val_corpus NULL: the tail of corpus; both NULL: the data are records */
    dither_records *records, *val_records; /* val_records NULL: the last of each file of records */
    dither_packer packing, val_packing;
    uint64_t train_tokens;
    uint64_t val_first, val_tokens; /* in the corpus or the records that hold them */
    uint64_t data_hash;             /* of the data, training and held out */

    dither_arena arena, scratch;
    dither_network network;
    dither_context context;
    float *moment1, *moment2; /* laid out as network.parameters; NULL: the optimizer has none */
    dither_batch_buffers batch;
    double *partial; /* of sums over a tensor */
    dither_clips clips, roles[DITHER_ROLES]; /* of the step; all, and role by role */
    uint64_t memory_total, predicted;
    dither_profile profile; /* context.profile points here where it is wanted */
    uint64_t profiled_steps;
    double profiled_s; /* seconds of these steps */

    uint64_t step;
    bool fresh;       /* the folder held no checkpoint when the run began */
    uint32_t found;   /* files that were in the folder then: dither_disk_files */
    uint64_t drawn; /* samples drawn so far: the number of the next */
    dither_rounding_noise noise;
    int lock; /* -1: none */
    dither_log log;
    dither_tensorboard board;
    dither_event_fn report;
    void *report_context;
    const volatile sig_atomic_t *stop;
} dither_run;

/** A run that holds nothing yet: dither_run_close() may follow, whatever fails before it is opened. */
void dither_run_init(dither_run *run);

/** Read options, scheme, shape and data, and count the memory. Writes nothing. dither_run_close() in any case. */
DITHER_MUST_USE dither_status dither_run_open(dither_run *run, const dither_train_options *options,
                                              dither_error *error);
void dither_run_close(dither_run *run);

/** Open what the options name: what to train on, and what is held out. */
DITHER_MUST_USE dither_status dither_run_open_data(dither_run *run, dither_error *error);
void dither_run_close_data(dither_run *run);

/** Set options.steps from options.epochs where that is given. @return DITHER_OK | DITHER_E_USAGE */
DITHER_MUST_USE dither_status dither_run_count_steps(dither_run *run, dither_error *error);

/** The format that chats are trained in; NULL: there are none. */
const dither_chat_format *dither_run_chat_format(const dither_run *run);

/** Notices of records that are cut or left out, of what is not held out, and of a chat format that does not fit. */
DITHER_MUST_USE dither_status dither_run_report_data(dither_run *run, dither_error *error);

/** Lay out on a dry arena: memory_total and predicted. @return DITHER_OK | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_run_count(dither_run *run, dither_error *error);

/** Take the memory that was counted and lay out on it; context too. @return DITHER_OK | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_run_take_memory(dither_run *run, dither_error *error);

/**
 * Find every tensor of the model that the run starts from, and load them.
 * @param parameters  laid out as network.parameters; NULL: they are only looked for
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT | DITHER_E_SHAPE | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_run_find_model(const dither_run *run, float *parameters, dither_error *error);

/** Lay out in run->arena, which may be dry. */
DITHER_MUST_USE dither_status dither_run_layout(dither_run *run);

/** E_MEMORY where the predicted peak is above what is allowed; error says what would fit. */
DITHER_MUST_USE dither_status dither_run_check_memory(dither_run *run, dither_error *error);

/** Take the memory, lock the folder, and start from new weights, from a model, or from a checkpoint. */
DITHER_MUST_USE dither_status dither_run_begin(dither_run *run, dither_error *error);

/** Write the model folder and the state. */
DITHER_MUST_USE dither_status dither_run_checkpoint(dither_run *run, dither_error *error);

/** Report an event to the caller and the log. */
DITHER_MUST_USE dither_status dither_run_report(dither_run *run, const dither_event *event, dither_error *error);

/** The start event, and under dry_run the plan. */
DITHER_MUST_USE dither_status dither_run_report_start(dither_run *run, dither_error *error);
void dither_run_report_plan(dither_run *run);

#endif
