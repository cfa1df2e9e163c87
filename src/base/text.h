/* Numbers and names in text, read strictly: the whole string or nothing. */
#ifndef DITHER_BASE_TEXT_H
#define DITHER_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Decimal integer 0..max, no sign, no spaces. False where text is anything else. */
bool dither_text_u64(const char *text, uint64_t max, uint64_t *value);

/** A finite decimal number (C locale). False for nan, inf, hex, trailing characters, an empty string. */
bool dither_text_f64(const char *text, double *value);

/**
 * A finite number with `precision` significant digits, as %.*g prints it in the C locale, whatever locale is set.
 * @param text  receives at most size - 1 bytes; 32 are enough for 17 digits
 */
void dither_text_print_f64(double value, int precision, char *text, size_t size);

/** Bytes with an optional suffix K, M, G, T (1024-based; "KB", "KiB" too): "512M", "1.5G", "4096". */
bool dither_text_size(const char *text, uint64_t *bytes);

/** The candidate nearest to `text` by edit distance, or NULL where none is near (more than a third of it differs, at
 * least 2 edits allowed). */
const char *dither_text_nearest(const char *text, const char *const *candidates, size_t count);

/** Length of the valid UTF-8 prefix of text (no overlong forms, surrogates, or code points above 10FFFF). */
size_t dither_text_utf8(const unsigned char *text, size_t length);

/** Bytes as people read them, "1.2 GB" (1000-based), into text[16]. */
void dither_text_bytes(uint64_t bytes, char *text);

#endif
