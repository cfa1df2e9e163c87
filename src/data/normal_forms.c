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

/* Capitals of Unicode 16 and 17, of which utf8proc may not know yet. */
static int lower(int character)
{
    static const struct {
        int first, last, change;
    } newer[] = {
        {0x1c89, 0x1c89, 1}, {0xa7cb, 0xa7cb, 0x264 - 0xa7cb},  {0xa7cc, 0xa7cc, 1}, {0xa7da, 0xa7da, 1},
        {0xa7dc, 0xa7dc, 0x19b - 0xa7dc}, {0xa7ce, 0xa7ce, 1}, {0xa7d2, 0xa7d2, 1}, {0xa7d4, 0xa7d4, 1},
        {0x10d50, 0x10d65, 0x20}, {0x16ea0, 0x16eb8, 0x1b},
    };
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (character >= newer[i].first && character <= newer[i].last)
            return character + newer[i].change;
    return utf8proc_tolower(character);
}

bool dither_normal_lowercase(const char *text, size_t length, dither_buffer *out)
{
    for (size_t at = 0, bytes; at < length; at += bytes) {
        const int character = dither_normal_character(text + at, length - at, &bytes);
        /* the one whose lower case is two characters: a dotted capital I */
        const bool fits = character == 0x130 ? dither_buffer_add(out, "i\xcc\x87", 3)
                                             : add_character(out, lower(character));
        if (!fits)
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

/*
 * Characters that have a class or parts in utf8proc's tables and none in those of Hugging Face's normalizers, which are
 * of Unicode 9: models were trained on texts in which they stood untouched.
 */
static const struct {
    int first, last;
} younger[] = {
    {0x7fd, 0x7fd}, {0x897, 0x89f}, {0x8ca, 0x8d3}, {0x9fe, 0x9fe}, {0xc3c, 0xc3c}, {0xd3b, 0xd3c}, {0xeba, 0xeba},
    {0x1715, 0x1715}, {0x1abf, 0x1ace}, {0x1df6, 0x1dfa}, {0x32ff, 0x32ff}, {0xa7f2, 0xa7f4}, {0xa82c, 0xa82c},
    {0xab69, 0xab69}, {0x105c9, 0x105c9}, {0x105e4, 0x105e4}, {0x10781, 0x10785}, {0x10787, 0x107b0},
    {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10d69, 0x10d6d}, {0x10eab, 0x10eac}, {0x10efc, 0x10eff},
    {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x11383, 0x11383},
    {0x11385, 0x11385}, {0x1138e, 0x1138e}, {0x11391, 0x11391}, {0x113c5, 0x113c5}, {0x113c7, 0x113c8},
    {0x113ce, 0x113d0}, {0x113e1, 0x113e2}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11938, 0x11938},
    {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
    {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42},
    {0x16121, 0x16128}, {0x1612f, 0x1612f}, {0x16d68, 0x16d6a}, {0x16ff0, 0x16ff1}, {0x1ccd6, 0x1ccf9},
    {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
    {0x1e4ec, 0x1e4ef}, {0x1e5ee, 0x1e5ef}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
};

static bool is_younger(int character)
{
    size_t low = 0, high = sizeof younger / sizeof *younger;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (younger[middle].last < character)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof younger / sizeof *younger && younger[low].first <= character;
}

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
    const bool listed = low < sizeof stable / sizeof *stable && stable[low].first <= character;
    return listed ? (stable[low].forms & 1 << form) != 0 : is_younger(character);
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
enum { CLASS_SHIFT = 21, CHARACTER_MASK = (1 << CLASS_SHIFT) - 1 };

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
    if (count == 0 || count == SIZE_MAX)
        return count == 0;
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

/* Bytes of the last of the stable characters, with which the marks that follow may combine; 0: they do not. */
static size_t last_combines(const char *text, size_t length)
{
    size_t at = length - 1, bytes;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return is_younger(dither_normal_character(text + at, length - at, &bytes)) ? 0 : length - at;
}

bool dither_normal_form(dither_normal_kind form, dither_normalizer_scratch *scratch, const char *text, size_t length,
                        dither_buffer *out)
{
    size_t at = 0;
    while (at < length) {
        size_t left = run_of((int)form, text + at, length - at, true);
        const size_t end = at + left + run_of((int)form, text + at + left, length - at - left, false);
        if (left > 0 && at + left < length)
            left -= last_combines(text + at, left);
        if (!dither_buffer_add(out, text + at, left) ||
            !normalize_run((int)form, scratch, text + at + left, end - at - left, out))
            return false;
        at = end;
    }
    return true;
}
