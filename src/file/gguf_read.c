#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/gguf_file.h"

enum {
    HEAD_BYTES = 24,                            /* magic, version, two counts */
    KEY_BYTES = 8 + 1 + 4 + 1,                  /* the least that a key takes: length, name, type, value */
    TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8,       /* and a tensor: length, name, dims, one size, type, offset */
    STRING_BYTES = 8,
    ARRAY_BYTES = 4 + 8,
    NAME_LIMIT = 65535,
    DEPTH_LIMIT = 4, /* arrays in arrays */
    ALIGNMENT = 32,
    ALIGNMENT_LIMIT = 65536
};
static const char MAGIC[4] = {'G', 'G', 'U', 'F'};

/* Types of tensors that exist but cannot be read, so that errors name them. */
static const struct {
    uint32_t number;
    const char *name;
} unread[] = {
    {4, "Q4_2"},     {5, "Q4_3"},     {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"},   {21, "IQ3_S"},   {22, "IQ2_S"}, {23, "IQ4_XS"}, {24, "I8"},      {25, "I16"},    {26, "I32"},
    {27, "I64"},     {28, "F64"},     {29, "IQ1_M"}, {34, "TQ1_0"}, {35, "TQ2_0"},   {39, "MXFP4"},  {40, "NVFP4"},
    {41, "Q1_0"},
};

/* What one reading knows. `at` never passes `size`. */
typedef struct reading {
    const char *path;
    const unsigned char *bytes;
    size_t size, at;
    dither_error *error;
} reading;

dither_status dither_gguf_fail(dither_error *error, const char *path, uint64_t offset, const char *format, ...)
{
    char where[sizeof error->where], text[sizeof error->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(where, sizeof where, "%.220s at byte %" PRIu64, path, offset);
    return dither_fail(error, DITHER_E_FORMAT, where, "%s", text);
}

static dither_status cut_off(const reading *in, const char *what, uint64_t missing)
{
    return dither_gguf_fail(in->error, in->path, in->at,
                            "cut off inside %s: %" PRIu64 " bytes are missing; copy or download it again", what,
                            missing);
}

static dither_status skip(reading *in, uint64_t bytes, const char *what)
{
    if (bytes > in->size - in->at)
        return cut_off(in, what, bytes - (in->size - in->at));
    in->at += (size_t)bytes;
    return DITHER_OK;
}

static dither_status take(reading *in, void *value, size_t bytes, const char *what)
{
    const unsigned char *from = in->bytes + in->at;
    const dither_status status = skip(in, bytes, what);
    if (status == DITHER_OK)
        memcpy(value, from, bytes);
    return status;
}

/* Counts of what takes `least` bytes each: more than the rest of the file has room for is wrong before any is read. */
static dither_status take_count(reading *in, size_t least, const char *what, uint64_t *count)
{
    const dither_status status = take(in, count, sizeof *count, what);
    if (status != DITHER_OK || *count <= (in->size - in->at) / least)
        return status;
    return dither_gguf_fail(in->error, in->path, in->at - sizeof *count,
                            "%" PRIu64 " %s cannot be in the %zu bytes that follow", *count, what, in->size - in->at);
}

static bool printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const unsigned char byte = (unsigned char)text[i];
        const bool c1 = byte == 0xc2 && i + 1 < length && (unsigned char)text[i + 1] < 0xa0;
        if (byte < 0x20 || byte == 0x7f || c1)
            return false;
    }
    return dither_text_utf8((const unsigned char *)text, length) == length;
}

/* A key or the name of a tensor. */
static dither_status take_name(reading *in, const char *what, const char **name, size_t *length)
{
    uint64_t stored = 0;
    const size_t start = in->at;
    dither_status status = take(in, &stored, sizeof stored, what);
    if (status == DITHER_OK && (stored == 0 || stored > NAME_LIMIT))
        return dither_gguf_fail(in->error, in->path, start, "%s of %" PRIu64 " bytes; 1 to %d are possible", what,
                                stored, NAME_LIMIT);
    *name = (const char *)in->bytes + in->at;
    *length = (size_t)stored;
    if (status == DITHER_OK)
        status = skip(in, stored, what);
    if (status == DITHER_OK && !printable(*name, *length))
        status = dither_gguf_fail(in->error, in->path, start, "%s that is not printable UTF-8", what);
    return status;
}

/* ---- metadata --------------------------------------------------------------------------------------------- */

static dither_status skip_strings(reading *in, uint64_t count)
{
    dither_status status = DITHER_OK;
    for (uint64_t i = 0; i < count && status == DITHER_OK; i++) {
        uint64_t length = 0;
        status = take(in, &length, sizeof length, "a string");
        if (status == DITHER_OK)
            status = skip(in, length, "a string");
    }
    return status;
}

/* Passes the element type and the count of an array; the smallest element that can follow says which counts can be. */
static dither_status take_array_head(reading *in, uint32_t *type, uint64_t *count)
{
    const size_t start = in->at;
    const dither_status status = take(in, type, sizeof *type, "an array");
    if (status != DITHER_OK)
        return status;
    if (*type >= DITHER_GGUF_TYPES)
        return dither_gguf_fail(in->error, in->path, start, "array elements of type %" PRIu32 "; 0 to %d are known",
                                *type, DITHER_GGUF_TYPES - 1);
    const size_t least = *type == DITHER_GGUF_STRING  ? STRING_BYTES
                         : *type == DITHER_GGUF_ARRAY ? ARRAY_BYTES
                                                      : dither_gguf_type_bytes(*type);
    return take_count(in, least, "array elements", count);
}

/*
 * Passes an array. Arrays in it are passed in the same loop: left[d] of those of depth d are still to come, so that no
 * file decides how deep our own stack gets.
 */
static dither_status skip_array(reading *in)
{
    uint64_t left[DEPTH_LIMIT] = {1};
    size_t depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0)
                return DITHER_OK;
            depth--;
        }
        left[depth]--;
        uint32_t type = 0;
        uint64_t count = 0;
        const size_t start = in->at;
        dither_status status = take_array_head(in, &type, &count);
        if (status == DITHER_OK && type == DITHER_GGUF_ARRAY) {
            if (++depth == DEPTH_LIMIT)
                return dither_gguf_fail(in->error, in->path, start, "arrays in arrays, more than %d deep",
                                        DEPTH_LIMIT);
            left[depth] = count;
        } else if (status == DITHER_OK && type == DITHER_GGUF_STRING) {
            status = skip_strings(in, count);
        } else if (status == DITHER_OK) {
            status = skip(in, count * dither_gguf_type_bytes(type), "an array");
        }
        if (status != DITHER_OK)
            return status;
    }
}

static dither_status take_value(reading *in, dither_gguf_value *value)
{
    dither_status status = take_name(in, "a key", &value->key, &value->key_length);
    const size_t start = in->at;
    if (status == DITHER_OK)
        status = take(in, &value->type, sizeof value->type, "a key's type");
    if (status != DITHER_OK)
        return status;
    const int shown = value->key_length < 200 ? (int)value->key_length : 200;
    if (value->type >= DITHER_GGUF_TYPES)
        return dither_gguf_fail(in->error, in->path, start,
                                "the value of %.*s has type %" PRIu32 "; 0 to %d are known", shown, value->key,
                                value->type, DITHER_GGUF_TYPES - 1);
    value->at = in->bytes + in->at;
    const size_t first = in->at;
    if (value->type == DITHER_GGUF_ARRAY)
        status = skip_array(in);
    else if (value->type == DITHER_GGUF_STRING)
        status = skip_strings(in, 1);
    else
        status = skip(in, dither_gguf_type_bytes(value->type), "a value");
    value->bytes = in->at - first;
    return status;
}

static dither_status no_memory(const reading *in)
{
    return dither_fail(in->error, DITHER_E_MEMORY, in->path, "no memory to open it");
}

/* Memory grows with what has been read, never with what a count promises. */
static dither_status read_values(reading *in, dither_gguf *file, uint64_t count)
{
    size_t capacity = 0;
    dither_status status = DITHER_OK;
    while (file->value_count < count && status == DITHER_OK) {
        if (file->value_count == capacity) {
            capacity = capacity > 0 ? 2 * capacity : 64;
            dither_gguf_value *grown = realloc(file->values, capacity * sizeof *grown);
            if (grown == NULL)
                return no_memory(in);
            file->values = grown;
        }
        status = take_value(in, &file->values[file->value_count]);
        file->value_count += status == DITHER_OK;
    }
    if (status != DITHER_OK)
        return status;
    file->by_key = malloc((file->value_count + 1) * sizeof *file->by_key);
    if (file->by_key == NULL)
        return no_memory(in);
    for (size_t i = 0; i < file->value_count; i++)
        file->by_key[i] = &file->values[i];
    qsort(file->by_key, file->value_count, sizeof *file->by_key, dither_gguf_compare_keys);
    for (size_t i = 1; i < file->value_count; i++)
        if (dither_gguf_compare_keys(&file->by_key[i - 1], &file->by_key[i]) == 0) {
            const dither_gguf_value *a = file->by_key[i - 1], *b = file->by_key[i], *second = a > b ? a : b;
            return dither_gguf_fail(in->error, in->path, (uint64_t)((const unsigned char *)second->key - in->bytes),
                                    "the key %.*s is there twice",
                                    second->key_length < 200 ? (int)second->key_length : 200, second->key);
        }
    return DITHER_OK;
}

/* ---- tensors ---------------------------------------------------------------------------------------------- */

/* A tensor's description, and where in the file it stands. */
typedef struct described {
    dither_gguf_tensor tensor; /* without name and data */
    const char *name;          /* in the file */
    size_t length;
    int shown;                 /* bytes of the name that fit into an error */
    uint64_t offset;           /* from the first byte of all tensors */
    size_t place;              /* of that offset in the file */
    size_t index;
} described;

static dither_status read_type(const reading *in, size_t place, uint32_t number, described *out)
{
    if (dither_block_from_gguf(number, &out->tensor.type))
        return DITHER_OK;
    const char *name = "an unknown one";
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        if (unread[i].number == number)
            name = unread[i].name;
    return dither_gguf_fail(in->error, in->path, place,
                            "tensor %.*s has type %" PRIu32 ", %s, which cannot be read; F32, F16, BF16, Q4_0, Q4_1, "
                            "Q5_0, Q5_1, Q8_0, Q2_K to Q6_K and IQ4_NL can",
                            out->shown, out->name, number, name);
}

/* The tensor's bytes, from its shape and its type. */
static dither_status measure(const reading *in, size_t place, described *out)
{
    dither_gguf_tensor *tensor = &out->tensor;
    const dither_block_info *info = dither_block_info_of(tensor->type);
    if (tensor->shape[0] % info->values != 0)
        return dither_gguf_fail(in->error, in->path, place,
                                "tensor %.*s has rows of %" PRIu64 " values; blocks of %s hold %zu each", out->shown,
                                out->name, tensor->shape[0], info->name, info->values);
    bool overflow = __builtin_mul_overflow(tensor->shape[0] / info->values, info->bytes, &tensor->bytes);
    for (size_t d = 1; d < DITHER_GGUF_DIMS; d++)
        overflow |= __builtin_mul_overflow(tensor->bytes, tensor->shape[d], &tensor->bytes);
    if (overflow || tensor->bytes > in->size)
        return dither_gguf_fail(in->error, in->path, place,
                                "tensor %.*s has a shape that needs more bytes than the file's %zu", out->shown,
                                out->name, in->size);
    return DITHER_OK;
}

static dither_status take_shape(reading *in, described *out)
{
    uint32_t dims = 0;
    dither_status status = take(in, &dims, sizeof dims, "a tensor's shape");
    if (status == DITHER_OK && (dims == 0 || dims > DITHER_GGUF_DIMS))
        return dither_gguf_fail(in->error, in->path, in->at - sizeof dims,
                                "tensor %.*s has %" PRIu32 " dimensions; 1 to %d are possible", out->shown, out->name,
                                dims, DITHER_GGUF_DIMS);
    out->tensor.dims = dims;
    for (size_t d = 0; d < DITHER_GGUF_DIMS && status == DITHER_OK; d++) {
        uint64_t *size = &out->tensor.shape[d];
        *size = 1;
        if (d < dims)
            status = take(in, size, sizeof *size, "a tensor's shape");
        if (status == DITHER_OK && *size == 0)
            status = dither_gguf_fail(in->error, in->path, in->at - sizeof *size, "tensor %.*s has a size of 0",
                                      out->shown, out->name);
    }
    return status;
}

static dither_status take_tensor(reading *in, described *out)
{
    uint32_t number = 0;
    dither_status status = take_name(in, "a tensor's name", &out->name, &out->length);
    if (status != DITHER_OK)
        return status;
    out->shown = out->length < 200 ? (int)out->length : 200;
    const size_t shape_place = in->at;
    status = take_shape(in, out);
    const size_t type_place = in->at;
    if (status == DITHER_OK)
        status = take(in, &number, sizeof number, "a tensor's type");
    if (status == DITHER_OK)
        status = read_type(in, type_place, number, out);
    if (status == DITHER_OK)
        status = measure(in, shape_place, out);
    out->place = in->at;
    if (status == DITHER_OK)
        status = take(in, &out->offset, sizeof out->offset, "a tensor's offset");
    return status;
}

static int compare_places(const void *a, const void *b)
{
    const described *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Every tensor on its alignment, inside the file, behind the one before it. `all` is left in the order of offsets. */
static dither_status check_places(const reading *in, described *all, size_t count, uint64_t alignment)
{
    const uint64_t start = (in->at + alignment - 1) / alignment * alignment;
    qsort(all, count, sizeof *all, compare_places);
    uint64_t next = 0;
    for (size_t i = 0; i < count; i++) {
        described *one = &all[i];
        if (one->offset % alignment != 0)
            return dither_gguf_fail(in->error, in->path, one->place,
                                    "tensor %.*s has offset %" PRIu64 "; it must be a multiple of %" PRIu64, one->shown,
                                    one->name, one->offset, alignment);
        if (one->offset < next)
            return dither_gguf_fail(in->error, in->path, one->place,
                                    "the bytes of tensor %.*s overlap those of tensor %.*s", one->shown, one->name,
                                    all[i - 1].shown < 100 ? all[i - 1].shown : 100, all[i - 1].name);
        const uint64_t room = in->size > start ? in->size - start : 0;
        if (one->offset > room || one->tensor.bytes > room - one->offset)
            return dither_gguf_fail(in->error, in->path, one->place,
                                    "tensor %.*s would end at byte %" PRIu64 " of a file of %zu bytes; copy or "
                                    "download it again",
                                    one->shown, one->name, start + one->offset + one->tensor.bytes, in->size);
        one->tensor.data = in->bytes + start + one->offset;
        next = one->offset + one->tensor.bytes;
    }
    return DITHER_OK;
}

static int compare_names(const void *a, const void *b)
{
    const dither_gguf_tensor *const *x = a;
    const dither_gguf_tensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* From the order of offsets back to the file's, with names of their own. */
static dither_status keep_tensors(const reading *in, dither_gguf *file, const described *all, size_t count)
{
    size_t bytes = 1;
    for (size_t i = 0; i < count; i++)
        bytes += all[i].length + 1;
    file->names = malloc(bytes);
    file->tensors = calloc(count + 1, sizeof *file->tensors);
    file->by_name = calloc(count + 1, sizeof *file->by_name);
    if (file->names == NULL || file->tensors == NULL || file->by_name == NULL)
        return no_memory(in);
    char *name = file->names;
    for (size_t i = 0; i < count; i++) {
        dither_gguf_tensor *tensor = &file->tensors[all[i].index];
        *tensor = all[i].tensor;
        memcpy(name, all[i].name, all[i].length);
        name[all[i].length] = '\0';
        tensor->name = name;
        name += all[i].length + 1;
        file->by_name[i] = tensor;
    }
    file->tensor_count = count;
    qsort(file->by_name, count, sizeof *file->by_name, compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            return dither_fail(in->error, DITHER_E_FORMAT, in->path, "tensor %.200s is there twice",
                               file->by_name[i]->name);
    return DITHER_OK;
}

static dither_status read_tensors(reading *in, dither_gguf *file, uint64_t count, uint64_t alignment)
{
    described *all = NULL;
    size_t capacity = 0, done = 0;
    dither_status status = DITHER_OK;
    while (done < count && status == DITHER_OK) {
        if (done == capacity) {
            capacity = capacity > 0 ? 2 * capacity : 64;
            described *grown = realloc(all, capacity * sizeof *grown);
            if (grown == NULL) {
                status = no_memory(in);
                break;
            }
            all = grown;
        }
        all[done] = (described){.index = done};
        status = take_tensor(in, &all[done]);
        done++;
    }
    if (status == DITHER_OK && count > 0)
        status = check_places(in, all, done, alignment);
    if (status == DITHER_OK)
        status = keep_tensors(in, file, all, done);
    free(all);
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------------ */

static dither_status read_head(reading *in, uint32_t *version, uint64_t *tensors, uint64_t *values)
{
    char magic[sizeof MAGIC];
    if (in->size < HEAD_BYTES)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "%zu bytes; a GGUF file has %d at least", in->size,
                           HEAD_BYTES);
    dither_status status = take(in, magic, sizeof magic, "its head");
    if (status == DITHER_OK && memcmp(magic, MAGIC, sizeof magic) != 0)
        return dither_gguf_fail(in->error, in->path, 0, "not a GGUF file: it does not begin with GGUF");
    if (status == DITHER_OK)
        status = take(in, version, sizeof *version, "its head");
    if (status == DITHER_OK && *version != 2 && *version != 3) {
        const bool big = *version != 0 && (*version & 0xffff) == 0;
        return dither_gguf_fail(in->error, in->path, sizeof MAGIC,
                                big ? "a big-endian GGUF file; only little-endian ones can be read"
                                    : "a GGUF file of version %" PRIu32 "; 2 and 3 can be read",
                                *version);
    }
    /* Both counts are held against the whole rest, which neither may exceed. */
    if (status == DITHER_OK)
        status = take_count(in, TENSOR_BYTES, "tensors", tensors);
    if (status == DITHER_OK)
        status = take_count(in, KEY_BYTES, "keys", values);
    return status;
}

static dither_status parse(dither_gguf *file, const char *path, dither_error *error)
{
    reading in = {.path = path, .bytes = file->bytes, .size = file->size, .error = error};
    uint64_t tensors = 0, values = 0, alignment = ALIGNMENT;
    bool found = false;
    dither_status status = read_head(&in, &file->version, &tensors, &values);
    if (status == DITHER_OK)
        status = read_values(&in, file, values);
    if (status == DITHER_OK)
        status = dither_gguf_u64(file, "general.alignment", 1, ALIGNMENT_LIMIT, &alignment, &found, error);
    if (status == DITHER_OK && (alignment & (alignment - 1)) != 0)
        return dither_fail(error, DITHER_E_FORMAT, path, "general.alignment is %" PRIu64 "; it must be a power of two",
                           alignment);
    return status == DITHER_OK ? read_tensors(&in, file, tensors, alignment) : status;
}

dither_status dither_gguf_parse(dither_gguf **file, const void *bytes, size_t size, const char *path,
                                dither_error *error)
{
    *file = NULL;
    dither_gguf *opened = calloc(1, sizeof *opened);
    if (opened != NULL)
        opened->path = strdup(path);
    if (opened == NULL || opened->path == NULL) {
        free(opened);
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory to open it");
    }
    opened->bytes = bytes;
    opened->size = size;
    const dither_status status = parse(opened, path, error);
    if (status == DITHER_OK)
        *file = opened;
    else
        dither_gguf_close(opened);
    return status;
}

dither_status dither_gguf_open(dither_gguf **file, const char *path, dither_error *error)
{
    *file = NULL;
    dither_mapping mapping;
    dither_status status = dither_mapping_open(&mapping, path, error);
    if (status != DITHER_OK)
        return status;
    status = dither_gguf_parse(file, mapping.bytes, mapping.size, path, error);
    if (status == DITHER_OK)
        (*file)->mapping = mapping;
    else
        dither_mapping_close(&mapping);
    return status;
}

void dither_gguf_forget(const dither_gguf *file)
{
    dither_mapping_forget(&file->mapping);
}

void dither_gguf_close(dither_gguf *file)
{
    if (file == NULL)
        return;
    free(file->path);
    free(file->values);
    free(file->by_key);
    free(file->tensors);
    free(file->by_name);
    free(file->names);
    dither_mapping_close(&file->mapping);
    free(file);
}

bool dither_gguf_is(const char *path)
{
    dither_mapping mapping;
    if (dither_mapping_open(&mapping, path, NULL) != DITHER_OK)
        return false;
    const bool is = mapping.size >= sizeof MAGIC && memcmp(mapping.bytes, MAGIC, sizeof MAGIC) == 0;
    dither_mapping_close(&mapping);
    return is;
}

size_t dither_gguf_tensors(const dither_gguf *file)
{
    return file->tensor_count;
}

const dither_gguf_tensor *dither_gguf_tensor_at(const dither_gguf *file, size_t i)
{
    assert(i < file->tensor_count);
    return &file->tensors[i];
}

const dither_gguf_tensor *dither_gguf_find(const dither_gguf *file, const char *name)
{
    const dither_gguf_tensor key = {.name = name};
    const dither_gguf_tensor *pointer = &key;
    const dither_gguf_tensor **found =
        bsearch(&pointer, file->by_name, file->tensor_count, sizeof *file->by_name, compare_names);
    return found == NULL ? NULL : *found;
}
