#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/atomic.h"
#include "file/gguf.h"

enum { ALIGNMENT = 32, BUFFER = 1 << 16 };
static const char ALIGNMENT_KEY[] = "general.alignment";

/* Bytes that grow. */
typedef struct text {
    unsigned char *bytes;
    size_t used, capacity;
} text;

struct dither_gguf_writer {
    dither_atomic file;
    dither_status status; /* of what went wrong first */
    dither_error error;
    text values, tensors; /* what stands before the tensors' bytes, but for the counts */
    uint64_t value_count, tensor_count;
    uint64_t items_left;  /* of an array of strings */
    uint64_t *sizes;      /* bytes of each tensor */
    size_t sizes_capacity;
    uint64_t end;         /* offset behind the last tensor described, aligned */
    uint64_t current;     /* the tensor whose bytes come next */
    uint64_t given;       /* of its bytes */
    bool head_written;
    size_t used;
    unsigned char buffer[BUFFER];
};

static void fail(dither_gguf_writer *writer, dither_status status, const char *words)
{
    if (writer->status == DITHER_OK)
        writer->status = dither_fail(&writer->error, status, writer->file.path, "%s", words);
}

static void append(dither_gguf_writer *writer, text *to, const void *bytes, size_t size)
{
    if (writer->status != DITHER_OK || size == 0)
        return;
    if (size > to->capacity - to->used) {
        const size_t capacity = 2 * to->capacity > to->used + size ? 2 * to->capacity : to->used + size + 1024;
        unsigned char *grown = realloc(to->bytes, capacity);
        if (grown == NULL) {
            fail(writer, DITHER_E_MEMORY, "no memory for its metadata");
            return;
        }
        to->bytes = grown;
        to->capacity = capacity;
    }
    memcpy(to->bytes + to->used, bytes, size);
    to->used += size;
}

static void append_string(dither_gguf_writer *writer, text *to, const char *string, size_t length)
{
    const uint64_t stored = length;
    append(writer, to, &stored, sizeof stored);
    append(writer, to, string, length);
}

dither_status dither_gguf_writer_open(dither_gguf_writer **writer, const char *path, dither_error *error)
{
    *writer = NULL;
    dither_gguf_writer *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory to write it");
    const dither_status status = dither_atomic_open(&opened->file, path, error);
    if (status == DITHER_OK)
        *writer = opened;
    else
        free(opened);
    return status;
}

/* ---- metadata --------------------------------------------------------------------------------------------- */

static void begin_value(dither_gguf_writer *writer, const char *key, size_t key_length, uint32_t type)
{
    assert(writer->tensor_count == 0 && writer->items_left == 0);
    append_string(writer, &writer->values, key, key_length);
    append(writer, &writer->values, &type, sizeof type);
    writer->value_count++;
}

void dither_gguf_writer_u32(dither_gguf_writer *writer, const char *key, uint32_t value)
{
    begin_value(writer, key, strlen(key), DITHER_GGUF_U32);
    append(writer, &writer->values, &value, sizeof value);
}

void dither_gguf_writer_f32(dither_gguf_writer *writer, const char *key, float value)
{
    begin_value(writer, key, strlen(key), DITHER_GGUF_F32);
    append(writer, &writer->values, &value, sizeof value);
}

void dither_gguf_writer_bool(dither_gguf_writer *writer, const char *key, bool value)
{
    const unsigned char byte = value;
    begin_value(writer, key, strlen(key), DITHER_GGUF_BOOL);
    append(writer, &writer->values, &byte, sizeof byte);
}

void dither_gguf_writer_string(dither_gguf_writer *writer, const char *key, const char *string, size_t length)
{
    begin_value(writer, key, strlen(key), DITHER_GGUF_STRING);
    append_string(writer, &writer->values, string, length);
}

void dither_gguf_writer_raw(dither_gguf_writer *writer, const dither_gguf_value *value)
{
    if (value->key_length == sizeof ALIGNMENT_KEY - 1 && memcmp(value->key, ALIGNMENT_KEY, value->key_length) == 0)
        return;
    begin_value(writer, value->key, value->key_length, value->type);
    append(writer, &writer->values, value->at, value->bytes);
}

static void begin_array(dither_gguf_writer *writer, const char *key, uint32_t type, uint64_t count)
{
    begin_value(writer, key, strlen(key), DITHER_GGUF_ARRAY);
    append(writer, &writer->values, &type, sizeof type);
    append(writer, &writer->values, &count, sizeof count);
}

void dither_gguf_writer_numbers(dither_gguf_writer *writer, const char *key, uint32_t type, uint64_t count,
                                const void *numbers)
{
    assert(dither_gguf_type_bytes(type) > 0);
    begin_array(writer, key, type, count);
    append(writer, &writer->values, numbers, (size_t)count * dither_gguf_type_bytes(type));
}

void dither_gguf_writer_strings(dither_gguf_writer *writer, const char *key, uint64_t count)
{
    begin_array(writer, key, DITHER_GGUF_STRING, count);
    writer->items_left = count;
}

void dither_gguf_writer_item(dither_gguf_writer *writer, const char *string, size_t length)
{
    assert(writer->items_left > 0);
    append_string(writer, &writer->values, string, length);
    writer->items_left--;
}

/* ---- tensors ---------------------------------------------------------------------------------------------- */

static uint64_t align_up(uint64_t offset)
{
    return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void remember_size(dither_gguf_writer *writer, uint64_t bytes)
{
    if (writer->status == DITHER_OK && writer->tensor_count == writer->sizes_capacity) {
        const size_t capacity = writer->sizes_capacity > 0 ? 2 * writer->sizes_capacity : 256;
        uint64_t *grown = realloc(writer->sizes, capacity * sizeof *grown);
        if (grown == NULL) {
            fail(writer, DITHER_E_MEMORY, "no memory for its tensors");
            return;
        }
        writer->sizes = grown;
        writer->sizes_capacity = capacity;
    }
    if (writer->status == DITHER_OK)
        writer->sizes[writer->tensor_count++] = bytes;
}

void dither_gguf_writer_tensor(dither_gguf_writer *writer, const char *name, dither_block_type type, size_t dims,
                               const uint64_t *shape)
{
    assert(dims > 0 && dims <= DITHER_GGUF_DIMS && writer->items_left == 0 && !writer->head_written);
    const uint32_t stored_dims = (uint32_t)dims, number = dither_block_info_of(type)->gguf;
    uint64_t bytes = dither_block_row_bytes(type, (size_t)shape[0]);
    assert(bytes != SIZE_MAX);
    for (size_t d = 1; d < dims; d++) {
        const bool overflow = __builtin_mul_overflow(bytes, shape[d], &bytes);
        assert(!overflow);
        (void)overflow;
    }
    append_string(writer, &writer->tensors, name, strlen(name));
    append(writer, &writer->tensors, &stored_dims, sizeof stored_dims);
    append(writer, &writer->tensors, shape, dims * sizeof *shape);
    append(writer, &writer->tensors, &number, sizeof number);
    append(writer, &writer->tensors, &writer->end, sizeof writer->end);
    remember_size(writer, bytes);
    writer->end = align_up(writer->end + bytes);
}

static void flush(dither_gguf_writer *writer)
{
    if (writer->status == DITHER_OK && writer->used > 0)
        writer->status = dither_atomic_write(&writer->file, writer->buffer, writer->used, &writer->error);
    writer->used = 0;
}

static void put(dither_gguf_writer *writer, const void *bytes, size_t size)
{
    if (size > BUFFER - writer->used)
        flush(writer);
    if (size > BUFFER) {
        if (writer->status == DITHER_OK)
            writer->status = dither_atomic_write(&writer->file, bytes, size, &writer->error);
    } else if (size > 0) {
        memcpy(writer->buffer + writer->used, bytes, size);
        writer->used += size;
    }
}

/* From `offset` to the next multiple of the alignment. */
static void pad(dither_gguf_writer *writer, uint64_t offset)
{
    static const unsigned char zeros[ALIGNMENT];
    put(writer, zeros, (size_t)(align_up(offset) - offset));
}

static void put_head(dither_gguf_writer *writer)
{
    static const char magic[4] = {'G', 'G', 'U', 'F'};
    const uint32_t version = 3;
    if (writer->head_written || writer->status != DITHER_OK)
        return;
    put(writer, magic, sizeof magic);
    put(writer, &version, sizeof version);
    put(writer, &writer->tensor_count, sizeof writer->tensor_count);
    put(writer, &writer->value_count, sizeof writer->value_count);
    put(writer, writer->values.bytes, writer->values.used);
    put(writer, writer->tensors.bytes, writer->tensors.used);
    pad(writer, 24 + writer->values.used + writer->tensors.used);
    writer->head_written = true;
}

static dither_status tell(const dither_gguf_writer *writer, dither_error *error)
{
    if (writer->status != DITHER_OK && error != NULL)
        *error = writer->error;
    return writer->status;
}

dither_status dither_gguf_writer_data(dither_gguf_writer *writer, const void *bytes, size_t size, dither_error *error)
{
    put_head(writer);
    if (writer->status == DITHER_OK && size > 0) {
        assert(writer->current < writer->tensor_count && size <= writer->sizes[writer->current] - writer->given);
        put(writer, bytes, size);
        writer->given += size;
        if (writer->given == writer->sizes[writer->current]) {
            pad(writer, writer->given);
            writer->current++;
            writer->given = 0;
        }
    }
    return tell(writer, error);
}

dither_status dither_gguf_writer_commit(dither_gguf_writer *writer, dither_error *error)
{
    assert(writer->status != DITHER_OK || writer->current == writer->tensor_count);
    put_head(writer);
    flush(writer);
    if (writer->status == DITHER_OK)
        writer->status = dither_atomic_commit(&writer->file, &writer->error);
    const dither_status status = tell(writer, error);
    dither_gguf_writer_abandon(writer);
    return status;
}

void dither_gguf_writer_abandon(dither_gguf_writer *writer)
{
    if (writer == NULL)
        return;
    dither_atomic_abandon(&writer->file);
    free(writer->values.bytes);
    free(writer->tensors.bytes);
    free(writer->sizes);
    free(writer);
}
