/* Bytes that grow. A buffer that could not grow stays failed, so that a writer looks once, at the end. */
#ifndef DITHER_DATA_BYTES_H
#define DITHER_DATA_BYTES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct dither_bytes {
    char *bytes; /* [size]; free() it */
    size_t size, capacity;
    bool failed;
} dither_bytes;

void dither_bytes_add(dither_bytes *buffer, const char *bytes, size_t size);
void dither_bytes_add_text(dither_bytes *buffer, const char *text);

/** Room for `count` more bytes, which the caller writes and then counts into size. @return NULL: no memory */
char *dither_bytes_room(dither_bytes *buffer, size_t count);

#endif
