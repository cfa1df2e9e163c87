/*
 * safetensors: an 8-byte little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, raw tensors.
 * The reader trusts no byte: header length, JSON, names, shapes, offsets (inside the file, no overlap, no holes) are
 * checked.
 */
#ifndef DITHER_FILE_SAFETENSORS_H
#define DITHER_FILE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

typedef enum dither_storage {
    DITHER_STORAGE_F32,
    DITHER_STORAGE_BF16,
    DITHER_STORAGE_F16,
    DITHER_STORAGE_U8,
    DITHER_STORAGE_OTHER
} dither_storage;

enum { DITHER_SAFETENSORS_DIMS = 8 };

typedef struct dither_safetensor {
    const char *name;
    const char *dtype;      /* as written in the file */
    dither_storage storage;
    size_t dims;
    uint64_t shape[DITHER_SAFETENSORS_DIMS];
    const unsigned char *data; /* into the mapping; may be unaligned */
    uint64_t bytes;
} dither_safetensor;

typedef struct dither_safetensors dither_safetensors;

/** Map a file and check its header. @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_safetensors_open(dither_safetensors **file, const char *path, dither_error *error);
/** The same on bytes in memory, which must outlive the result. @param path  for error messages */
DITHER_MUST_USE dither_status dither_safetensors_parse(dither_safetensors **file, const void *bytes, size_t size,
                                                       const char *path, dither_error *error);
void dither_safetensors_close(dither_safetensors *file);
/** Let go of the pages that are resident. */
void dither_safetensors_forget(const dither_safetensors *file);

size_t dither_safetensors_count(const dither_safetensors *file);
/** Tensor number `index` in the order of their data. */
const dither_safetensor *dither_safetensors_at(const dither_safetensors *file, size_t index);
/** The tensor of that name, or NULL. */
const dither_safetensor *dither_safetensors_find(const dither_safetensors *file, const char *name);
/** A value of the header's __metadata__, or NULL. */
const char *dither_safetensors_metadata(const dither_safetensors *file, const char *key);

/** Copy elements [first, first + count) as f32. Storage must be F32, BF16 or F16, and the range inside: an assert. */
void dither_safetensor_f32(const dither_safetensor *tensor, uint64_t first, uint64_t count, float *out);

/* ---- writing ---------------------------------------------------------------------------------------------- */

typedef struct dither_safetensor_out {
    const char *name;
    dither_storage storage;    /* F32, BF16 (rounded to nearest even from f32 data) or U8 */
    size_t dims;
    uint64_t shape[DITHER_SAFETENSORS_DIMS];
    const void *data;          /* f32 for F32 and BF16; bytes for U8 */
} dither_safetensor_out;

typedef struct dither_metadata {
    const char *key, *value;
} dither_metadata;

/**
 * Write a file: to one beside PATH, fsync, rename to PATH, fsync of the folder. Same input, same bytes. Memory: one
 * small buffer.
 * On failure that file is gone, and PATH is as it was; or new, where only the last step failed.
 * @return DITHER_OK | DITHER_E_IO
 */
DITHER_MUST_USE dither_status dither_safetensors_write(const char *path, const dither_safetensor_out *tensors,
                                                       size_t count, const dither_metadata *metadata,
                                                       size_t metadata_count, dither_error *error);

/*
 * The same file piece by piece: open with what the tensors are (their data is not read, and F16 is possible too); then
 * their bytes in order, as they are to stand there, in pieces of any size; then commit.
 */
typedef struct dither_safetensors_writer dither_safetensors_writer;

DITHER_MUST_USE dither_status dither_safetensors_writer_open(dither_safetensors_writer **writer, const char *path,
                                                             const dither_safetensor_out *tensors, size_t count,
                                                             const dither_metadata *metadata, size_t metadata_count,
                                                             dither_error *error);
DITHER_MUST_USE dither_status dither_safetensors_writer_data(dither_safetensors_writer *writer, const void *bytes,
                                                             size_t size, dither_error *error);
/** Put the file in place and close the writer, also on failure. All bytes must have been given: an assert. */
DITHER_MUST_USE dither_status dither_safetensors_writer_commit(dither_safetensors_writer *writer, dither_error *error);
/** Close without a file. NULL is fine. */
void dither_safetensors_writer_abandon(dither_safetensors_writer *writer);

#endif
