/*
 * The parameter table: what a model of a given shape consists of, under the names of Hugging Face llama files. Matrices
 * that read the same input follow one another without a gap, so that one product serves them: query, key, value; gate,
 * up.
 */
#ifndef DITHER_MODEL_TABLE_H
#define DITHER_MODEL_TABLE_H

#include "dither/model.h"

enum { DITHER_PARAMETER_NAME = 64, DITHER_LAYER_NONE = -1 };

#define DITHER_OFFSET_STORED SIZE_MAX /* of a parameter that stays where its file has it */

/* Which matrix of its layer a parameter is. */
typedef enum dither_parameter_role {
    DITHER_PARAMETER_EMBEDDING,
    DITHER_PARAMETER_NORM1,
    DITHER_PARAMETER_Q,
    DITHER_PARAMETER_K,
    DITHER_PARAMETER_V,
    DITHER_PARAMETER_O,
    DITHER_PARAMETER_NORM2,
    DITHER_PARAMETER_GATE,
    DITHER_PARAMETER_UP,
    DITHER_PARAMETER_DOWN,
    DITHER_PARAMETER_NORM,
    DITHER_PARAMETER_HEAD
} dither_parameter_role;

typedef struct dither_parameter {
    char name[DITHER_PARAMETER_NAME];
    dither_parameter_role role;
    long layer;        /* DITHER_LAYER_NONE outside the layers */
    size_t rows, cols; /* a vector has rows 1 */
    size_t offset;     /* elements from the front of the parameters' block */
    bool vector;       /* norms: one dimension in files, no weight decay */
    bool residual;     /* projects back onto the residual stream: smaller initial values */
} dither_parameter;

enum { DITHER_SHAPE_TEXT = 384 };

/** The shape as dither_model_config_parse reads it, every key given, into text[DITHER_SHAPE_TEXT]. */
void dither_shape_print(const dither_model_config *config, char *text);

/** How many rows the table has for this shape. */
size_t dither_table_count(const dither_model_config *config);

/** Row `index` but for its offset, which dither_table_fill knows. */
dither_parameter dither_table_at(const dither_model_config *config, size_t index);

/**
 * Fill `table` (dither_table_count() rows), with offsets.
 * @return elements of the whole block, gaps for 64-byte alignment included
 */
size_t dither_table_fill(const dither_model_config *config, dither_parameter *table);

#endif
