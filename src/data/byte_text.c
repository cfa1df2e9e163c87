/* The characters by which a byte-level vocabulary spells bytes. */
#include <string.h>

#include "data/tokenizer_parts.h"

static bool prints(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
}

/*
 * The byte itself where Latin-1 prints something, else the next free code point from 256 on: 0x00 to 0x20, 0x7f to
 * 0xa0, and 0xad.
 */
static unsigned byte_character(unsigned byte)
{
    if (prints(byte))
        return byte;
    return DITHER_BYTES + (byte < 0x7f ? byte : byte < 0xad ? byte - 0x7f + 0x21 : 0x43);
}

void dither_byte_text(unsigned byte, char text[static 3])
{
    const unsigned character = byte_character(byte);
    size_t length = 0;
    if (character < 0x80) {
        text[length++] = (char)character;
    } else {
        text[length++] = (char)(0xc0 | character >> 6);
        text[length++] = (char)(0x80 | (character & 0x3f));
    }
    text[length] = '\0';
}

/* The byte of a character; DITHER_BYTES: none. */
static unsigned byte_of(unsigned character)
{
    static const unsigned last = DITHER_BYTES + 0x43;
    if (character < DITHER_BYTES)
        return prints(character) ? character : DITHER_BYTES;
    const unsigned place = character - DITHER_BYTES;
    return character > last    ? DITHER_BYTES
           : character == last ? 0xad
           : place < 0x21      ? place
                               : place - 0x21 + 0x7f;
}

size_t dither_byte_text_decode(const char *text, size_t length, char *bytes)
{
    size_t count = 0;
    for (size_t at = 0; at < length;) {
        const unsigned first = (unsigned char)text[at];
        const bool two = (first & 0xe0) == 0xc0 && at + 1 < length && ((unsigned char)text[at + 1] & 0xc0) == 0x80;
        const unsigned byte = two            ? byte_of((first & 0x1f) << 6 | ((unsigned char)text[at + 1] & 0x3f))
                              : first < 0x80 ? byte_of(first)
                                             : DITHER_BYTES;
        if (byte == DITHER_BYTES)
            return SIZE_MAX;
        bytes[count++] = (char)byte;
        at += two ? 2 : 1;
    }
    return count;
}
