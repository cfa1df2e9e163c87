#include "data/text_cut.h"

static bool is_letter(unsigned char byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

/*
 * White space beyond ASCII, or what may be, where the text ends first: C2 85, C2 A0, E1 9A 80, E2 80 80 to 8A, A8, A9
 * and AF, E2 81 9F, E3 80 80.
 */
static bool may_be_space(const unsigned char *text, size_t length)
{
    if (text[0] == 0xc2)
        return length < 2 || text[1] == 0x85 || text[1] == 0xa0;
    if (text[0] < 0xe1 || text[0] > 0xe3)
        return false;
    if (length < 3)
        return true;
    const unsigned rest = (unsigned)text[1] << 8 | text[2];
    if (text[0] == 0xe2)
        return (rest >= 0x8080 && rest <= 0x808a) || rest == 0x80a8 || rest == 0x80a9 || rest == 0x80af ||
               rest == 0x819f;
    return rest == (text[0] == 0xe1 ? 0x9a80 : 0x8080);
}

/* Whether a character that is surely no white space begins here. */
static bool begins_visible(const unsigned char *text, size_t length, size_t at)
{
    if (at >= length || text[at] <= 0x20 || text[at] == 0x7f)
        return false;
    return text[at] < 0x80 || (text[at] >= 0xc0 && !may_be_space(text + at, length - at));
}

/* Whether such a character ends before `at`. */
static bool ends_visible(const unsigned char *text, size_t length, size_t at)
{
    size_t first = at;
    for (int i = 0; i < 4 && first > 0; i++)
        if ((text[--first] & 0xc0) != 0x80)
            return begins_visible(text, length, first);
    return false;
}

bool dither_text_cut_visible(const unsigned char *text, size_t length, size_t at)
{
    return ends_visible(text, length, at) && begins_visible(text, length, at);
}

bool dither_text_cut_safe(const unsigned char *text, size_t length, size_t at)
{
    if (at == 0 || at >= length)
        return false;
    if (text[at] == ' ')
        return is_letter(text[at - 1]) && at + 1 < length && is_letter(text[at + 1]);
    return text[at - 1] == '\n' && text[at] != '/' && ends_visible(text, length, at - 1) &&
           begins_visible(text, length, at);
}
