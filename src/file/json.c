#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/mapping.h"

static const double EXACT = 9007199254740992.0; /* 2^53: up to here a double is every integer */

static dither_status fail_at(dither_error *error, const char *path, const char *text, size_t offset, const char *what)
{
    size_t line = 1;
    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    char where[sizeof error->where];
    /* Only the end of an overlong path is cut off here: the line is the news. */
    snprintf(where, sizeof where, "%.220s:%zu", path, line);
    return dither_fail(error, DITHER_E_FORMAT, where, "not JSON: %s", what);
}

static bool is_unicode_zero(const char *text, size_t left)
{
    return left >= 6 && memcmp(text, "\\u0000", 6) == 0;
}

/*
 * What cJSON lets pass and must not: bytes that are not UTF-8, control characters, and characters 0 inside of strings,
 * which would cut a name short after it was checked.
 */
static dither_status check_text(const char *text, size_t size, const char *path, dither_error *error)
{
    size_t valid = dither_text_utf8((const unsigned char *)text, size);
    if (valid < size)
        return fail_at(error, path, text, valid, "a byte that is not UTF-8");
    bool inside = false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool space = !inside && (c == '\t' || c == '\n' || c == '\r');
        if (c < 0x20 && !space)
            return fail_at(error, path, text, i, "a control character");
        if (c == '"')
            inside = !inside;
        if (inside && c == '\\') {
            if (is_unicode_zero(text + i, size - i))
                return fail_at(error, path, text, i, "a character 0 in a string");
            i++; /* what it escapes is not a quote; the byte after it is checked by the parser */
        }
    }
    return DITHER_OK;
}

bool dither_json_printable(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (*c < 0x20 || *c == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
            return false;
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static dither_status check_keys(const cJSON *object, const char *path, dither_error *error)
{
    size_t count = 0;
    for (const cJSON *item = object->child; item != NULL; item = item->next)
        count++;
    if (!cJSON_IsObject(object) || count < 2)
        return DITHER_OK;
    const char **keys = malloc(count * sizeof *keys);
    if (keys == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory for %zu keys", count);
    size_t filled = 0;
    for (const cJSON *item = object->child; item != NULL; item = item->next)
        keys[filled++] = item->string;
    qsort(keys, count, sizeof *keys, compare_keys);
    dither_status status = DITHER_OK;
    for (size_t i = 1; i < count && status == DITHER_OK; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            status = dither_fail(error, DITHER_E_FORMAT, path, "the key \"%.200s\" is there twice",
                                 dither_json_printable(keys[i]) ? keys[i] : "(unprintable)");
    free(keys);
    return status;
}

/* `text` ends with a 0 byte after its `size` bytes. */
static dither_status parse(const char *text, size_t size, const char *path, cJSON **value, dither_error *error)
{
    dither_status status = check_text(text, size, path, error);
    if (status != DITHER_OK)
        return status;
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, size + 1, &end, false);
    size_t stop = end >= text && end <= text + size ? (size_t)(end - text) : size;
    if (root == NULL)
        return fail_at(error, path, text, stop,
                       stop >= size ? "it ends too early" : "something else is expected on this line");
    stop += strspn(text + stop, " \t\r\n");
    if (stop < size)
        status = fail_at(error, path, text, stop, "something follows the value");
    if (status == DITHER_OK)
        status = check_keys(root, path, error);
    if (status == DITHER_OK)
        *value = root;
    else
        cJSON_Delete(root);
    return status;
}

dither_status dither_json_parse(const char *bytes, size_t size, const char *path, cJSON **value, dither_error *error)
{
    *value = NULL;
    /* A copy that ends in 0: cJSON has looked one byte behind a buffer's end more than once. */
    char *text = size < SIZE_MAX ? malloc(size + 1) : NULL;
    if (text == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory for %zu bytes of JSON", size);
    if (size > 0)
        memcpy(text, bytes, size);
    text[size] = '\0';
    dither_status status = parse(text, size, path, value, error);
    free(text);
    return status;
}

dither_status dither_json_file(const char *path, size_t limit, cJSON **value, dither_error *error)
{
    *value = NULL;
    dither_mapping mapping;
    dither_status status = dither_mapping_open(&mapping, path, error);
    if (status != DITHER_OK)
        return status;
    if (mapping.size == 0)
        status = dither_fail(error, DITHER_E_FORMAT, path, "the file is empty");
    else if (mapping.size > limit)
        status = dither_fail(error, DITHER_E_FORMAT, path, "%zu bytes; at most %zu are possible here", mapping.size,
                             limit);
    else
        status = dither_json_parse((const char *)mapping.bytes, mapping.size, path, value, error);
    dither_mapping_close(&mapping);
    return status;
}

/* *item is NULL where the key is absent or null and may be. */
static dither_status look_up(const cJSON *object, const char *key, const cJSON **item, bool *found, const char *path,
                             dither_error *error)
{
    *item = NULL;
    if (!cJSON_IsObject(object))
        return dither_fail(error, DITHER_E_FORMAT, path, "not a JSON object where \"%s\" is looked for", key);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    if (cJSON_IsNull(value))
        value = NULL;
    if (found != NULL)
        *found = value != NULL;
    else if (value == NULL)
        return dither_fail(error, DITHER_E_FORMAT, path, "the key \"%s\" is missing", key);
    *item = value;
    return DITHER_OK;
}

dither_status dither_json_u64(const cJSON *object, const char *key, uint64_t min, uint64_t max, uint64_t *value,
                              bool *found, const char *path, dither_error *error)
{
    const cJSON *item;
    dither_status status = look_up(object, key, &item, found, path, error);
    if (status != DITHER_OK || item == NULL)
        return status;
    double number = item->valuedouble;
    bool integer = cJSON_IsNumber(item) && number >= 0 && number <= EXACT && number == floor(number);
    if (!integer || (uint64_t)number < min || (uint64_t)number > max)
        return dither_fail(error, DITHER_E_FORMAT, path, "\"%s\" must be an integer from %llu to %llu", key,
                           (unsigned long long)min, (unsigned long long)max);
    *value = (uint64_t)number;
    return DITHER_OK;
}

dither_status dither_json_f64(const cJSON *object, const char *key, double *value, bool *found, const char *path,
                              dither_error *error)
{
    const cJSON *item;
    dither_status status = look_up(object, key, &item, found, path, error);
    if (status != DITHER_OK || item == NULL)
        return status;
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return dither_fail(error, DITHER_E_FORMAT, path, "\"%s\" must be a finite number", key);
    *value = item->valuedouble;
    return DITHER_OK;
}

dither_status dither_json_bool(const cJSON *object, const char *key, bool *value, bool *found, const char *path,
                               dither_error *error)
{
    const cJSON *item;
    dither_status status = look_up(object, key, &item, found, path, error);
    if (status != DITHER_OK || item == NULL)
        return status;
    if (!cJSON_IsBool(item))
        return dither_fail(error, DITHER_E_FORMAT, path, "\"%s\" must be true or false", key);
    *value = cJSON_IsTrue(item);
    return DITHER_OK;
}

dither_status dither_json_text(const cJSON *object, const char *key, const char **value, bool *found, const char *path,
                               dither_error *error)
{
    const cJSON *item;
    dither_status status = look_up(object, key, &item, found, path, error);
    if (status != DITHER_OK || item == NULL)
        return status;
    if (!cJSON_IsString(item))
        return dither_fail(error, DITHER_E_FORMAT, path, "\"%s\" must be a string", key);
    *value = item->valuestring;
    return DITHER_OK;
}
