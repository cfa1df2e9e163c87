/* temporary, until the config is read by branch arch */
#ifndef DITHER_MODEL_STORED_PLACE_H
#define DITHER_MODEL_STORED_PLACE_H
#include "dither/model.h"
#include "file/gguf.h"
#include "model/network.h"
dither_status dither_network_extend(dither_network *network, const dither_context *context, bool exact,
                                    dither_cache *cache, size_t position, size_t count, const uint32_t *ids,
                                    float *logits, dither_error *error);
dither_status dither_place_config(const dither_gguf *gguf, dither_model_config *config, dither_error *error);
#endif
