/* The metadata of an opened GGUF file, by key. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/gguf_file.h"

static const struct {
    const char *name;
    size_t bytes;
} types[DITHER_GGUF_TYPES] = {
    [DITHER_GGUF_U8] = {"uint8", 1},       [DITHER_GGUF_I8] = {"int8", 1},    [DITHER_GGUF_U16] = {"uint16", 2},
    [DITHER_GGUF_I16] = {"int16", 2},      [DITHER_GGUF_U32] = {"uint32", 4}, [DITHER_GGUF_I32] = {"int32", 4},
    [DITHER_GGUF_F32] = {"float32", 4},    [DITHER_GGUF_BOOL] = {"bool", 1},  [DITHER_GGUF_STRING] = {"string", 0},
    [DITHER_GGUF_ARRAY] = {"array", 0},    [DITHER_GGUF_U64] = {"uint64", 8}, [DITHER_GGUF_I64] = {"int64", 8},
    [DITHER_GGUF_F64] = {"float64", 8},
};

size_t dither_gguf_type_bytes(uint32_t type)
{
    return type < DITHER_GGUF_TYPES ? types[type].bytes : 0;
}

const char *dither_gguf_type_name(uint32_t type)
{
    return type < DITHER_GGUF_TYPES ? types[type].name : "unknown";
}

/* Shorter names first, so that names are read only where they may be the same. */
int dither_gguf_compare_keys(const void *a, const void *b)
{
    const dither_gguf_value *const *x = a;
    const dither_gguf_value *const *y = b;
    if ((*x)->key_length != (*y)->key_length)
        return (*x)->key_length < (*y)->key_length ? -1 : 1;
    return memcmp((*x)->key, (*y)->key, (*x)->key_length);
}

const dither_gguf_value *dither_gguf_value_of(const dither_gguf *file, const char *key)
{
    const dither_gguf_value wanted = {.key = key, .key_length = strlen(key)};
    const dither_gguf_value *pointer = &wanted;
    const dither_gguf_value **found =
        bsearch(&pointer, file->by_key, file->value_count, sizeof *file->by_key, dither_gguf_compare_keys);
    return found == NULL ? NULL : *found;
}

const char *dither_gguf_path(const dither_gguf *file)
{
    return file->path;
}

uint32_t dither_gguf_version(const dither_gguf *file)
{
    return file->version;
}

size_t dither_gguf_metadata(const dither_gguf *file)
{
    return file->value_count;
}

const dither_gguf_value *dither_gguf_metadata_at(const dither_gguf *file, size_t i)
{
    assert(i < file->value_count);
    return &file->values[i];
}

/* *value is NULL where the key is not there and need not be. */
static dither_status look_up(const dither_gguf *file, const char *key, const dither_gguf_value **value, bool *found,
                             dither_error *error)
{
    *value = dither_gguf_value_of(file, key);
    if (found != NULL)
        *found = *value != NULL;
    if (*value == NULL && found == NULL)
        return dither_fail(error, DITHER_E_FORMAT, file->path, "its metadata has no key %.200s", key);
    return DITHER_OK;
}

static dither_status fail_value(const dither_gguf *file, const dither_gguf_value *value, const char *wanted,
                                dither_error *error)
{
    return dither_gguf_fail(error, file->path, (uint64_t)(value->at - file->bytes), "%.*s must be %s, not %s",
                            value->key_length < 200 ? (int)value->key_length : 200, value->key, wanted,
                            dither_gguf_type_name(value->type));
}

/* A number of any integer type as its magnitude and sign. @return false where it is no integer */
static bool integer_of(const dither_gguf_value *value, uint64_t *magnitude, bool *negative)
{
    const size_t bytes = dither_gguf_type_bytes(value->type);
    uint64_t bits = 0;
    bool is_signed = false;
    switch (value->type) {
    case DITHER_GGUF_I8:
    case DITHER_GGUF_I16:
    case DITHER_GGUF_I32:
    case DITHER_GGUF_I64: is_signed = true; break;
    case DITHER_GGUF_U8:
    case DITHER_GGUF_U16:
    case DITHER_GGUF_U32:
    case DITHER_GGUF_U64: break;
    default: return false;
    }
    memcpy(&bits, value->at, bytes);
    const uint64_t sign = UINT64_C(1) << (8 * bytes - 1);
    *negative = is_signed && (bits & sign) != 0;
    *magnitude = *negative ? (sign - 1 + sign - bits) + 1 : bits;
    return true;
}

dither_status dither_gguf_u64(const dither_gguf *file, const char *key, uint64_t min, uint64_t max, uint64_t *value,
                              bool *found, dither_error *error)
{
    const dither_gguf_value *at;
    const dither_status status = look_up(file, key, &at, found, error);
    if (at == NULL)
        return status;
    uint64_t magnitude;
    bool negative;
    if (!integer_of(at, &magnitude, &negative))
        return fail_value(file, at, "an integer", error);
    if ((negative && magnitude > 0) || magnitude < min || magnitude > max)
        return dither_gguf_fail(error, file->path, (uint64_t)(at->at - file->bytes),
                                "%.200s is %s%" PRIu64 "; %" PRIu64 " to %" PRIu64 " are possible", key,
                                negative ? "-" : "", magnitude, min, max);
    *value = magnitude;
    return DITHER_OK;
}

dither_status dither_gguf_f64(const dither_gguf *file, const char *key, double *value, bool *found,
                              dither_error *error)
{
    const dither_gguf_value *at;
    const dither_status status = look_up(file, key, &at, found, error);
    if (at == NULL)
        return status;
    uint64_t magnitude;
    bool negative;
    double number;
    if (at->type == DITHER_GGUF_F32) {
        float narrow;
        memcpy(&narrow, at->at, sizeof narrow);
        number = (double)narrow;
    } else if (at->type == DITHER_GGUF_F64) {
        memcpy(&number, at->at, sizeof number);
    } else if (integer_of(at, &magnitude, &negative)) {
        number = negative ? -(double)magnitude : (double)magnitude;
    } else {
        return fail_value(file, at, "a number", error);
    }
    if (!isfinite(number))
        return dither_gguf_fail(error, file->path, (uint64_t)(at->at - file->bytes), "%.200s must be a finite number",
                                key);
    *value = number;
    return DITHER_OK;
}

dither_status dither_gguf_bool(const dither_gguf *file, const char *key, bool *value, bool *found,
                               dither_error *error)
{
    const dither_gguf_value *at;
    const dither_status status = look_up(file, key, &at, found, error);
    if (at == NULL)
        return status;
    if (at->type != DITHER_GGUF_BOOL)
        return fail_value(file, at, "true or false", error);
    if (*at->at > 1)
        return dither_gguf_fail(error, file->path, (uint64_t)(at->at - file->bytes),
                                "%.200s must be 0 or 1, not %d", key, *at->at);
    *value = *at->at == 1;
    return DITHER_OK;
}

/* The string whose length stands at `at`; the reader has checked that it lies in the file. */
static const unsigned char *string_at(const unsigned char *at, const char **text, size_t *length)
{
    uint64_t stored;
    memcpy(&stored, at, sizeof stored);
    *text = (const char *)at + sizeof stored;
    *length = (size_t)stored;
    return at + sizeof stored + stored;
}

dither_status dither_gguf_string(const dither_gguf *file, const char *key, const char **text, size_t *length,
                                 bool *found, dither_error *error)
{
    const dither_gguf_value *at;
    const dither_status status = look_up(file, key, &at, found, error);
    if (at == NULL)
        return status;
    if (at->type != DITHER_GGUF_STRING)
        return fail_value(file, at, "a string", error);
    (void)string_at(at->at, text, length);
    return DITHER_OK;
}

dither_status dither_gguf_text(const dither_gguf *file, const char *key, char **text, bool *found,
                               dither_error *error)
{
    *text = NULL;
    const char *bytes = NULL;
    size_t length = 0;
    const dither_status status = dither_gguf_string(file, key, &bytes, &length, found, error);
    if (status != DITHER_OK || bytes == NULL)
        return status;
    const size_t valid = dither_text_utf8((const unsigned char *)bytes, length);
    const char *zero = length > 0 ? memchr(bytes, 0, length) : NULL;
    if (valid < length || zero != NULL) {
        const size_t bad = zero != NULL && (size_t)(zero - bytes) < valid ? (size_t)(zero - bytes) : valid;
        return dither_gguf_fail(error, file->path, (uint64_t)((const unsigned char *)bytes + bad - file->bytes),
                                "%.200s must be UTF-8 text without character 0", key);
    }
    *text = malloc(length + 1);
    if (*text == NULL)
        return dither_fail(error, DITHER_E_MEMORY, file->path, "no memory for %.200s", key);
    if (length > 0)
        memcpy(*text, bytes, length);
    (*text)[length] = '\0';
    return DITHER_OK;
}

dither_status dither_gguf_array_of(const dither_gguf *file, const char *key, uint32_t type, dither_gguf_array *array,
                                   bool *found, dither_error *error)
{
    const dither_gguf_value *at;
    const dither_status status = look_up(file, key, &at, found, error);
    if (at == NULL)
        return status;
    dither_gguf_array read = {.at = at->at + sizeof read.type + sizeof read.count, .end = at->at + at->bytes};
    if (at->type != DITHER_GGUF_ARRAY)
        return fail_value(file, at, "an array", error);
    memcpy(&read.type, at->at, sizeof read.type);
    memcpy(&read.count, at->at + sizeof read.type, sizeof read.count);
    if (read.type != type)
        return dither_gguf_fail(error, file->path, (uint64_t)(at->at - file->bytes),
                                "%.200s must be an array of %s, not of %s", key, dither_gguf_type_name(type),
                                dither_gguf_type_name(read.type));
    *array = read;
    return DITHER_OK;
}

bool dither_gguf_next_string(const dither_gguf_array *array, const unsigned char **cursor, const char **text,
                             size_t *length)
{
    assert(array->type == DITHER_GGUF_STRING);
    if (*cursor == array->end)
        return false;
    *cursor = string_at(*cursor, text, length);
    return true;
}
