/*
 * Regular expressions as Hugging Face tokenizers and llama.cpp write them, for Oniguruma in its Ruby syntax, compiled
 * by PCRE2. What the two would read differently is rewritten, or refused by name.
 */
#ifndef DITHER_DATA_PATTERN_H
#define DITHER_DATA_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/status.h"

typedef struct dither_pattern dither_pattern;

/**
 * @param literal  the pattern is the very text to find
 * @return DITHER_OK | DITHER_E_FORMAT | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_pattern_open(dither_pattern **pattern, const char *text, bool literal,
                                                  dither_error *error);
void dither_pattern_close(dither_pattern *pattern);

/** Whether it can match nothing, between two characters. */
bool dither_pattern_matches_empty(const dither_pattern *pattern);

/** What a search writes to, one a thread. @return NULL: no memory */
void *dither_pattern_scratch(const dither_pattern *pattern);
void dither_pattern_scratch_close(void *scratch);

/**
 * The first match in text[from, length); the text is valid UTF-8, and what lies before `from` is seen only by what
 * looks back. A pattern that exceeds PCRE2's bounds of work is taken to match the one character at `from`.
 * @param first, end  of the match; `length`, `length` where there is none
 */
void dither_pattern_find(const dither_pattern *pattern, void *scratch, const char *text, size_t length, size_t from,
                         size_t *first, size_t *end);

#endif
