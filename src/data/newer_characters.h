/*
 * Characters that Unicode 15 and 16 brought, for a PCRE2 whose tables are of Unicode 14 (Debian 12): to patterns they
 * look like an older character of the same general category and the same number of bytes.
 */
#ifndef DITHER_DATA_NEWER_CHARACTERS_H
#define DITHER_DATA_NEWER_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>

/** Whether valid UTF-8 text has such a character. */
bool dither_newer_characters_in(const unsigned char *text, size_t length);

/** Replace each in valid UTF-8 text. */
void dither_newer_characters_replace(unsigned char *text, size_t length);

#endif
