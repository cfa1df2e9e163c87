/* Reading JSON files through cJSON, with errors that name file, line and key. */
#ifndef DITHER_FILE_JSON_H
#define DITHER_FILE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

/**
 * Parse a whole file of at most `limit` bytes. Nothing may follow the value; nesting is bounded; duplicate keys at the
 * top level, control characters and characters 0 in strings are refused.
 * @return DITHER_OK (cJSON_Delete the value) | DITHER_E_IO | DITHER_E_FORMAT
 */
DITHER_MUST_USE dither_status dither_json_file(const char *path, size_t limit, cJSON **value, dither_error *error);
/** The same on bytes. @param path  for error messages */
DITHER_MUST_USE dither_status dither_json_parse(const char *bytes, size_t size, const char *path, cJSON **value,
                                                dither_error *error);

/** Whether UTF-8 text is free of control characters, so that an error may quote it on a terminal. */
bool dither_json_printable(const char *text);

/**
 * object[key] as an integer in min..max; integers are exact up to 2^53, and larger ones are refused.
 * @param found  NULL: the key must be there; else receives whether it is. Null counts as absent; *value is left then
 */
DITHER_MUST_USE dither_status dither_json_u64(const cJSON *object, const char *key, uint64_t min, uint64_t max,
                                              uint64_t *value, bool *found, const char *path, dither_error *error);
/** object[key] as a finite number. */
DITHER_MUST_USE dither_status dither_json_f64(const cJSON *object, const char *key, double *value, bool *found,
                                              const char *path, dither_error *error);
DITHER_MUST_USE dither_status dither_json_bool(const cJSON *object, const char *key, bool *value, bool *found,
                                               const char *path, dither_error *error);
/** object[key] as a string that lives as long as object. */
DITHER_MUST_USE dither_status dither_json_text(const cJSON *object, const char *key, const char **value, bool *found,
                                               const char *path, dither_error *error);

#endif
