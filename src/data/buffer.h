/* Bytes that grow. A buffer that could not grow stays failed, so that a writer looks once, at the end. */
#ifndef DITHER_DATA_BUFFER_H
#define DITHER_DATA_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct dither_buffer {
    char *bytes; /* [size]; free() it */
    size_t size, capacity;
    bool failed;
} dither_buffer;

void dither_buffer_add(dither_buffer *buffer, const char *bytes, size_t size);
void dither_buffer_add_text(dither_buffer *buffer, const char *text);

/** Room for `count` more bytes, which the caller writes and then counts into size. @return NULL: no memory */
char *dither_buffer_room(dither_buffer *buffer, size_t count);

#endif
