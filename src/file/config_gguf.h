/* The metadata of a GGUF file -> dither_model_config. */
#ifndef DITHER_FILE_CONFIG_GGUF_H
#define DITHER_FILE_CONFIG_GGUF_H

#include "dither/model.h"
#include "file/gguf.h"

/**
 * Read a model's config from the keys of its architecture, and from which tensors there are: a head, biases, and
 * rope_freqs.weight, which is how Llama 3's scaling of positions is stored. Every key of the architecture is a number
 * of the model, so one that is not known is refused by name; so are values that this version does not compute. The
 * shape itself is checked by dither_model_config_check.
 * @return DITHER_OK | DITHER_E_FORMAT
 */
DITHER_MUST_USE dither_status dither_config_from_gguf(const dither_gguf *file, dither_model_config *config,
                                                      dither_error *error);

/**
 * What Llama 3's scaling divides each frequency by: rope_freqs.weight. Of DITHER_ROPE_SCALING_LLAMA3 alone.
 * @param factors  [head_dim/2], written
 */
void dither_config_rope_factors(const dither_model_config *config, float *factors);

#endif
