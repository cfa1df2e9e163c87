/* The characters that stand for bytes in a byte-level vocabulary, as GPT-2 chose them. */
#ifndef DITHER_DATA_BYTE_LEVEL_H
#define DITHER_DATA_BYTE_LEVEL_H

#include <stddef.h>

/**
 * The character of a byte in UTF-8, 0-terminated: the byte itself where Latin-1 prints something, else the next free
 * code point from 256 on.
 */
void dither_byte_level_text(unsigned byte, char text[static 3]);

/** The byte whose character is the index-th by code point, 0..255. */
unsigned dither_byte_level_sorted(unsigned index);

/** The byte for which the first character of a 0-terminated text stands. @return bytes of the character; 0: none */
size_t dither_byte_level_byte(const char *text, unsigned *byte);

#endif
