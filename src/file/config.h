/* config.json of a Hugging Face llama folder <-> dither_model_config. */
#ifndef DITHER_FILE_CONFIG_H
#define DITHER_FILE_CONFIG_H

#include "dither/model.h"

/**
 * Read FOLDER/config.json. model_type must be "llama"; a field that would change the result and is not supported (other
 * activation, biases, RoPE scaling, attention_bias, mlp_bias, ...) is refused by name. The shape itself is checked by
 * dither_model_config_check.
 */
DITHER_MUST_USE dither_status dither_config_read(const char *folder, dither_model_config *config, dither_error *error);

/** Write FOLDER/config.json so that transformers opens it. @param bf16  torch_dtype of the weights beside it */
DITHER_MUST_USE dither_status dither_config_write(const char *folder, const dither_model_config *config, bool bf16,
                                                  dither_error *error);

#endif
