/*
 * The tensors of a model folder as one: model.safetensors, or the shards that model.safetensors.index.json names.
 *
 *     {"metadata": {...}, "weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors", ...}}
 *
 * Trusts no byte: shards are files beside the index, all of them there; every tensor is where the index says, and no
 * shard holds another one.
 */
#ifndef DITHER_FILE_SAFETENSORS_SHARDS_H
#define DITHER_FILE_SAFETENSORS_SHARDS_H

#include "file/safetensors.h"

typedef struct dither_shards dither_shards;

/**
 * Open and map what a path stands for: a folder (with both files the single one counts, as for transformers), an index
 * (*.json), or one safetensors file.
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_shards_open(dither_shards **shards, const char *path, dither_error *error);
void dither_shards_close(dither_shards *shards);

size_t dither_shards_count(const dither_shards *shards);
/** Tensor number `i`: shard by shard in the order of their names, each in the order of its data. */
const dither_safetensor *dither_shards_at(const dither_shards *shards, size_t i);
/** The tensor of that name, or NULL. */
const dither_safetensor *dither_shards_find(const dither_shards *shards, const char *name);
/** The file that a tensor of these shards lies in, for error messages. */
const char *dither_shards_path(const dither_shards *shards, const dither_safetensor *tensor);

/** How many files there are, and each of them. */
size_t dither_shards_files(const dither_shards *shards);
const dither_safetensors *dither_shards_file(const dither_shards *shards, size_t i);

#endif
