/* temporary, until the table says it */
#ifndef DITHER_MODEL_STORED_PLACE_H
#define DITHER_MODEL_STORED_PLACE_H
#include "file/gguf.h"
#include "model/table.h"
typedef struct dither_parameter_place {
    char name[DITHER_PARAMETER_NAME];
    size_t stacked;
    size_t from;
    bool transposed;
    size_t heads;
    bool plus_one;
} dither_parameter_place;
dither_parameter_place dither_place_of(const dither_model_config *config, const dither_parameter *row, bool gguf);
bool dither_place_ignored(const dither_model_config *config, const char *name, bool gguf);
dither_status dither_place_config(const dither_gguf *gguf, dither_model_config *config, dither_error *error);
#endif
