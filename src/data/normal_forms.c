#include "data/normal_forms.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/arena.h"

/* ---- characters ---------------------------------------------------------------------------------------------- */

int dither_normal_character(const char *text, size_t length, size_t *bytes)
{
    const unsigned char *t = (const unsigned char *)text;
    assert(length > 0);
    (void)length;
    if (t[0] < 0x80)
        return *bytes = 1, t[0];
    if (t[0] < 0xe0)
        return *bytes = 2, (t[0] & 0x1f) << 6 | (t[1] & 0x3f);
    if (t[0] < 0xf0)
        return *bytes = 3, (t[0] & 0xf) << 12 | (t[1] & 0x3f) << 6 | (t[2] & 0x3f);
    return *bytes = 4, (t[0] & 7) << 18 | (t[1] & 0x3f) << 12 | (t[2] & 0x3f) << 6 | (t[3] & 0x3f);
}

bool dither_normal_is_space(int c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool dither_normal_is_word(int c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return c == 0x200c || c == 0x200d; /* which join letters */
    }
}

size_t dither_normal_space_left(const char *text, size_t length)
{
    size_t at = 0, bytes = 0;
    while (at < length && dither_normal_is_space(dither_normal_character(text + at, length - at, &bytes)))
        at += bytes;
    return at;
}

size_t dither_normal_space_right(const char *text, size_t length)
{
    size_t end = length, bytes;
    while (end > 0) {
        size_t at = end - 1;
        while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
            at--;
        if (!dither_normal_is_space(dither_normal_character(text + at, end - at, &bytes)))
            break;
        end = at;
    }
    return length - end;
}

static bool add_character(dither_buffer *out, int character)
{
    utf8proc_uint8_t bytes[4];
    const utf8proc_ssize_t length = utf8proc_encode_char(character, bytes);
    return length > 0 && dither_buffer_add(out, (const char *)bytes, (size_t)length);
}

bool dither_normal_lowercase(const char *text, size_t length, dither_buffer *out)
{
    for (size_t at = 0, bytes; at < length; at += bytes) {
        const int character = dither_normal_character(text + at, length - at, &bytes);
        /* the one whose lower case is two characters: a dotted capital I */
        const bool fits = character == 0x130 ? dither_buffer_add(out, "i\xcc\x87", 3)
                                             : add_character(out, utf8proc_tolower(character));
        if (!fits)
            return false;
    }
    return true;
}

bool dither_normal_strip_accents(const char *text, size_t length, dither_buffer *out)
{
    for (size_t at = 0, bytes; at < length; at += bytes) {
        const utf8proc_category_t category = utf8proc_category(dither_normal_character(text + at, length - at, &bytes));
        const bool mark = category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
                          category == UTF8PROC_CATEGORY_ME;
        if (!mark && !dither_buffer_add(out, text + at, bytes))
            return false;
    }
    return true;
}

/* ---- normal forms -------------------------------------------------------------------------------------------- */

enum {
    C = 1 << DITHER_NORMAL_NFC,
    D = 1 << DITHER_NORMAL_NFD,
    KC = 1 << DITHER_NORMAL_NFKC,
    KD = 1 << DITHER_NORMAL_NFKD
};

/*
 * Characters that a form leaves alone, that are no marks, and that do not combine with what stands before them: a text
 * may be cut in front of them. Most of them, not all; Unicode promises that they stay so.
 */
static const struct {
    int first, last, forms;
} stable[] = {
    {0x0, 0x9f, C | D | KC | KD},       {0xa0, 0xbf, C | D},
    {0xc0, 0x2ff, C},                   {0x3a3, 0x482, C},
    {0x48a, 0x52f, C},                  {0x5d0, 0x5ea, C | D | KC | KD},
    {0x620, 0x64a, C},                  {0x671, 0x6d3, C},
    {0x904, 0x939, C},                  {0xe01, 0xe30, C | D},
    {0x10d0, 0x10fa, C | D},            {0x1e00, 0x1eff, C},
    {0x2010, 0x2027, C | D},            {0x2190, 0x2211, C},
    {0x2500, 0x2775, C | D | KC | KD},  {0x3041, 0x3096, C},
    {0x30a0, 0x30fb, C},                {0x3400, 0x9fff, C | D | KC | KD},
    {0xac00, 0xd7a3, C | KC},           {0xff01, 0xff9d, C | D},
    {0x1f300, 0x1f64f, C | D | KC | KD}, {0x1f900, 0x1f9ff, C | D | KC | KD},
    {0x20000, 0x2a6df, C | D | KC | KD},
};

static bool is_stable(int form, int character)
{
    size_t low = 0, high = sizeof stable / sizeof *stable;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (stable[middle].last < character)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof stable / sizeof *stable && stable[low].first <= character && (stable[low].forms & 1 << form);
}

/* Length of the text's beginning in which each character is stable, or none of them is. */
static size_t run_of(int form, const char *text, size_t length, bool want)
{
    size_t at = 0, bytes;
    while (at < length) {
        if (want && (unsigned char)text[at] < 0x80) {
            at++;
            continue;
        }
        if (is_stable(form, dither_normal_character(text + at, length - at, &bytes)) != want)
            break;
        at += bytes;
    }
    return at;
}

bool dither_normal_form_stable(dither_normal_kind form, const char *text, size_t length)
{
    return run_of((int)form, text, length, true) == length;
}

/* One character of a text taken apart: its combining class in the upper bits, so that marks can be sorted. */
enum { CLASS_SHIFT = 24, CHARACTER_MASK = (1 << CLASS_SHIFT) - 1 };

static bool reserve(dither_normalizer_scratch *scratch, size_t count)
{
    if (count <= scratch->capacity)
        return true;
    const size_t bytes = dither_multiply(count, 2 * sizeof *scratch->characters);
    int *characters = bytes < SIZE_MAX ? realloc(scratch->characters, bytes) : NULL;
    if (characters == NULL)
        return false;
    scratch->characters = characters;
    scratch->capacity = 2 * count;
    return true;
}

/* Sorts marks by class, those of a class in their order: counting, so that a long run takes no longer a mark. */
static void sort_marks(int *marks, int *sorted, size_t count)
{
    size_t places[256] = {0};
    for (size_t i = 0; i < count; i++)
        places[marks[i] >> CLASS_SHIFT]++;
    for (size_t class = 0, next = 0; class < 256; class++) {
        const size_t of_class = places[class];
        places[class] = next;
        next += of_class;
    }
    for (size_t i = 0; i < count; i++)
        sorted[places[marks[i] >> CLASS_SHIFT]++] = marks[i];
    memcpy(marks, sorted, count * sizeof *marks);
}

static void order(int *characters, int *spare, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t end = i;
        while (end < count && characters[end] >> CLASS_SHIFT != 0)
            end++;
        if (end - i > 1)
            sort_marks(characters + i, spare, end - i);
        i = end;
    }
    for (size_t i = 0; i < count; i++)
        characters[i] &= CHARACTER_MASK;
}

/* Takes characters apart into the scratch; SIZE_MAX: no memory. */
static size_t decompose(int form, dither_normalizer_scratch *scratch, const char *text, size_t length)
{
    enum { LONGEST = 32 }; /* characters that one becomes: at most 18 */
    const bool compatible = form == DITHER_NORMAL_NFKC || form == DITHER_NORMAL_NFKD;
    const utf8proc_option_t options =
        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : (utf8proc_option_t)0);
    size_t count = 0;
    for (size_t at = 0, bytes; at < length; at += bytes) {
        const int character = dither_normal_character(text + at, length - at, &bytes);
        int parts[LONGEST], boundary = 0;
        const utf8proc_ssize_t made = utf8proc_decompose_char(character, parts, LONGEST, options, &boundary);
        if (made < 0 || made > LONGEST || !reserve(scratch, 2 * (count + LONGEST)))
            return SIZE_MAX;
        for (utf8proc_ssize_t i = 0; i < made; i++)
            scratch->characters[count++] =
                parts[i] | (int)utf8proc_get_property(parts[i])->combining_class << CLASS_SHIFT;
    }
    return count;
}

static bool normalize_run(int form, dither_normalizer_scratch *scratch, const char *text, size_t length,
                          dither_buffer *out)
{
    size_t count = decompose(form, scratch, text, length);
    if (count == SIZE_MAX)
        return false;
    order(scratch->characters, scratch->characters + count, count);
    if (form == DITHER_NORMAL_NFC || form == DITHER_NORMAL_NFKC) {
        const utf8proc_ssize_t composed = utf8proc_normalize_utf32(scratch->characters, (utf8proc_ssize_t)count,
                                                                   UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (composed < 0)
            return false;
        count = (size_t)composed;
    }
    for (size_t i = 0; i < count; i++)
        if (!add_character(out, scratch->characters[i]))
            return false;
    return true;
}

bool dither_normal_form(dither_normal_kind form, dither_normalizer_scratch *scratch, const char *text, size_t length,
                        dither_buffer *out)
{
    size_t at = 0;
    while (at < length) {
        size_t left = run_of((int)form, text + at, length - at, true);
        const size_t end = at + left + run_of((int)form, text + at + left, length - at - left, false);
        /* what follows may combine with the last of them */
        if (left > 0 && at + left < length)
            for (left--; left > 0 && ((unsigned char)text[at + left] & 0xc0) == 0x80; left--)
                continue;
        if (!dither_buffer_add(out, text + at, left) ||
            !normalize_run((int)form, scratch, text + at + left, end - at - left, out))
            return false;
        at = end;
    }
    return true;
}
