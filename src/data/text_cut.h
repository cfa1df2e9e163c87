/* Where a text may be cut in two so that pre-tokenizing the parts gives the pieces of the whole. */
#ifndef DITHER_DATA_TEXT_CUT_H
#define DITHER_DATA_TEXT_CUT_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Whether every pattern of dither_pretokenizer_open begins a piece at text[at] and would end the one before it there if
 * the text ended: before a space between two ASCII letters, or behind a single newline between two characters that are
 * no white space, of which the second is no slash (gpt-4o lets slashes follow newlines).
 */
bool dither_text_cut_safe(const unsigned char *text, size_t length, size_t at);

/** Whether the characters on both sides are there and surely no white space; true for most that are not. */
bool dither_text_cut_visible(const unsigned char *text, size_t length, size_t at);

#endif
