/* Text that arrives in pieces, written so that no character is ever cut in two. */
#ifndef DITHER_CLI_UTF8_STREAM_H
#define DITHER_CLI_UTF8_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct dither_utf8_stream {
    FILE *out;
    bool clean; /* bytes that are no character, and control characters, become U+FFFD; else they pass as they are */
    unsigned char held[4];
    size_t count;
} dither_utf8_stream;

void dither_utf8_stream_init(dither_utf8_stream *stream, FILE *out, bool clean);
void dither_utf8_stream_write(dither_utf8_stream *stream, const char *bytes, size_t length);

/** Nothing more comes: what is held back is cut short and is written as it is. */
void dither_utf8_stream_end(dither_utf8_stream *stream);

#endif
