/*
 * Records as TensorFlow's TFRecord files have them, one behind the other:
 *
 *     uint64 length, uint32 masked CRC-32C of the length, the data, uint32 masked CRC-32C of the data
 *
 * little-endian. A CRC of data that hold CRCs is weak, hence the mask: rotated right by 15 bits, plus 0xa282ead8.
 */
#ifndef DITHER_FILE_TFRECORD_H
#define DITHER_FILE_TFRECORD_H

#include <stddef.h>

enum {
    DITHER_TFRECORD_HEAD = 12, /* bytes before the data */
    DITHER_TFRECORD_TAIL = 4   /* and behind */
};

/**
 * Put head and tail around data that stand at record + DITHER_TFRECORD_HEAD.
 * @param record  [DITHER_TFRECORD_HEAD + size + DITHER_TFRECORD_TAIL]
 * @return the whole record's bytes
 */
size_t dither_tfrecord_close(unsigned char *record, size_t size);

#endif
