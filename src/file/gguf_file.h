/* An opened GGUF file, as its reader leaves it and its getters find it. */
#ifndef DITHER_FILE_GGUF_FILE_H
#define DITHER_FILE_GGUF_FILE_H

#include "file/gguf.h"
#include "file/mapping.h"

struct dither_gguf {
    dither_mapping mapping;
    char *path;
    const unsigned char *bytes;
    size_t size;
    uint32_t version;
    dither_gguf_value *values;
    const dither_gguf_value **by_key;
    size_t value_count;
    dither_gguf_tensor *tensors;
    const dither_gguf_tensor **by_name;
    size_t tensor_count;
    char *names; /* of the tensors, with a 0 behind each */
};

/** The value of a key, or NULL. */
const dither_gguf_value *dither_gguf_value_of(const dither_gguf *file, const char *key);

/** The order of by_key, of pointers to pointers to values. */
int dither_gguf_compare_keys(const void *a, const void *b);

/** DITHER_E_FORMAT at a byte of a file. */
dither_status dither_gguf_fail(dither_error *error, const char *path, uint64_t offset, const char *format, ...)
    DITHER_PRINTF(4, 5);

#endif
