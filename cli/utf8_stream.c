#include "utf8_stream.h"

#include <string.h>

#include "output.h"

static const char replacement[] = "\xEF\xBF\xBD";

/* C0 but for tab and newline, DEL, C1: a terminal would obey them. */
static bool is_control(const unsigned char *c, size_t length)
{
    if (length == 1)
        return (c[0] < 0x20 && c[0] != '\n' && c[0] != '\t') || c[0] == 0x7F;
    return length == 2 && c[0] == 0xC2 && c[1] < 0xA0;
}

static void put(const dither_utf8_stream *stream, size_t length, bool whole)
{
    if (stream->clean && (!whole || is_control(stream->held, length)))
        fputs(replacement, stream->out);
    else
        fwrite(stream->held, 1, length, stream->out);
}

static void drop(dither_utf8_stream *stream, size_t length)
{
    stream->count -= length;
    memmove(stream->held, stream->held + length, stream->count);
}

void dither_utf8_stream_init(dither_utf8_stream *stream, FILE *out, bool clean)
{
    *stream = (dither_utf8_stream){.out = out, .clean = clean};
}

void dither_utf8_stream_write(dither_utf8_stream *stream, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        stream->held[stream->count++] = (unsigned char)bytes[i];
        int whole;
        while ((whole = dither_output_utf8(stream->held, stream->count)) != 0) {
            const size_t taken = whole > 0 ? (size_t)whole : 1;
            put(stream, taken, whole > 0);
            drop(stream, taken);
        }
    }
}

void dither_utf8_stream_end(dither_utf8_stream *stream)
{
    if (stream->count)
        put(stream, stream->count, false);
    stream->count = 0;
}
