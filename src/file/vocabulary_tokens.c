#include "file/vocabulary_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

bool dither_tokens_open(dither_tokens *tokens, size_t count)
{
    *tokens = (dither_tokens){.count = count};
    tokens->token = calloc(count > 0 ? count : 1, sizeof *tokens->token);
    tokens->sorted = calloc(count > 0 ? count : 1, sizeof *tokens->sorted);
    if (tokens->token != NULL && tokens->sorted != NULL)
        return true;
    dither_tokens_close(tokens);
    return false;
}

void dither_tokens_close(dither_tokens *tokens)
{
    free(tokens->token);
    free(tokens->sorted);
    *tokens = (dither_tokens){.count = 0};
}

static int compare(const dither_token *token, const char *text, size_t length)
{
    size_t shorter = token->length < length ? token->length : length;
    int order = memcmp(token->text, text, shorter);
    return order != 0 ? order : (token->length > length) - (token->length < length);
}

/* Merges b[0..m) and c[0..n), both sorted, into a. */
static void merge(const dither_tokens *tokens, uint32_t *a, const uint32_t *b, size_t m, const uint32_t *c, size_t n)
{
    while (m > 0 || n > 0) {
        bool first = n == 0 || (m > 0 && compare(&tokens->token[*b], tokens->token[*c].text,
                                                 tokens->token[*c].length) <= 0);
        *a++ = first ? *b++ : *c++;
        m -= first;
        n -= !first;
    }
}

/* From the bottom up; qsort has no place for the tokens that ids stand for. */
static bool sort(dither_tokens *tokens)
{
    uint32_t *other = malloc((tokens->known > 0 ? tokens->known : 1) * sizeof *other);
    uint32_t *from = tokens->sorted, *to = other;
    if (other == NULL)
        return false;
    for (size_t width = 1; width < tokens->known; width *= 2) {
        for (size_t i = 0; i < tokens->known; i += 2 * width) {
            size_t left = tokens->known - i, m = left < width ? left : width;
            size_t n = left - m < width ? left - m : width;
            merge(tokens, to + i, from + i, m, from + i + m, n);
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != tokens->sorted)
        memcpy(tokens->sorted, from, tokens->known * sizeof *from);
    free(other);
    return true;
}

dither_status dither_tokens_sort(dither_tokens *tokens, const char *path, dither_error *error)
{
    tokens->known = 0;
    for (size_t id = 0; id < tokens->count; id++)
        if (tokens->token[id].text != NULL)
            tokens->sorted[tokens->known++] = (uint32_t)id;
    if (!sort(tokens))
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory for %zu tokens", tokens->count);
    for (size_t i = 1; i < tokens->known; i++) {
        const dither_token *token = &tokens->token[tokens->sorted[i]];
        if (compare(&tokens->token[tokens->sorted[i - 1]], token->text, token->length) == 0)
            return dither_fail(error, DITHER_E_FORMAT, path, "tokens %u and %u have the same text",
                               (unsigned)tokens->sorted[i - 1], (unsigned)tokens->sorted[i]);
    }
    return DITHER_OK;
}

bool dither_tokens_find(const dither_tokens *tokens, const char *text, size_t length, uint32_t *id)
{
    size_t low = 0, high = tokens->known;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(&tokens->token[tokens->sorted[middle]], text, length);
        if (order == 0) {
            *id = tokens->sorted[middle];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}
