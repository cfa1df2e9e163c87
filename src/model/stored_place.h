/* temporary, until the config is read by branch arch */
#ifndef DITHER_MODEL_STORED_PLACE_H
#define DITHER_MODEL_STORED_PLACE_H
#include "dither/model.h"
#include "file/gguf.h"
dither_status dither_place_config(const dither_gguf *gguf, dither_model_config *config, dither_error *error);
#endif
