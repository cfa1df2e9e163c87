#include "file/tfrecord.h"

#include <stdint.h>
#include <string.h>

#include "file/crc32c.h"

static uint32_t masked(const void *bytes, size_t size)
{
    const uint32_t crc = dither_crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

size_t dither_tfrecord_close(unsigned char *record, size_t size)
{
    const uint64_t length = size;
    memcpy(record, &length, sizeof length);
    const uint32_t of_length = masked(record, sizeof length);
    memcpy(record + sizeof length, &of_length, sizeof of_length);
    unsigned char *data = record + DITHER_TFRECORD_HEAD;
    const uint32_t of_data = masked(data, size);
    memcpy(data + size, &of_data, sizeof of_data);
    return DITHER_TFRECORD_HEAD + size + DITHER_TFRECORD_TAIL;
}
