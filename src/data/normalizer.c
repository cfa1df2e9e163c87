#include "data/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "data/newer_characters.h"
#include "data/normal_forms.h"
#include "data/pattern.h"

typedef struct step {
    dither_normal_kind kind;
    char *content;
    size_t content_length;
    dither_pattern *pattern; /* NULL where needle is what to find */
    char *needle;
    size_t needle_length;
    bool left, right, first;
} step;

struct dither_normalizer {
    size_t count;
    step steps[];
};

bool dither_buffer_add(dither_buffer *buffer, const char *bytes, size_t length)
{
    if (length > buffer->capacity - buffer->length) {
        if (length > SIZE_MAX / 4 || buffer->length > SIZE_MAX / 4)
            return false;
        const size_t capacity = (buffer->length + length) / 2 * 3 + 64;
        char *grown = realloc(buffer->bytes, capacity);
        if (grown == NULL)
            return false;
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    if (length > 0)
        memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    return true;
}

void dither_buffer_close(dither_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (dither_buffer){0};
}

void dither_normalizer_scratch_close(dither_normalizer_scratch *scratch)
{
    dither_buffer_close(&scratch->buffers[0]);
    dither_buffer_close(&scratch->buffers[1]);
    free(scratch->characters);
    *scratch = (dither_normalizer_scratch){0};
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

static dither_status open_step(step *made, const dither_normal_step *s, dither_error *error)
{
    const bool replaces = s->kind == DITHER_NORMAL_REPLACE;
    made->kind = s->kind;
    made->left = s->left;
    made->right = s->right;
    made->first = s->first;
    made->content = strdup(s->content != NULL ? s->content : "");
    made->needle = strdup(replaces && s->literal ? s->pattern : "");
    if (made->content == NULL || made->needle == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "normalizer", "no memory for a step");
    made->content_length = strlen(made->content);
    made->needle_length = strlen(made->needle);
    if (!replaces || s->literal)
        return DITHER_OK;
    const dither_status status = dither_pattern_open(&made->pattern, s->pattern, false, error);
    if (status == DITHER_OK && dither_pattern_matches_empty(made->pattern))
        return dither_fail(error, DITHER_E_FORMAT, "normalizer",
                           "replacing \"%.80s\", which can match nothing, is not known to this version", s->pattern);
    return status;
}

dither_status dither_normalizer_open(dither_normalizer **normalizer, const dither_normal_step *steps, size_t count,
                                     dither_error *error)
{
    dither_normalizer *made = calloc(1, sizeof *made + count * sizeof *made->steps);
    dither_status status = DITHER_OK;
    *normalizer = NULL;
    if (made == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "normalizer", "no memory for %zu steps", count);
    for (made->count = 0; made->count < count && status == DITHER_OK; made->count++)
        status = open_step(&made->steps[made->count], &steps[made->count], error);
    if (status == DITHER_OK)
        *normalizer = made;
    else
        dither_normalizer_close(made);
    return status;
}

void dither_normalizer_close(dither_normalizer *normalizer)
{
    if (normalizer == NULL)
        return;
    for (size_t i = 0; i < normalizer->count; i++) {
        free(normalizer->steps[i].content);
        free(normalizer->steps[i].needle);
        dither_pattern_close(normalizer->steps[i].pattern);
    }
    free(normalizer);
}

/* ---- applying ------------------------------------------------------------------------------------------------ */

/* @param seen  what the pattern sees in the place of the text, as long as that */
static bool replace_seen(const step *s, void *scratch, const char *seen, const char *text, size_t length,
                         dither_buffer *out)
{
    bool fits = true;
    for (size_t at = 0; fits && at < length;) {
        size_t first, end;
        dither_pattern_find(s->pattern, scratch, seen, length, at, &first, &end);
        fits = dither_buffer_add(out, text + at, first - at);
        if (first == length)
            break;
        fits = fits && dither_buffer_add(out, s->content, s->content_length);
        at = end;
    }
    return fits;
}

static bool replace_pattern(const step *s, const char *text, size_t length, dither_buffer *out)
{
    void *scratch = dither_pattern_scratch(s->pattern);
    const bool newer = dither_newer_characters_in((const unsigned char *)text, length);
    char *copy = newer ? malloc(length) : NULL;
    if (copy != NULL) {
        memcpy(copy, text, length);
        dither_newer_characters_replace((unsigned char *)copy, length);
    }
    const bool fits = scratch != NULL && newer == (copy != NULL) &&
                      replace_seen(s, scratch, newer ? copy : text, text, length, out);
    dither_pattern_scratch_close(scratch);
    free(copy);
    return fits;
}

static bool replace_text(const step *s, const char *text, size_t length, dither_buffer *out)
{
    size_t at = 0;
    while (at < length) {
        const char *found = memmem(text + at, length - at, s->needle, s->needle_length);
        const size_t first = found != NULL ? (size_t)(found - text) : length;
        if (!dither_buffer_add(out, text + at, first - at))
            return false;
        if (found == NULL)
            break;
        if (!dither_buffer_add(out, s->content, s->content_length))
            return false;
        at = first + s->needle_length;
    }
    return true;
}

/* A step on valid UTF-8 that maps each part of a text by itself. */
static bool map(const step *s, dither_normalizer_scratch *scratch, const char *text, size_t length, dither_buffer *out)
{
    switch (s->kind) {
    case DITHER_NORMAL_LOWERCASE: return dither_normal_lowercase(text, length, out);
    case DITHER_NORMAL_REPLACE: return replace_pattern(s, text, length, out);
    default: return dither_normal_form(s->kind, scratch, text, length, out);
    }
}

/* The same on any bytes: those that are no text stay. */
static bool map_all(const step *s, dither_normalizer_scratch *scratch, const char *text, size_t length,
                    dither_buffer *out)
{
    for (size_t at = 0; at < length;) {
        const size_t valid = dither_text_utf8((const unsigned char *)text + at, length - at);
        if (!map(s, scratch, text + at, valid, out))
            return false;
        at += valid;
        if (at < length && !dither_buffer_add(out, text + at++, 1))
            return false;
    }
    return true;
}

static bool begins_with(const step *s, const char *text, size_t length)
{
    return length >= s->content_length && memcmp(text, s->content, s->content_length) == 0;
}

/* Whether the step, by a quick look, leaves the text as it is; what is cut off at its ends is. */
static bool leaves(const step *s, bool first, const char **text, size_t *length)
{
    switch (s->kind) {
    case DITHER_NORMAL_NFC:
    case DITHER_NORMAL_NFD:
    case DITHER_NORMAL_NFKC:
    case DITHER_NORMAL_NFKD:
        return dither_text_utf8((const unsigned char *)*text, *length) == *length &&
               dither_normal_form_stable(s->kind, *text, *length);
    case DITHER_NORMAL_PREPEND: return *length == 0;
    case DITHER_NORMAL_PREFIX: return *length == 0 || (s->first && !first) || begins_with(s, *text, *length);
    case DITHER_NORMAL_REPLACE:
        return s->pattern == NULL && memmem(*text, *length, s->needle, s->needle_length) == NULL;
    case DITHER_NORMAL_STRIP: {
        const size_t valid = dither_text_utf8((const unsigned char *)*text, *length);
        const size_t left = s->left ? dither_normal_space_left(*text, valid) : 0;
        *text += left;
        *length -= left;
        *length -= s->right && valid == *length + left ? dither_normal_space_right(*text, *length) : 0;
        return true;
    }
    case DITHER_NORMAL_LOWERCASE: break;
    }
    return false;
}

bool dither_normalizer_apply(const dither_normalizer *normalizer, dither_normalizer_scratch *scratch, bool first,
                             const char **text, size_t *length)
{
    size_t next = 0; /* the buffer that the text does not live in */
    for (size_t i = 0; i < normalizer->count; i++) {
        const step *s = &normalizer->steps[i];
        dither_buffer *out = &scratch->buffers[next];
        bool fits;
        if (leaves(s, first, text, length))
            continue;
        out->length = 0;
        if (s->kind == DITHER_NORMAL_PREPEND || s->kind == DITHER_NORMAL_PREFIX)
            fits = dither_buffer_add(out, s->content, s->content_length) && dither_buffer_add(out, *text, *length);
        else if (s->kind == DITHER_NORMAL_REPLACE && s->pattern == NULL)
            fits = replace_text(s, *text, *length, out);
        else
            fits = map_all(s, scratch, *text, *length, out);
        if (!fits)
            return false;
        *text = out->bytes != NULL ? out->bytes : "";
        *length = out->length;
        next = 1 - next;
    }
    return true;
}
