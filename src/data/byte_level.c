#include "data/byte_level.h"

#include <stdbool.h>
#include <string.h>

enum { BYTES = 256 };

static bool prints(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
}

void dither_byte_level_text(unsigned byte, char text[static 3])
{
    unsigned character = byte, length = 0;
    if (!prints(byte)) {
        character = BYTES;
        for (unsigned i = 0; i < byte; i++)
            character += !prints(i);
    }
    if (character < 0x80) {
        text[length++] = (char)character;
    } else { /* at most 256 + 67 */
        text[length++] = (char)(0xc0 | character >> 6);
        text[length++] = (char)(0x80 | (character & 0x3f));
    }
    text[length] = '\0';
}

unsigned dither_byte_level_sorted(unsigned index)
{
    unsigned before = 0;
    for (int printing = 1; printing >= 0; printing--)
        for (unsigned byte = 0; byte < BYTES; byte++)
            if (prints(byte) == (printing != 0) && before++ == index)
                return byte;
    return BYTES;
}

size_t dither_byte_level_byte(const char *text, unsigned *byte)
{
    char character[3];
    for (*byte = 0; *byte < BYTES; ++*byte) {
        dither_byte_level_text(*byte, character);
        if (strncmp(text, character, strlen(character)) == 0)
            return strlen(character);
    }
    return 0;
}
