#include "data/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "data/normal_forms.h"

struct dither_added_tokens {
    char *pool;
    bool begins[256];   /* whether a token begins with the byte */
    unsigned only;      /* the byte with which all of them do; 256: several */
    size_t count;
    dither_added_token tokens[]; /* by text, in byte order */
};

static int compare(const void *a, const void *b)
{
    const dither_added_token *x = a, *y = b;
    const size_t common = x->length < y->length ? x->length : y->length;
    const int order = memcmp(x->text, y->text, common);
    if (order != 0)
        return order;
    return x->length < y->length ? -1 : x->length > y->length;
}

/* qsort keeps no order among equals; the place in the pool does. */
static int compare_places(const void *a, const void *b)
{
    const dither_added_token *x = a, *y = b;
    const int order = compare(a, b);
    return order != 0 ? order : x->text < y->text ? -1 : x->text > y->text;
}

static void index_tokens(dither_added_tokens *made)
{
    size_t kept = 0;
    qsort(made->tokens, made->count, sizeof *made->tokens, compare_places);
    for (size_t i = 0; i < made->count; i++)
        if (i + 1 == made->count || compare(&made->tokens[i], &made->tokens[i + 1]) != 0)
            made->tokens[kept++] = made->tokens[i];
    made->count = kept;
    made->only = kept > 0 ? (unsigned char)made->tokens[0].text[0] : 256;
    for (size_t i = 0; i < kept; i++) {
        const unsigned char first = (unsigned char)made->tokens[i].text[0];
        made->begins[first] = true;
        if (first != made->only)
            made->only = 256;
    }
}

dither_status dither_added_tokens_open(dither_added_tokens **added, const dither_added_token *tokens, size_t count,
                                       dither_error *error)
{
    dither_added_tokens *made = calloc(1, sizeof *made + count * sizeof *made->tokens);
    size_t size = 0, at = 0;
    *added = NULL;
    for (size_t i = 0; i < count; i++)
        size += tokens[i].length;
    if (made != NULL)
        made->pool = malloc(size + 1);
    if (made == NULL || made->pool == NULL) {
        free(made);
        return dither_fail(error, DITHER_E_MEMORY, "tokenizer", "no memory for %zu added tokens", count);
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(made->pool + at, tokens[i].text, tokens[i].length);
        made->tokens[i] = tokens[i];
        made->tokens[i].text = made->pool + at;
        at += tokens[i].length;
    }
    made->count = count;
    index_tokens(made);
    *added = made;
    return DITHER_OK;
}

void dither_added_tokens_close(dither_added_tokens *added)
{
    if (added == NULL)
        return;
    free(added->pool);
    free(added);
}

const dither_added_token *dither_added_tokens_exact(const dither_added_tokens *added, const char *text, size_t length)
{
    const dither_added_token key = {.text = text, .length = length};
    return added->count > 0 ? bsearch(&key, added->tokens, added->count, sizeof key, compare) : NULL;
}

/* The longest token that the text begins with: a range of the sorted tokens narrows with every byte. */
static const dither_added_token *longest(const dither_added_tokens *added, const char *text, size_t length)
{
    const dither_added_token *found = NULL;
    size_t low = 0, high = added->count;
    for (size_t depth = 0; depth < length && low < high; depth++) {
        const unsigned char byte = (unsigned char)text[depth];
        size_t first = low, end = high; /* the first token whose byte here is not smaller; those without one are */
        while (first < end) {
            const size_t middle = first + (end - first) / 2;
            const dither_added_token *t = &added->tokens[middle];
            if (t->length <= depth || (unsigned char)t->text[depth] < byte)
                first = middle + 1;
            else
                end = middle;
        }
        low = first;
        for (end = high; first < end;) { /* the first whose byte is larger */
            const size_t middle = first + (end - first) / 2;
            if ((unsigned char)added->tokens[middle].text[depth] <= byte)
                first = middle + 1;
            else
                end = middle;
        }
        high = first;
        if (low < high && added->tokens[low].length == depth + 1)
            found = &added->tokens[low];
    }
    return found;
}

/* Whether the character in front of `at`, or behind it, belongs to a word. */
static bool word_before(const char *text, size_t at)
{
    size_t first = at, bytes;
    while (first > 0 && at - first < 4 && (first == at || ((unsigned char)text[first] & 0xc0) == 0x80))
        first--;
    return first < at && dither_text_utf8((const unsigned char *)text + first, at - first) == at - first &&
           dither_normal_is_word(dither_normal_character(text + first, at - first, &bytes));
}

static bool word_behind(const char *text, size_t length, size_t at)
{
    size_t bytes;
    const size_t left = length - at < 4 ? length - at : 4;
    const size_t valid = dither_text_utf8((const unsigned char *)text + at, left);
    return valid > 0 && dither_normal_is_word(dither_normal_character(text + at, left, &bytes));
}

/* White space that ends right before `at`, not reaching below `from`. */
static size_t space_before(const char *text, size_t from, size_t at)
{
    size_t first = at;
    while (first > from) {
        size_t start = first - 1, bytes;
        while (start > from && first - start < 4 && ((unsigned char)text[start] & 0xc0) == 0x80)
            start--;
        if (dither_text_utf8((const unsigned char *)text + start, first - start) != first - start ||
            !dither_normal_is_space(dither_normal_character(text + start, first - start, &bytes)))
            break;
        first = start;
    }
    return first;
}

static size_t space_behind(const char *text, size_t length, size_t at)
{
    size_t bytes;
    while (at < length) {
        const size_t left = length - at < 4 ? length - at : 4;
        const size_t valid = dither_text_utf8((const unsigned char *)text + at, left);
        if (valid == 0 || !dither_normal_is_space(dither_normal_character(text + at, left, &bytes)))
            break;
        at += bytes;
    }
    return at;
}

const dither_added_token *dither_added_tokens_find(const dither_added_tokens *added, bool special, const char *text,
                                                   size_t length, size_t from, size_t *first, size_t *end)
{
    for (size_t at = from; at < length; at++) {
        if (added->only < 256) {
            const char *next = memchr(text + at, (int)added->only, length - at);
            if (next == NULL)
                return NULL;
            at = (size_t)(next - text);
        } else if (!added->begins[(unsigned char)text[at]]) {
            continue;
        }
        const dither_added_token *t = longest(added, text + at, length - at);
        if (t == NULL)
            continue;
        const bool inside = t->single_word && (word_before(text, at) || word_behind(text, length, at + t->length));
        if ((t->special && !special) || inside) {
            at += t->length - 1;
            continue;
        }
        *first = t->lstrip ? space_before(text, from, at) : at;
        *end = t->rstrip ? space_behind(text, length, at + t->length) : at + t->length;
        return t;
    }
    return NULL;
}
