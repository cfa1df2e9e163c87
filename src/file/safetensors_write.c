#include "file/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/atomic.h"
#include "quant/half.h"

enum { BUFFER = 16384, LENGTH_BYTES = 8 };

/* Where bytes go. Without a file they are only counted: the code that writes the header also measures it. */
typedef struct sink {
    dither_atomic *file;
    dither_error *error;
    dither_status status; /* after a failure nothing is written any more */
    uint64_t total;
    size_t used;
    unsigned char buffer[BUFFER];
} sink;

static void flush(sink *out)
{
    if (out->used > 0 && out->status == DITHER_OK)
        out->status = dither_atomic_write(out->file, out->buffer, out->used, out->error);
    out->used = 0;
}

static void put(sink *out, const void *bytes, size_t size)
{
    out->total += size;
    if (out->file == NULL)
        return;
    if (size > BUFFER - out->used)
        flush(out);
    if (size <= BUFFER) {
        memcpy(out->buffer + out->used, bytes, size);
        out->used += size;
    } else if (out->status == DITHER_OK) {
        out->status = dither_atomic_write(out->file, bytes, size, out->error);
    }
}

static void put_text(sink *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_number(sink *out, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    put_text(out, text);
}

static void put_string(sink *out, const char *text)
{
    put_text(out, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        char escaped[8];
        if (*c == '"' || *c == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)*c);
        else
            snprintf(escaped, sizeof escaped, "%c", *c);
        put_text(out, escaped);
    }
    put_text(out, "\"");
}

static const char *dtype(dither_storage storage)
{
    static const char *const names[] = {[DITHER_STORAGE_F32] = "F32", [DITHER_STORAGE_BF16] = "BF16",
                                        [DITHER_STORAGE_F16] = "F16", [DITHER_STORAGE_U8] = "U8"};
    assert(storage < DITHER_STORAGE_OTHER);
    return names[storage];
}

static uint64_t elements(const dither_safetensor_out *tensor)
{
    assert(tensor->dims <= DITHER_SAFETENSORS_DIMS);
    uint64_t product = 1;
    for (size_t i = 0; i < tensor->dims; i++) {
        bool overflow = __builtin_mul_overflow(product, tensor->shape[i], &product);
        assert(!overflow && product < UINT64_C(1) << 50);
        (void)overflow;
    }
    return product;
}

static uint64_t width(dither_storage storage)
{
    return storage == DITHER_STORAGE_F32 ? 4 : storage == DITHER_STORAGE_U8 ? 1 : 2;
}

static void put_entry(sink *out, const dither_safetensor_out *tensor, uint64_t begin)
{
    put_string(out, tensor->name);
    put_text(out, ":{\"dtype\":");
    put_string(out, dtype(tensor->storage));
    put_text(out, ",\"shape\":[");
    for (size_t i = 0; i < tensor->dims; i++) {
        put_text(out, i > 0 ? "," : "");
        put_number(out, tensor->shape[i]);
    }
    put_text(out, "],\"data_offsets\":[");
    put_number(out, begin);
    put_text(out, ",");
    put_number(out, begin + elements(tensor) * width(tensor->storage));
    put_text(out, "]}");
}

static void put_header(sink *out, const dither_safetensor_out *tensors, size_t count, const dither_metadata *metadata,
                       size_t metadata_count)
{
    put_text(out, "{");
    if (metadata_count > 0)
        put_text(out, "\"__metadata__\":{");
    for (size_t i = 0; i < metadata_count; i++) {
        put_text(out, i > 0 ? "," : "");
        put_string(out, metadata[i].key);
        put_text(out, ":");
        put_string(out, metadata[i].value);
    }
    if (metadata_count > 0)
        put_text(out, "}");
    uint64_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        put_text(out, i > 0 || metadata_count > 0 ? "," : "");
        put_entry(out, &tensors[i], begin);
        begin += elements(&tensors[i]) * width(tensors[i].storage);
    }
    put_text(out, "}");
    while (out->total % LENGTH_BYTES != 0) /* so that the tensors start aligned */
        put_text(out, " ");
}

static void put_data(sink *out, const dither_safetensor_out *tensor)
{
    uint64_t count = elements(tensor);
    assert(tensor->storage != DITHER_STORAGE_F16);
    if (tensor->storage != DITHER_STORAGE_BF16) {
        if (count > 0)
            put(out, tensor->data, count * width(tensor->storage));
        return;
    }
    const float *x = tensor->data;
    uint16_t codes[1024];
    for (uint64_t first = 0; first < count; first += sizeof codes / sizeof *codes) {
        size_t n = count - first < sizeof codes / sizeof *codes ? count - first : sizeof codes / sizeof *codes;
        for (size_t i = 0; i < n; i++)
            codes[i] = dither_bf16_from_f32(x[first + i]);
        put(out, codes, n * sizeof *codes);
    }
}

/* The length of the header, then the header. */
static void put_front(sink *out, dither_atomic *file, const dither_safetensor_out *tensors, size_t count,
                      const dither_metadata *metadata, size_t metadata_count)
{
    out->file = NULL;
    put_header(out, tensors, count, metadata, metadata_count);
    uint64_t length = out->total;
    out->file = file;
    put(out, &length, sizeof length);
    out->total = 0;
    put_header(out, tensors, count, metadata, metadata_count);
    assert(out->total == length);
}

dither_status dither_safetensors_write(const char *path, const dither_safetensor_out *tensors, size_t count,
                                       const dither_metadata *metadata, size_t metadata_count, dither_error *error)
{
    dither_atomic file;
    dither_status status = dither_atomic_open(&file, path, error);
    if (status != DITHER_OK)
        return status;
    sink out = {.error = error};
    put_front(&out, &file, tensors, count, metadata, metadata_count);
    for (size_t i = 0; i < count && out.status == DITHER_OK; i++)
        put_data(&out, &tensors[i]);
    flush(&out);
    return out.status == DITHER_OK ? dither_atomic_commit(&file, error) : out.status;
}

/* ---- piece by piece ----------------------------------------------------------------------------------------- */

struct dither_safetensors_writer {
    dither_atomic file;
    sink out;
    uint64_t left; /* bytes that are still to come */
};

dither_status dither_safetensors_writer_open(dither_safetensors_writer **writer, const char *path,
                                             const dither_safetensor_out *tensors, size_t count,
                                             const dither_metadata *metadata, size_t metadata_count,
                                             dither_error *error)
{
    *writer = NULL;
    dither_safetensors_writer *made = calloc(1, sizeof *made);
    if (made == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory");
    dither_status status = dither_atomic_open(&made->file, path, error);
    if (status != DITHER_OK) {
        free(made);
        return status;
    }
    made->out.error = error;
    for (size_t i = 0; i < count; i++)
        made->left += elements(&tensors[i]) * width(tensors[i].storage);
    put_front(&made->out, &made->file, tensors, count, metadata, metadata_count);
    *writer = made;
    return DITHER_OK;
}

dither_status dither_safetensors_writer_data(dither_safetensors_writer *writer, const void *bytes, size_t size,
                                             dither_error *error)
{
    assert(size <= writer->left);
    writer->out.error = error;
    writer->left -= size;
    put(&writer->out, bytes, size);
    return writer->out.status;
}

dither_status dither_safetensors_writer_commit(dither_safetensors_writer *writer, dither_error *error)
{
    writer->out.error = error;
    flush(&writer->out);
    dither_status status = writer->out.status;
    assert(status != DITHER_OK || writer->left == 0);
    if (status == DITHER_OK)
        status = dither_atomic_commit(&writer->file, error);
    free(writer);
    return status;
}

void dither_safetensors_writer_abandon(dither_safetensors_writer *writer)
{
    if (writer == NULL)
        return;
    dither_atomic_abandon(&writer->file);
    free(writer);
}
