/* Unicode's normal forms, and what else maps characters one by one, appended to a buffer. */
#ifndef DITHER_DATA_NORMAL_FORMS_H
#define DITHER_DATA_NORMAL_FORMS_H

#include "data/normalizer.h"

/** Whether the form leaves valid UTF-8 as it is, by a quick look: false says nothing. */
bool dither_normal_form_stable(dither_normal_kind form, const char *text, size_t length);

/** Append the normal form of valid UTF-8. @return false: no memory */
DITHER_MUST_USE bool dither_normal_form(dither_normal_kind form, dither_normalizer_scratch *scratch, const char *text,
                                        size_t length, dither_buffer *out);

/** Append the text in lower case, character by character. @return false: no memory */
DITHER_MUST_USE bool dither_normal_lowercase(const char *text, size_t length, dither_buffer *out);

/** Bytes of white space at the beginning and at the end of valid UTF-8. */
size_t dither_normal_space_left(const char *text, size_t length);
size_t dither_normal_space_right(const char *text, size_t length);

/** The character at the beginning of valid UTF-8, and its length. */
int dither_normal_character(const char *text, size_t length, size_t *bytes);

/** Whether Unicode calls it white space; whether it belongs to a word. */
bool dither_normal_is_space(int character);
bool dither_normal_is_word(int character);

#endif
