/* Writing JSON files of any length through one small buffer, replaced by one rename. */
#ifndef DITHER_FILE_JSON_WRITE_H
#define DITHER_FILE_JSON_WRITE_H

#include <stddef.h>

#include "file/atomic.h"

/* After a failure nothing is written any more, and commit returns it. */
typedef struct dither_json_writer {
    dither_atomic file;
    dither_error *error;
    dither_status status;
    size_t used;
    char buffer[16384];
} dither_json_writer;

DITHER_MUST_USE dither_status dither_json_writer_open(dither_json_writer *writer, const char *path,
                                                      dither_error *error);
/** Bytes as they stand. */
void dither_json_writer_text(dither_json_writer *writer, const char *text);
void dither_json_writer_print(dither_json_writer *writer, const char *format, ...) DITHER_PRINTF(2, 3);
/** A string with its quotes; the text must be UTF-8, which is not checked here. */
void dither_json_writer_string(dither_json_writer *writer, const char *text, size_t length);
/** The shortest decimal from 6 digits on that reads back as the same number; one that stays a float in Python. */
void dither_json_writer_f64(dither_json_writer *writer, double value);
/** Put the file in place. On failure there is none, or the old one. */
DITHER_MUST_USE dither_status dither_json_writer_commit(dither_json_writer *writer);
void dither_json_writer_abandon(dither_json_writer *writer);

#endif
