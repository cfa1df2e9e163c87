/* The weights of a folder: model.safetensors, or files of a limited size with an index. */
#ifndef DITHER_MODEL_EXPORT_SHARDS_H
#define DITHER_MODEL_EXPORT_SHARDS_H

#include "file/safetensors.h"
#include "model/export_plan.h"

typedef struct dither_export_shards {
    const dither_export_plan *plan;
    const char *folder;
    uint64_t limit;        /* bytes of a file, unless one tensor is larger */
    size_t files;
    size_t next;           /* tensor that the next file begins with */
    size_t file;           /* number of the one being written, from 0 */
    uint64_t left;         /* bytes of it that are to come */
    dither_safetensors_writer *writer;
} dither_export_shards;

/** Count the files. @param folder  must stay until the end */
DITHER_MUST_USE dither_status dither_export_shards_open(dither_export_shards *shards, const dither_export_plan *plan,
                                                        const char *folder, uint64_t limit, dither_error *error);
/** The next bytes of the plan's tensors, in order; a piece does not reach into the next tensor. */
DITHER_MUST_USE dither_status dither_export_shards_data(dither_export_shards *shards, const void *bytes, size_t size,
                                                        dither_error *error);
/** Close the last file, and write the index where there are several. */
DITHER_MUST_USE dither_status dither_export_shards_commit(dither_export_shards *shards, dither_error *error);
void dither_export_shards_abandon(dither_export_shards *shards);

#endif
