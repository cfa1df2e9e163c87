#include "file/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/json.h"
#include "file/mapping.h"
#include "quant/half.h"

enum { LENGTH_BYTES = 8, HEADER_LIMIT = 16000000 };
static const uint64_t EXACT = UINT64_C(1) << 53;
static const char METADATA[] = "__metadata__";

struct dither_safetensors {
    dither_mapping mapping;
    cJSON *header; /* owns the names */
    dither_safetensor *tensors;
    const dither_safetensor **by_name;
    size_t count;
    const cJSON *metadata;
};

static const struct dtype {
    const char *name;
    dither_storage storage;
    unsigned bytes;
} dtypes[] = {
    {"F32", DITHER_STORAGE_F32, 4},       {"BF16", DITHER_STORAGE_BF16, 2},     {"F16", DITHER_STORAGE_F16, 2},
    {"U8", DITHER_STORAGE_U8, 1},         {"F64", DITHER_STORAGE_OTHER, 8},     {"I64", DITHER_STORAGE_OTHER, 8},
    {"U64", DITHER_STORAGE_OTHER, 8},     {"I32", DITHER_STORAGE_OTHER, 4},     {"U32", DITHER_STORAGE_OTHER, 4},
    {"I16", DITHER_STORAGE_OTHER, 2},     {"U16", DITHER_STORAGE_OTHER, 2},     {"I8", DITHER_STORAGE_OTHER, 1},
    {"BOOL", DITHER_STORAGE_OTHER, 1},    {"F8_E4M3", DITHER_STORAGE_OTHER, 1}, {"F8_E5M2", DITHER_STORAGE_OTHER, 1},
    {"F8_E8M0", DITHER_STORAGE_OTHER, 1}, {"C64", DITHER_STORAGE_OTHER, 8},
};

/* What one reading knows: the bytes behind the header, and how errors name the place. */
typedef struct reading {
    const char *path;
    const unsigned char *data; /* the first tensor byte */
    uint64_t data_bytes;
    uint64_t data_offset; /* of data in the file */
    dither_error *error;
} reading;

static dither_status fail_at(const reading *in, uint64_t offset, const char *text)
{
    char where[sizeof in->error->where];
    snprintf(where, sizeof where, "%.220s at byte %" PRIu64, in->path, offset);
    return dither_fail(in->error, DITHER_E_FORMAT, where, "%s", text);
}

static dither_status fail_tensor(const reading *in, const dither_safetensor *tensor, const char *text)
{
    return dither_fail(in->error, DITHER_E_FORMAT, in->path, "tensor %.200s: %s", tensor->name, text);
}

static dither_status read_dtype(const reading *in, const cJSON *item, dither_safetensor *tensor, unsigned *bytes)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "dtype");
    if (!cJSON_IsString(value) || !dither_json_printable(value->valuestring))
        return fail_tensor(in, tensor, "\"dtype\" must be a name such as \"F32\"");
    tensor->dtype = value->valuestring;
    tensor->storage = DITHER_STORAGE_OTHER;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, tensor->dtype) == 0) {
            tensor->storage = dtypes[i].storage;
            *bytes = dtypes[i].bytes;
        }
    return DITHER_OK;
}

static bool read_integer(const cJSON *item, uint64_t *value)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= (double)EXACT))
        return false;
    *value = (uint64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

static dither_status read_shape(const reading *in, const cJSON *item, dither_safetensor *tensor, uint64_t *elements)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape");
    if (!cJSON_IsArray(shape))
        return fail_tensor(in, tensor, "\"shape\" must be a list of sizes");
    *elements = 1;
    bool overflow = false;
    for (const cJSON *size = shape->child; size != NULL; size = size->next) {
        if (tensor->dims == DITHER_SAFETENSORS_DIMS)
            return fail_tensor(in, tensor, "more dimensions than the 8 that are possible");
        uint64_t n;
        if (!read_integer(size, &n))
            return fail_tensor(in, tensor, "\"shape\" must hold integers from 0 to 2^53");
        tensor->shape[tensor->dims++] = n;
        overflow |= __builtin_mul_overflow(*elements, n, elements);
    }
    return overflow ? fail_tensor(in, tensor, "the product of its shape is beyond 2^64") : DITHER_OK;
}

static dither_status read_offsets(const reading *in, const cJSON *item, dither_safetensor *tensor, uint64_t *begin)
{
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    uint64_t end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !read_integer(offsets->child, begin) ||
        !read_integer(offsets->child->next, &end) || *begin > end)
        return fail_tensor(in, tensor, "\"data_offsets\" must be [begin, end] with begin <= end");
    tensor->bytes = end - *begin;
    return DITHER_OK;
}

/* Fills all of *tensor but data, which is not known to lie inside the file yet. */
static dither_status read_tensor(const reading *in, const cJSON *item, dither_safetensor *tensor, uint64_t *begin)
{
    *tensor = (dither_safetensor){.name = item->string};
    if (!dither_json_printable(item->string))
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "the name of a tensor holds control characters");
    if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) != 3)
        return fail_tensor(in, tensor, "it must have \"dtype\", \"shape\" and \"data_offsets\", and nothing else");
    unsigned bytes = 0; /* of an element; stays 0 where the type is not known, and then its offsets alone are checked */
    uint64_t elements = 0, expected;
    dither_status status = read_dtype(in, item, tensor, &bytes);
    if (status == DITHER_OK)
        status = read_shape(in, item, tensor, &elements);
    if (status == DITHER_OK)
        status = read_offsets(in, item, tensor, begin);
    if (status != DITHER_OK || bytes == 0)
        return status;
    if (__builtin_mul_overflow(elements, bytes, &expected) || expected != tensor->bytes)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "tensor %.200s: its shape needs %" PRIu64 " elements of %u bytes, its offsets span %" PRIu64
                           " bytes",
                           tensor->name, elements, bytes, tensor->bytes);
    return DITHER_OK;
}

typedef struct placed {
    uint64_t begin;
    size_t index; /* in the header */
    dither_safetensor tensor;
} placed;

static int compare_places(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->tensor.bytes != y->tensor.bytes) /* empty tensors before the one that starts where they lie */
        return x->tensor.bytes < y->tensor.bytes ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static dither_status check_places(const reading *in, placed *places, size_t count)
{
    uint64_t next = 0;
    for (size_t i = 0; i < count; i++) {
        dither_safetensor *tensor = &places[i].tensor;
        if (places[i].begin != next)
            return fail_tensor(in, tensor, places[i].begin < next ? "its bytes overlap those of the tensor before it"
                                                                  : "there is a hole before its bytes");
        next += tensor->bytes; /* an end, which is at most 2^53 */
    }
    if (next > in->data_bytes)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "cut off: %" PRIu64 " bytes are missing at its end; copy or download it again",
                           next - in->data_bytes);
    if (next < in->data_bytes)
        return fail_at(in, in->data_offset + next, "bytes that belong to no tensor follow the last one");
    for (size_t i = 0; i < count; i++)
        places[i].tensor.data = in->data + places[i].begin;
    return DITHER_OK;
}

static int compare_names(const void *a, const void *b)
{
    const dither_safetensor *const *x = a;
    const dither_safetensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static dither_status check_metadata(const reading *in, const cJSON *metadata)
{
    if (!cJSON_IsObject(metadata))
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "\"%s\" must be an object of strings", METADATA);
    for (const cJSON *item = metadata->child; item != NULL; item = item->next)
        if (!cJSON_IsString(item))
            return dither_fail(in->error, DITHER_E_FORMAT, in->path, "\"%s\" must hold strings only", METADATA);
    return DITHER_OK;
}

/* Reads every tensor of the header into `places`, which has room for all of its items. */
static dither_status read_all(const reading *in, dither_safetensors *file, placed *places)
{
    for (const cJSON *item = file->header->child; item != NULL; item = item->next) {
        dither_status status;
        if (strcmp(item->string, METADATA) == 0) {
            file->metadata = item;
            status = check_metadata(in, item);
        } else {
            places[file->count].index = file->count;
            status = read_tensor(in, item, &places[file->count].tensor, &places[file->count].begin);
            file->count++;
        }
        if (status != DITHER_OK)
            return status;
    }
    qsort(places, file->count, sizeof *places, compare_places);
    return check_places(in, places, file->count);
}

static dither_status read_header(const reading *in, dither_safetensors *file)
{
    if (!cJSON_IsObject(file->header))
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "its header is not a JSON object");
    size_t items = (size_t)cJSON_GetArraySize(file->header);
    placed *places = calloc(items + 1, sizeof *places);
    file->tensors = calloc(items + 1, sizeof *file->tensors);
    file->by_name = calloc(items + 1, sizeof *file->by_name);
    dither_status status;
    if (places == NULL || file->tensors == NULL || file->by_name == NULL)
        status = dither_fail(in->error, DITHER_E_MEMORY, in->path, "no memory for %zu tensors", items);
    else
        status = read_all(in, file, places);
    for (size_t i = 0; status == DITHER_OK && i < file->count; i++) {
        file->tensors[i] = places[i].tensor;
        file->by_name[i] = &file->tensors[i];
    }
    if (status == DITHER_OK)
        qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    free(places);
    return status;
}

/* The length of the header, once it is known to lie inside the file. */
static dither_status read_length(const reading *in, const unsigned char *bytes, size_t size, size_t *length)
{
    if (size < LENGTH_BYTES)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "%zu bytes; a safetensors file has 8 and a header at least", size);
    uint64_t stored;
    memcpy(&stored, bytes, sizeof stored);
    if (stored > HEADER_LIMIT)
        return fail_at(in, 0, "not a safetensors file: its header would be longer than 16 MB");
    if (stored > size - LENGTH_BYTES)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "cut off inside its header, or not a safetensors file: %" PRIu64 " bytes are missing",
                           stored - (size - LENGTH_BYTES));
    if (stored == 0 || bytes[LENGTH_BYTES] != '{')
        return fail_at(in, LENGTH_BYTES, "not a safetensors file: its header does not begin with {");
    *length = (size_t)stored;
    return DITHER_OK;
}

static dither_status parse(dither_safetensors *file, const unsigned char *bytes, size_t size, const char *path,
                           dither_error *error)
{
    reading in = {.path = path, .error = error};
    size_t length = 0;
    dither_status status = read_length(&in, bytes, size, &length);
    if (status != DITHER_OK)
        return status;
    in.data_offset = LENGTH_BYTES + length;
    in.data = bytes + in.data_offset;
    in.data_bytes = size - in.data_offset;
    status = dither_json_parse((const char *)bytes + LENGTH_BYTES, length, path, &file->header, error);
    return status == DITHER_OK ? read_header(&in, file) : status;
}

dither_status dither_safetensors_parse(dither_safetensors **file, const void *bytes, size_t size, const char *path,
                                       dither_error *error)
{
    *file = NULL;
    dither_safetensors *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory to open it");
    dither_status status = parse(opened, bytes, size, path, error);
    if (status == DITHER_OK)
        *file = opened;
    else
        dither_safetensors_close(opened);
    return status;
}

dither_status dither_safetensors_open(dither_safetensors **file, const char *path, dither_error *error)
{
    *file = NULL;
    dither_mapping mapping;
    dither_status status = dither_mapping_open(&mapping, path, error);
    if (status != DITHER_OK)
        return status;
    status = dither_safetensors_parse(file, mapping.bytes, mapping.size, path, error);
    if (status == DITHER_OK)
        (*file)->mapping = mapping;
    else
        dither_mapping_close(&mapping);
    return status;
}

void dither_safetensors_forget(const dither_safetensors *file)
{
    dither_mapping_forget(&file->mapping);
}

void dither_safetensors_close(dither_safetensors *file)
{
    if (file == NULL)
        return;
    cJSON_Delete(file->header);
    free(file->tensors);
    free(file->by_name);
    dither_mapping_close(&file->mapping);
    free(file);
}

size_t dither_safetensors_count(const dither_safetensors *file)
{
    return file->count;
}

const dither_safetensor *dither_safetensors_at(const dither_safetensors *file, size_t index)
{
    assert(index < file->count);
    return &file->tensors[index];
}

const dither_safetensor *dither_safetensors_find(const dither_safetensors *file, const char *name)
{
    const dither_safetensor key = {.name = name};
    const dither_safetensor *pointer = &key;
    const dither_safetensor **found =
        bsearch(&pointer, file->by_name, file->count, sizeof *file->by_name, compare_names);
    return found == NULL ? NULL : *found;
}

const char *dither_safetensors_metadata(const dither_safetensors *file, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(file->metadata, key);
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

void dither_safetensor_f32(const dither_safetensor *tensor, uint64_t first, uint64_t count, float *out)
{
    size_t width = tensor->storage == DITHER_STORAGE_F32 ? 4 : 2;
    assert(tensor->storage == DITHER_STORAGE_F32 || tensor->storage == DITHER_STORAGE_BF16 ||
           tensor->storage == DITHER_STORAGE_F16);
    assert(first <= tensor->bytes / width && count <= tensor->bytes / width - first);
    if (count == 0)
        return;
    const unsigned char *data = tensor->data + first * width;
    if (tensor->storage == DITHER_STORAGE_F32) {
        memcpy(out, data, count * sizeof *out);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint16_t code;
        memcpy(&code, data + 2 * i, sizeof code);
        out[i] = tensor->storage == DITHER_STORAGE_F16 ? dither_f32_from_f16(code) : dither_f32_from_bf16(code);
    }
}
