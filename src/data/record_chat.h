/* What one record says: the messages of a chat, or a text. */
#ifndef DITHER_DATA_RECORD_CHAT_H
#define DITHER_DATA_RECORD_CHAT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "data/bytes.h"
#include "data/record_text.h"
#include "dither/chat.h"

typedef struct dither_record_chat {
    dither_chat_message *messages; /* [count]; none: the record is a text */
    bool *unweighted;              /* [count] answers that are not to be trained on */
    size_t count, capacity;
    const char *text; /* [length] of a record that is a text */
    size_t length;
    dither_bytes joined; /* a question of two fields */
    dither_record_texts texts;
} dither_record_chat;

/**
 * Read an object. Its strings are pointed to: it must outlive what is read.
 * @param chat    zeroed before the first call, and used again for the next; dither_record_chat_free() it in the end
 * @param fields  as in dither_records_options; NULL: the usual ones
 * @return DITHER_OK | DITHER_E_FORMAT (error says what is expected and what is there) | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_record_chat_read(dither_record_chat *chat, const cJSON *object,
                                                      const char *fields, dither_error *error);
void dither_record_chat_free(dither_record_chat *chat);

/** Whether it has answers that are to be trained on, and each of them is empty or white space. */
bool dither_record_chat_unanswered(const dither_record_chat *chat);

/** Whether `fields` names one or two fields. @return DITHER_OK | DITHER_E_USAGE */
DITHER_MUST_USE dither_status dither_record_fields_check(const char *fields, dither_error *error);

#endif
