/*
 * Packing: codes of any width in bytes. Inside a row, a little-endian stream of bits, code 0 in the lowest; ternary is
 * five codes to a byte in base 3 (digit = code + 1, the first code the lowest digit); 16- and 32-bit codes are stored
 * in the machine's own order. What a row's last byte has left over reads as code 0.
 */
#ifndef DITHER_QUANT_PACK_H
#define DITHER_QUANT_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "dither/format.h"

/** Bytes of `count` codes; SIZE_MAX where that overflows. */
size_t dither_pack_bytes(const dither_format *format, size_t count);

/** Pack codes (in their low bits) into dither_pack_bytes(format, count) bytes. */
void dither_pack(const dither_format *format, const uint32_t *codes, size_t count, uint8_t *packed);

/** Unpack the codes first .. first+count-1 of a row; `first` is a multiple of format->group_codes. */
void dither_unpack(const dither_format *format, const uint8_t *packed, size_t first, size_t count, uint32_t *codes);

#endif
