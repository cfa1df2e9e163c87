/* A text of a record's object, however JSON spells it. */
#ifndef DITHER_DATA_RECORD_TEXT_H
#define DITHER_DATA_RECORD_TEXT_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "dither/status.h"

/* Texts that are no string of the object's, made from parts or numbers. */
typedef struct dither_record_texts {
    char **made; /* [count] */
    size_t count, capacity;
} dither_record_texts;

/**
 * object[key] as text: a string; a list of parts [{"type": "text", "text": "..."}, ...], one behind the other; a
 * number, as its shortest decimal; true or false.
 * @param texts  keeps what had to be made
 * @param text   lives as long as the object and `texts`
 * @return DITHER_OK | DITHER_E_FORMAT (missing, or of another kind: error says which, and what would be right)
 *       | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_record_text(const cJSON *object, const char *key, dither_record_texts *texts,
                                                 const char **text, dither_error *error);

/** Forget the texts made so far. */
void dither_record_texts_clear(dither_record_texts *texts);
void dither_record_texts_free(dither_record_texts *texts);

/** What an item is, in words: "a list". */
const char *dither_record_kind(const cJSON *item);

#endif
