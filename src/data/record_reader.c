#include "data/record_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/mapping.h"

dither_status dither_record_fail(dither_error *error, dither_status status, const char *path, size_t line,
                                 const char *format, ...)
{
    char where[sizeof error->where], text[sizeof error->text];
    (void)snprintf(where, sizeof where, "%.220s:%zu", path, line);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return dither_fail(error, status, where, "%s", text);
}

static int next_byte(dither_record_reader *reader)
{
    const int c = getc_unlocked(reader->file);
    reader->line += c == '\n';
    return c;
}

/* Takes back the byte that next_byte gave last. */
static void put_back(dither_record_reader *reader, int c)
{
    if (c == EOF)
        return;
    (void)ungetc(c, reader->file);
    reader->line -= c == '\n';
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The first byte that is no white space, or EOF; it stays unread. */
static int skip_space(dither_record_reader *reader)
{
    int c = next_byte(reader);
    while (is_space(c))
        c = next_byte(reader);
    put_back(reader, c);
    return c;
}

/* A byte-order mark at the front of the file is no part of it. */
static void skip_mark(dither_record_reader *reader)
{
    unsigned char mark[3];
    const size_t n = fread(mark, 1, sizeof mark, reader->file);
    if (n != sizeof mark || memcmp(mark, "\xef\xbb\xbf", sizeof mark) != 0)
        rewind(reader->file);
}

dither_status dither_record_reader_open(dither_record_reader *reader, const char *path, dither_error *error)
{
    *reader = (dither_record_reader){.path = path, .line = 1};
    reader->file = fopen(path, "rbe");
    if (!reader->file)
        return dither_fail_errno(error, path, "open", errno);
    errno = 0;
    skip_mark(reader);
    if (skip_space(reader) == '[') {
        reader->array = true;
        (void)next_byte(reader);
    }
    return ferror(reader->file) ? dither_fail_errno(error, path, "read", errno) : DITHER_OK;
}

void dither_record_reader_close(dither_record_reader *reader)
{
    if (reader->file)
        (void)fclose(reader->file);
    free(reader->value.bytes);
    *reader = (dither_record_reader){.path = reader->path};
}

static dither_status keep(dither_record_reader *reader, int c, size_t line, dither_error *error)
{
    const char byte = (char)(unsigned char)c;
    if (reader->value.size == DITHER_RECORD_BYTES)
        return dither_record_fail(error, DITHER_E_FORMAT, reader->path, line,
                                  "a record of more than %d MB; one JSON object a line is expected",
                                  DITHER_RECORD_BYTES >> 20);
    dither_bytes_add(&reader->value, &byte, 1);
    if (reader->value.failed)
        return dither_record_fail(error, DITHER_E_MEMORY, reader->path, line, "no memory for a record");
    return DITHER_OK;
}

static dither_status read_line(dither_record_reader *reader, size_t line, dither_error *error)
{
    for (int c; (c = next_byte(reader)) != EOF && c != '\n';) {
        const dither_status status = keep(reader, c, line, error);
        if (status != DITHER_OK)
            return status;
    }
    return DITHER_OK;
}

/* Up to the comma or the bracket behind an element, which stays unread. */
static dither_status read_element(dither_record_reader *reader, size_t line, dither_error *error)
{
    size_t depth = 0;
    bool inside = false, escaped = false; /* of a string */
    for (int c; (c = next_byte(reader)) != EOF;) {
        const bool closes = !inside && (c == '}' || c == ']');
        if (depth == 0 && !inside && (c == ',' || closes)) {
            put_back(reader, c);
            return DITHER_OK;
        }
        const dither_status status = keep(reader, c, line, error);
        if (status != DITHER_OK)
            return status;
        if (c == '"' && !escaped)
            inside = !inside;
        escaped = inside && c == '\\' && !escaped;
        depth += !inside && (c == '{' || c == '[');
        depth -= closes;
    }
    return DITHER_OK;
}

/* Between two elements: a comma, or the array's end and nothing behind it. */
static dither_status read_separator(dither_record_reader *reader, dither_error *error)
{
    int c = skip_space(reader);
    if (c == ',' && reader->count > 0) {
        (void)next_byte(reader);
        if (skip_space(reader) == ']')
            return dither_record_fail(error, DITHER_E_FORMAT, reader->path, reader->line,
                                      "not JSON: a comma before the array's end");
        return DITHER_OK;
    }
    if (c == ']') {
        (void)next_byte(reader);
        reader->ended = true;
        if (skip_space(reader) == EOF)
            return DITHER_OK;
        return dither_record_fail(error, DITHER_E_FORMAT, reader->path, reader->line,
                                  "not JSON: something follows the array");
    }
    if (c == EOF || reader->count > 0)
        return dither_record_fail(error, DITHER_E_FORMAT, reader->path, reader->line, "not JSON: %s",
                                  c == EOF ? "the array has no end; is the file whole?"
                                           : "a comma or the array's end is expected");
    return DITHER_OK;
}

dither_status dither_record_reader_next(dither_record_reader *reader, size_t *line, bool *found, dither_error *error)
{
    *found = false;
    errno = 0;
    dither_status status = DITHER_OK;
    if (reader->array && !reader->ended)
        status = read_separator(reader, error);
    if (status == DITHER_OK && !reader->ended)
        *found = skip_space(reader) != EOF;
    *line = reader->line;
    reader->value.size = 0;
    if (status == DITHER_OK && *found) {
        status = reader->array ? read_element(reader, *line, error) : read_line(reader, *line, error);
        reader->count++;
    }
    if (ferror(reader->file))
        return dither_fail_errno(error, reader->path, "read", errno);
    return status;
}
