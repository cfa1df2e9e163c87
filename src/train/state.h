/*
 * The state of a run between two steps: OUT/state/checkpoint.safetensors, one file, replaced by one rename. Its tensors
 * are the weights and the optimizer's moments in f32 under the table's names; its metadata is one JSON text with
 * everything else.
 */
#ifndef DITHER_TRAIN_STATE_H
#define DITHER_TRAIN_STATE_H

#include "dither/train.h"
#include "file/safetensors.h"
#include "model/network.h"
#include "train/rounding_noise.h"

enum { DITHER_STATE_BLOCKS = 3 };

/* What a checkpoint is made from and read into: blocks laid out as network->parameters. */
typedef struct dither_state {
    const dither_network *network;
    float *block[DITHER_STATE_BLOCKS]; /* weights, first moment, second moment; NULL: the optimizer has none */
    uint64_t step;
    uint64_t samples;   /* windows drawn so far */
    uint64_t data_hash; /* of the training text and the held-out text */
    dither_rounding_noise noise;
} dither_state;

/** Write OUT/state/checkpoint.safetensors. */
DITHER_MUST_USE dither_status dither_state_write(const char *out, const dither_state *state,
                                                 const dither_train_options *options, dither_error *error);

typedef struct dither_state_file {
    dither_safetensors *file; /* NULL: there is no checkpoint */
    char path[4096];
    uint64_t step, samples, data_hash;
    dither_rounding_noise noise;
    dither_model_config config;
    dither_train_options options; /* those of the run that wrote it */
    void *storage;                /* texts of options */
} dither_state_file;

/** Open OUT's checkpoint and read everything but the tensors. @return DITHER_OK, also where there is none | DITHER_E_IO
 * | DITHER_E_FORMAT */
DITHER_MUST_USE dither_status dither_state_open(dither_state_file *file, const char *out, dither_error *error);
void dither_state_close(dither_state_file *file);

/** Check shapes and copy the tensors into state's blocks; step, samples and noise too. */
DITHER_MUST_USE dither_status dither_state_load(const dither_state_file *file, dither_state *state,
                                                dither_error *error);

#endif
