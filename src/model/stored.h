/*
 * Where the parameters of a model lie in its file: a folder's model.safetensors or shards, or a GGUF file. Training
 * reads them from there, row by row, into its block; an opened model leaves its matrices where they are.
 */
#ifndef DITHER_MODEL_STORED_H
#define DITHER_MODEL_STORED_H

#include "dither/model.h"
#include "file/gguf.h"
#include "model/table.h"
#include "quant/stored_rows.h"

typedef struct dither_source dither_source;

/**
 * Open a model folder, a .safetensors file of one, or a GGUF file; mapped, so that only what is read is resident.
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_source_open(dither_source **source, const char *path, dither_error *error);
/** Everything that was found in it is gone then. NULL is fine. */
void dither_source_close(dither_source *source);
/** Let go of what is resident of its files: what has been read and is not needed soon. */
void dither_source_forget(const dither_source *source);

/** The shape it says, from config.json or from a GGUF file's metadata; checked. */
DITHER_MUST_USE dither_status dither_source_config(const dither_source *source, dither_model_config *config,
                                                   dither_error *error);

/** The GGUF file that it is, or NULL. */
const dither_gguf *dither_source_gguf(const dither_source *source);

/**
 * Find every parameter, and check that it has its shape and a type that can be read, and that the file holds no other
 * tensors. A tied model may carry the head's matrix too; it is not read.
 * @param table   [count] rows of the config's table
 * @param stored  [count], written: rows as ours, whatever the file's order is
 * @return DITHER_OK | DITHER_E_SHAPE (a tensor missing, misshapen or too much) | DITHER_E_FORMAT (its type)
 */
DITHER_MUST_USE dither_status dither_source_find(const dither_source *source, const dither_model_config *config,
                                                 const dither_parameter *table, size_t count, dither_stored *stored,
                                                 dither_error *error);

/**
 * Read parameters into a block, rows at the table's offsets, pieces in parallel; those at DITHER_OFFSET_STORED are left
 * where they are.
 */
void dither_stored_load(const dither_parameter *table, size_t count, const dither_stored *stored, float *block,
                        int threads);

#endif
