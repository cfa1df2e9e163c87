#include "data/bytes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

char *dither_bytes_room(dither_bytes *buffer, size_t count)
{
    if (buffer->failed || count > SIZE_MAX / 2 - buffer->size) {
        buffer->failed = true;
        return NULL;
    }
    const size_t needed = buffer->size + count;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity + buffer->capacity / 2;
        if (capacity < needed)
            capacity = needed < 64 ? 64 : needed;
        char *bytes = realloc(buffer->bytes, capacity);
        if (!bytes) {
            buffer->failed = true;
            return NULL;
        }
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    return buffer->bytes ? buffer->bytes + buffer->size : NULL;
}

void dither_bytes_add(dither_bytes *buffer, const char *bytes, size_t size)
{
    char *room = size > 0 ? dither_bytes_room(buffer, size) : NULL;
    if (!room)
        return;
    memcpy(room, bytes, size);
    buffer->size += size;
}

void dither_bytes_add_text(dither_bytes *buffer, const char *text)
{
    dither_bytes_add(buffer, text, strlen(text));
}
