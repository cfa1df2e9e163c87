#include "data/text_cut.h"

static bool is_letter(unsigned char byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

/* Whether a character that is surely no white space begins here: all others lie in C2, E1, E2 or are E3 80 80. */
static bool begins_visible(const unsigned char *text, size_t length, size_t at)
{
    if (at >= length || text[at] <= 0x20 || text[at] == 0x7f)
        return false;
    if (text[at] < 0x80)
        return true;
    const bool may_be_space = text[at] == 0xc2 || text[at] == 0xe1 || text[at] == 0xe2 ||
                              (text[at] == 0xe3 && at + 1 < length && text[at + 1] == 0x80);
    return text[at] >= 0xc0 && !may_be_space;
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
