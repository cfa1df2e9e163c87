/*
 * A file of JSON values, one after another: a line each (JSON Lines), or the elements of one array. No more of the file
 * than one value is in memory.
 */
#ifndef DITHER_DATA_RECORD_READER_H
#define DITHER_DATA_RECORD_READER_H

#include <stdbool.h>
#include <stdio.h>

#include "data/bytes.h"
#include "dither/status.h"

enum { DITHER_RECORD_BYTES = 64 << 20 }; /* of one value at most */

typedef struct dither_record_reader {
    const char *path;
    FILE *file;
    bool array; /* the file is one array */
    bool ended;
    size_t line;  /* that the next byte stands in */
    size_t count; /* values so far */
    dither_bytes value;
} dither_record_reader;

/** @param path  must outlive the reader. dither_record_reader_close() in any case */
DITHER_MUST_USE dither_status dither_record_reader_open(dither_record_reader *reader, const char *path,
                                                        dither_error *error);
void dither_record_reader_close(dither_record_reader *reader);

/**
 * The next value's bytes, in reader->value until the next call; they need not be JSON.
 * @param line   receives the line where they begin
 * @param found  receives whether there was one more
 * @return DITHER_OK | DITHER_E_FORMAT (an array that is none, a value that is too long) | DITHER_E_IO | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_record_reader_next(dither_record_reader *reader, size_t *line, bool *found,
                                                        dither_error *error);

/** Fill error as "FILE:LINE: text". */
dither_status dither_record_fail(dither_error *error, dither_status status, const char *path, size_t line,
                                 const char *format, ...) DITHER_PRINTF(5, 6);

#endif
