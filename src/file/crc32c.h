/* CRC-32C (Castagnoli; RFC 3720, appendix B.4). */
#ifndef DITHER_FILE_CRC32C_H
#define DITHER_FILE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t dither_crc32c(const void *bytes, size_t size);

#endif
