/*
 * GGUF, versions 2 and 3, little-endian: metadata of typed values under names, then descriptions of tensors, then their
 * bytes. The reader trusts no byte: counts, lengths, names, types, shapes and offsets (aligned, inside the file, no
 * overlap) are checked when a file is opened, so that everything handed out lies inside it. Strings are checked for
 * their length alone, since vocabularies hold any bytes.
 */
#ifndef DITHER_FILE_GGUF_H
#define DITHER_FILE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"
#include "quant/block.h"

/* Types of metadata values, as numbered in files. */
typedef enum dither_gguf_type {
    DITHER_GGUF_U8,
    DITHER_GGUF_I8,
    DITHER_GGUF_U16,
    DITHER_GGUF_I16,
    DITHER_GGUF_U32,
    DITHER_GGUF_I32,
    DITHER_GGUF_F32,
    DITHER_GGUF_BOOL,
    DITHER_GGUF_STRING,
    DITHER_GGUF_ARRAY,
    DITHER_GGUF_U64,
    DITHER_GGUF_I64,
    DITHER_GGUF_F64,
    DITHER_GGUF_TYPES
} dither_gguf_type;

enum { DITHER_GGUF_DIMS = 4 };

typedef struct dither_gguf_tensor {
    const char *name;
    dither_block_type type;
    size_t dims;
    uint64_t shape[DITHER_GGUF_DIMS]; /* shape[0] is the length of a row; 1 beyond dims */
    const unsigned char *data;        /* into the mapping */
    uint64_t bytes;
} dither_gguf_tensor;

typedef struct dither_gguf dither_gguf;

/**
 * Map a file and check all of it but the tensors' values and the strings' bytes.
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT (also a tensor of a type that cannot be read: error names both) |
 *         DITHER_E_MEMORY
 *
 * Cost: reads what stands before the tensors once. Memory: some tens of bytes a key and a tensor, none a string.
 */
DITHER_MUST_USE dither_status dither_gguf_open(dither_gguf **file, const char *path, dither_error *error);
/** The same on bytes in memory, which must outlive the result. @param path  for error messages */
DITHER_MUST_USE dither_status dither_gguf_parse(dither_gguf **file, const void *bytes, size_t size, const char *path,
                                                dither_error *error);
void dither_gguf_close(dither_gguf *file);
/** Let go of the pages that are resident. */
void dither_gguf_forget(const dither_gguf *file);
/** Whether a file begins as GGUF files do; false where it cannot be read. */
bool dither_gguf_is(const char *path);

/** As given to open. */
const char *dither_gguf_path(const dither_gguf *file);
uint32_t dither_gguf_version(const dither_gguf *file);

size_t dither_gguf_tensors(const dither_gguf *file);
/** Tensor number `i` in the file's order. */
const dither_gguf_tensor *dither_gguf_tensor_at(const dither_gguf *file, size_t i);
/** The tensor of that name, or NULL. */
const dither_gguf_tensor *dither_gguf_find(const dither_gguf *file, const char *name);

/* ---- metadata --------------------------------------------------------------------------------------------- */
/*
 * The value of a key. @param found  NULL: the key must be there; else receives whether it is, and *value is left where
 * it is not. A value of another type, or out of range, is DITHER_E_FORMAT with the file, its byte and the key.
 */

/** Any integer type. */
DITHER_MUST_USE dither_status dither_gguf_u64(const dither_gguf *file, const char *key, uint64_t min, uint64_t max,
                                              uint64_t *value, bool *found, dither_error *error);
/** f32 or f64, finite; or an integer. */
DITHER_MUST_USE dither_status dither_gguf_f64(const dither_gguf *file, const char *key, double *value, bool *found,
                                              dither_error *error);
DITHER_MUST_USE dither_status dither_gguf_bool(const dither_gguf *file, const char *key, bool *value, bool *found,
                                               dither_error *error);
/** Bytes inside the mapping: no 0 at the end, and of any kind. */
DITHER_MUST_USE dither_status dither_gguf_string(const dither_gguf *file, const char *key, const char **text,
                                                 size_t *length, bool *found, dither_error *error);
/** A copy that the caller frees: valid UTF-8 with a 0 at its end and nowhere else. NULL where it is not found. */
DITHER_MUST_USE dither_status dither_gguf_text(const dither_gguf *file, const char *key, char **text, bool *found,
                                               dither_error *error);

typedef struct dither_gguf_array {
    uint32_t type;           /* of its elements, a dither_gguf_type */
    uint64_t count;
    const unsigned char *at; /* the first element; unaligned; numbers stand side by side */
    const unsigned char *end;
} dither_gguf_array;

/** @param type  what its elements must be */
DITHER_MUST_USE dither_status dither_gguf_array_of(const dither_gguf *file, const char *key, uint32_t type,
                                                   dither_gguf_array *array, bool *found, dither_error *error);

/**
 * Walk an array of strings.
 * @param cursor  starts at array->at
 * @return false after the last
 */
bool dither_gguf_next_string(const dither_gguf_array *array, const unsigned char **cursor, const char **text,
                             size_t *length);

/** Bytes of a number or truth value; 0 for strings and arrays. */
size_t dither_gguf_type_bytes(uint32_t type);
const char *dither_gguf_type_name(uint32_t type);

typedef struct dither_gguf_value {
    const char *key; /* inside the mapping: no 0 at its end; printable UTF-8 */
    size_t key_length;
    uint32_t type;
    const unsigned char *at; /* what stands behind the type, `bytes` long: what the writer's _raw takes */
    size_t bytes;
} dither_gguf_value;

size_t dither_gguf_metadata(const dither_gguf *file);
/** Value number `i` in the file's order. */
const dither_gguf_value *dither_gguf_metadata_at(const dither_gguf *file, size_t i);

/* ---- writing ---------------------------------------------------------------------------------------------- */
/*
 * A file of version 3, in this order: open; metadata; descriptions of the tensors; their bytes, tensor by tensor, in
 * pieces of any size; commit. To a temporary file beside PATH, renamed at the end. Memory: what stands before the
 * tensors. What goes wrong is kept and returned by the next function that returns a status; until then calls do
 * nothing.
 */

typedef struct dither_gguf_writer dither_gguf_writer;

DITHER_MUST_USE dither_status dither_gguf_writer_open(dither_gguf_writer **writer, const char *path,
                                                      dither_error *error);

/** Metadata; a key is given once. */
void dither_gguf_writer_u32(dither_gguf_writer *writer, const char *key, uint32_t value);
void dither_gguf_writer_f32(dither_gguf_writer *writer, const char *key, float value);
void dither_gguf_writer_bool(dither_gguf_writer *writer, const char *key, bool value);
void dither_gguf_writer_string(dither_gguf_writer *writer, const char *key, const char *string, size_t length);
/** A value as dither_gguf_metadata_at gives it. general.alignment is left out: this file has the usual 32. */
void dither_gguf_writer_raw(dither_gguf_writer *writer, const dither_gguf_value *value);
/** An array of numbers that stand side by side. */
void dither_gguf_writer_numbers(dither_gguf_writer *writer, const char *key, uint32_t type, uint64_t count,
                                const void *numbers);
/** An array of `count` strings, which the next `count` calls of _item give. */
void dither_gguf_writer_strings(dither_gguf_writer *writer, const char *key, uint64_t count);
void dither_gguf_writer_item(dither_gguf_writer *writer, const char *string, size_t length);

/** Describe the next tensor. @param shape  [dims], shape[0] the length of a row: a multiple of the type's block */
void dither_gguf_writer_tensor(dither_gguf_writer *writer, const char *name, dither_block_type type, size_t dims,
                               const uint64_t *shape);

/** The next bytes of the tensors, in the order of their descriptions; a piece ends in the tensor that it begins in. */
DITHER_MUST_USE dither_status dither_gguf_writer_data(dither_gguf_writer *writer, const void *bytes, size_t size,
                                                      dither_error *error);
/** Put the file in place and close the writer, also on failure. All bytes of all tensors must have been given. */
DITHER_MUST_USE dither_status dither_gguf_writer_commit(dither_gguf_writer *writer, dither_error *error);
/** Close without a file. NULL is fine. */
void dither_gguf_writer_abandon(dither_gguf_writer *writer);

#endif
