/*
 * The architectures: a row of names and of switches each. Adding one that the block can compute is adding a row here,
 * its tensors' names in model/table.c, and the keys of its files in file/config.c and file/config_gguf.c.
 */
#ifndef DITHER_FILE_ARCHITECTURES_H
#define DITHER_FILE_ARCHITECTURES_H

#include "dither/model.h"

typedef struct dither_architecture_row {
    const char *name;       /* our word */
    const char *gguf;       /* `general.architecture` of GGUF files: llama for mistral too, which has a window */
    const char *model_type; /* of config.json */
    const char *class_name; /* what transformers opens it with */
    bool plus_one;          /* Hugging Face files hold the weights of norms less 1 */
    bool permuted;          /* GGUF files hold q and k with the rows of each head interleaved */
    bool attention_bias, mlp_bias; /* models of it differ in these biases; else they are as in preset */
    dither_model_config preset;    /* its switches, and a new model's values */
} dither_architecture_row;

const dither_architecture_row *dither_architecture_row_of(dither_architecture architecture);

/** By our word. @return NULL: unknown */
const dither_architecture_row *dither_architecture_find(const char *name);

/** By config.json's model_type. */
const dither_architecture_row *dither_architecture_of_type(const char *model_type);

#endif
