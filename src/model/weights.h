/* A network's weights and a model folder's files. */
#ifndef DITHER_MODEL_WEIGHTS_H
#define DITHER_MODEL_WEIGHTS_H

#include "file/safetensors.h"
#include "model/network.h"

/** Open FOLDER/model.safetensors. @param path  receives its path, for error messages */
DITHER_MUST_USE dither_status dither_weights_open(dither_safetensors **file, const char *folder, char *path,
                                                  size_t size, dither_error *error);

/**
 * Check that a file holds exactly the tensors of the table, each with its shape, in f32, bf16 or f16, and beside them
 * only what dither_table_hf_name says no result depends on; that is not read.
 * @param prefix  of the table's names in a file of ours; NULL: a file of Hugging Face
 */
DITHER_MUST_USE dither_status dither_weights_check(const dither_network *network, const dither_safetensors *file,
                                                   const char *prefix, const char *path, dither_error *error);

/** Copy what dither_weights_check has passed into a block laid out as network->parameters. */
void dither_weights_load(const dither_network *network, const dither_safetensors *file, const char *prefix,
                         float *block);

/**
 * Describe a block for dither_safetensors_write.
 * @param tensors  [network->table_count]
 * @param names    [network->table_count], storage for the names, which tensors point into
 */
enum { DITHER_WEIGHTS_NAME = DITHER_PARAMETER_NAME };
void dither_weights_describe(const dither_network *network, const float *block, const char *prefix,
                             dither_storage storage, dither_safetensor_out *tensors,
                             char (*names)[DITHER_WEIGHTS_NAME]);

/** Write FOLDER/model.safetensors. */
DITHER_MUST_USE dither_status dither_weights_write(const dither_network *network, const char *folder, bool bf16,
                                                   dither_error *error);

#endif
