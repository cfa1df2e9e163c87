#include "file/json_write.h"

#include <assert.h>
#include <float.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

dither_status dither_json_writer_open(dither_json_writer *writer, const char *path, dither_error *error)
{
    writer->error = error;
    writer->used = 0;
    return writer->status = dither_atomic_open(&writer->file, path, error);
}

static void flush(dither_json_writer *writer)
{
    if (writer->used > 0 && writer->status == DITHER_OK)
        writer->status = dither_atomic_write(&writer->file, writer->buffer, writer->used, writer->error);
    writer->used = 0;
}

static void put(dither_json_writer *writer, const char *bytes, size_t size)
{
    if (size > sizeof writer->buffer - writer->used)
        flush(writer);
    if (size > sizeof writer->buffer) {
        if (writer->status == DITHER_OK)
            writer->status = dither_atomic_write(&writer->file, bytes, size, writer->error);
        return;
    }
    memcpy(writer->buffer + writer->used, bytes, size);
    writer->used += size;
}

void dither_json_writer_text(dither_json_writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

void dither_json_writer_print(dither_json_writer *writer, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert(length >= 0 && (size_t)length < sizeof text);
    put(writer, text, (size_t)length);
}

void dither_json_writer_string(dither_json_writer *writer, const char *text, size_t length)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    put(writer, "\"", 1);
    size_t from = 0; /* bytes from here on go out as they are */
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        put(writer, text + from, i - from);
        from = i + 1;
        const char *found = c != 0 ? strchr(plain, c) : NULL;
        if (found != NULL)
            dither_json_writer_print(writer, "\\%c", letters[found - plain]);
        else
            dither_json_writer_print(writer, "\\u%04x", c);
    }
    put(writer, text + from, length - from);
    put(writer, "\"", 1);
}

void dither_json_writer_f64(dither_json_writer *writer, double value)
{
    char text[32];
    double back;
    for (int digits = 6; digits <= DBL_DECIMAL_DIG; digits++) {
        dither_text_print_f64(value, digits, text, sizeof text);
        if (dither_text_f64(text, &back) && back == value)
            break;
    }
    dither_json_writer_text(writer, text);
    if (strpbrk(text, ".e") == NULL)
        dither_json_writer_text(writer, ".0");
}

dither_status dither_json_writer_commit(dither_json_writer *writer)
{
    flush(writer);
    return writer->status == DITHER_OK ? dither_atomic_commit(&writer->file, writer->error) : writer->status;
}

void dither_json_writer_abandon(dither_json_writer *writer)
{
    dither_atomic_abandon(&writer->file);
}
