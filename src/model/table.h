/*
 * The parameter table: what a model of a given config consists of, and where each part of it lies in files. Matrices
 * that read the same input follow one another without a gap, so that one product serves them, and so do their biases:
 * query, key, value; gate, up.
 */
#ifndef DITHER_MODEL_TABLE_H
#define DITHER_MODEL_TABLE_H

#include "dither/model.h"

enum { DITHER_PARAMETER_NAME = 64, DITHER_LAYER_NONE = -1 };

#define DITHER_OFFSET_STORED SIZE_MAX /* of a parameter that stays where its file has it */

/* Which part of its layer a parameter is. */
typedef enum dither_parameter_role {
    DITHER_PARAMETER_EMBEDDING,
    DITHER_PARAMETER_POSITIONS,
    DITHER_PARAMETER_NORM1,
    DITHER_PARAMETER_NORM1_BIAS,
    DITHER_PARAMETER_Q,
    DITHER_PARAMETER_K,
    DITHER_PARAMETER_V,
    DITHER_PARAMETER_Q_BIAS,
    DITHER_PARAMETER_K_BIAS,
    DITHER_PARAMETER_V_BIAS,
    DITHER_PARAMETER_Q_NORM, /* [head_dim], of every head */
    DITHER_PARAMETER_K_NORM,
    DITHER_PARAMETER_O,
    DITHER_PARAMETER_O_BIAS,
    DITHER_PARAMETER_POST_NORM1, /* of what attention adds */
    DITHER_PARAMETER_NORM2,
    DITHER_PARAMETER_NORM2_BIAS,
    DITHER_PARAMETER_GATE,
    DITHER_PARAMETER_UP,
    DITHER_PARAMETER_GATE_BIAS,
    DITHER_PARAMETER_UP_BIAS,
    DITHER_PARAMETER_DOWN,
    DITHER_PARAMETER_DOWN_BIAS,
    DITHER_PARAMETER_POST_NORM2, /* of what the feed-forward block adds */
    DITHER_PARAMETER_NORM,
    DITHER_PARAMETER_NORM_BIAS,
    DITHER_PARAMETER_HEAD
} dither_parameter_role;

/*
 * Where a parameter [rows][cols] lies in a kind of file: element (i, j) is, of the file's tensor,
 *
 *     [from + i][j], or [j][from + i] where it is transposed; of a vector, whose rows are 1, [from + j]
 *
 * with i in the order of the file: where heads is not 0, row h d + k + half d/2 of ours (half 0 or 1, d rows a head) is
 * row h d + 2 k + half of the file's, and a vector's elements likewise.
 */
typedef struct dither_parameter_place {
    char name[DITHER_PARAMETER_NAME];
    size_t stacked; /* rows that the tensor has in all (of a vector, elements); several parameters lie in it, one behind
                     * the other, where these are more than the parameter's */
    size_t from;
    bool transposed;
    size_t heads;  /* whose rows are interleaved; 0: none are */
    bool plus_one; /* ours is the file's value + 1 */
} dither_parameter_place;

typedef struct dither_parameter {
    char name[DITHER_PARAMETER_NAME]; /* our own, unique: as llama's files have it where they do */
    dither_parameter_role role;
    long layer;        /* DITHER_LAYER_NONE outside the layers */
    size_t rows, cols; /* a vector has rows 1 */
    size_t offset;     /* elements from the front of the parameters' block */
    bool vector;       /* norms and biases: one dimension in files, no weight decay */
    bool residual;     /* projects back onto the residual stream: smaller initial values */
    float initial;     /* of a vector: 1 or 0 */
    dither_parameter_place hf, gguf;
} dither_parameter;

enum { DITHER_SHAPE_TEXT = 1024 };

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

/**
 * The name that the table has for a tensor of a Hugging Face file: some begin otherwise than what transformers writes
 * today (gpt2 without "transformer.", gemma3 beside its vision model).
 * @param name  as in the file
 * @param text  [DITHER_PARAMETER_NAME]
 * @return `name` itself or `text`; NULL: a tensor that no result depends on (masks, tables of angles, a tied head, the
 *         vision model)
 */
const char *dither_table_hf_name(const dither_model_config *config, const char *name, char *text);

/** Whether a tensor of a GGUF file is no parameter and may be there all the same: rope_freqs.weight, which the config
 * is read from. */
bool dither_table_gguf_ignored(const char *name);

#endif
