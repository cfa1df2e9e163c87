#include "data/record_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "data/bytes.h"

const char *dither_record_kind(const cJSON *item)
{
    if (cJSON_IsString(item))
        return "a string";
    if (cJSON_IsArray(item))
        return "a list";
    if (cJSON_IsObject(item))
        return "an object";
    if (cJSON_IsNumber(item))
        return "a number";
    return cJSON_IsBool(item) ? "true or false" : "null";
}

/* Takes the memory of `made`. */
static dither_status keep(dither_record_texts *texts, char *made, const char **text, dither_error *error)
{
    if (made && texts->count == texts->capacity) {
        const size_t capacity = texts->capacity ? 2 * texts->capacity : 16;
        char **more = realloc(texts->made, capacity * sizeof *more);
        if (more) {
            texts->made = more;
            texts->capacity = capacity;
        }
    }
    if (!made || texts->count == texts->capacity) {
        free(made);
        return dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for a record");
    }
    texts->made[texts->count++] = made;
    *text = made;
    return DITHER_OK;
}

static void print_shortest(double value, char *text, size_t size)
{
    double back = 0;
    for (int digits = 1; digits <= 17; digits++) {
        dither_text_print_f64(value, digits, text, size);
        if (dither_text_f64(text, &back) && !(back < value) && !(back > value))
            return;
    }
}

/* Beyond 2^53 a number is not what the file says any more, and far from 1 nobody writes it out. */
static dither_status number_text(const char *key, double value, dither_record_texts *texts, const char **text,
                                 dither_error *error)
{
    char digits[32];
    const double size = fabs(value);
    if (!(size < 9007199254740992.0) || (size > 0 && size < 1e-4))
        return dither_fail(error, DITHER_E_FORMAT, NULL,
                           "\"%s\" is a number that can be written in several ways; make it a string", key);
    if (value == floor(value))
        (void)snprintf(digits, sizeof digits, "%.0f", value);
    else
        print_shortest(value, digits, sizeof digits);
    return keep(texts, strdup(digits), text, error);
}

static dither_status add_part(const char *key, size_t number, const cJSON *part, dither_bytes *whole,
                              dither_error *error)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(part, "type");
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(part, "text");
    if (!cJSON_IsString(type))
        return dither_fail(error, DITHER_E_FORMAT, NULL,
                           "\"%s\" must be a string, or a list of parts {\"type\": \"text\", \"text\": \"...\"}; "
                           "element %zu is %s%s", key, number, dither_record_kind(part),
                           cJSON_IsObject(part) ? " without a type" : "");
    if (strcmp(type->valuestring, "text") != 0)
        return dither_fail(error, DITHER_E_FORMAT, NULL,
                           "\"%s\": part %zu is of type \"%.40s\", and only \"text\" can be trained on; leave such "
                           "records out", key, number, type->valuestring);
    if (!cJSON_IsString(text))
        return dither_fail(error, DITHER_E_FORMAT, NULL, "\"%s\": the \"text\" of part %zu must be a string%s%s", key,
                           number, text ? ", here it is " : "; it is missing", text ? dither_record_kind(text) : "");
    dither_bytes_add_text(whole, text->valuestring);
    return DITHER_OK;
}

static dither_status parts_text(const char *key, const cJSON *list, dither_record_texts *texts, const char **text,
                                dither_error *error)
{
    dither_bytes whole = {.size = 0};
    dither_status status = DITHER_OK;
    size_t number = 0;
    const cJSON *part;
    if (!list->child)
        return dither_fail(error, DITHER_E_FORMAT, NULL, "\"%s\" is an empty list; a string is expected", key);
    cJSON_ArrayForEach(part, list)
    {
        if (status == DITHER_OK)
            status = add_part(key, ++number, part, &whole, error);
    }
    dither_bytes_add(&whole, "", 1);
    if (status != DITHER_OK || whole.failed) {
        free(whole.bytes);
        return status != DITHER_OK ? status : dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for a record");
    }
    return keep(texts, whole.bytes, text, error);
}

dither_status dither_record_text(const cJSON *object, const char *key, dither_record_texts *texts, const char **text,
                                 dither_error *error)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item)
        return dither_fail(error, DITHER_E_FORMAT, NULL, "the field \"%s\" is missing", key);
    if (cJSON_IsArray(item))
        return parts_text(key, item, texts, text, error);
    if (cJSON_IsNumber(item))
        return number_text(key, item->valuedouble, texts, text, error);
    if (cJSON_IsBool(item))
        *text = cJSON_IsTrue(item) ? "true" : "false";
    else if (cJSON_IsString(item))
        *text = item->valuestring;
    else
        return dither_fail(error, DITHER_E_FORMAT, NULL, "\"%s\" must be a string, here it is %s", key,
                           dither_record_kind(item));
    return DITHER_OK;
}

void dither_record_texts_clear(dither_record_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->made[i]);
    texts->count = 0;
}

void dither_record_texts_free(dither_record_texts *texts)
{
    dither_record_texts_clear(texts);
    free(texts->made);
    *texts = (dither_record_texts){.count = 0};
}
