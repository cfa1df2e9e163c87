#include "base/text.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "0123456789";

bool dither_text_u64(const char *text, uint64_t max, uint64_t *value)
{
    if (text[0] == '\0')
        return false;
    uint64_t sum = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return false;
        const uint64_t digit = (uint64_t)(*at - '0');
        if (digit > max || sum > (max - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent and one in it. */
static bool is_decimal(const char *text)
{
    text += *text == '+' || *text == '-';
    const size_t whole = strspn(text, digits);
    text += whole;
    size_t fraction = 0;
    if (*text == '.') {
        fraction = strspn(text + 1, digits);
        text += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '+' || *text == '-';
        const size_t exponent = strspn(text, digits);
        if (exponent == 0)
            return false;
        text += exponent;
    }
    return *text == '\0';
}

bool dither_text_f64(const char *text, double *value)
{
    if (!is_decimal(text))
        return false;
    /* The caller's program may have chosen a locale whose decimal point is a comma. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0)
        return false;
    const double parsed = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    if (!isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

void dither_text_print_f64(double value, int precision, char *text, size_t size)
{
    assert(isfinite(value) && size > 0);
    snprintf(text, size, "%.*g", precision, value);
    /* What is neither sign, digit nor exponent is the locale's decimal point, of one byte or more. */
    char *point = text + strspn(text, "+-0123456789e");
    if (*point == '\0')
        return;
    const char *rest = point + strcspn(point, digits);
    *point = '.';
    memmove(point + 1, rest, strlen(rest) + 1);
}

/* The power of 1024 that a suffix stands for, or -1. */
static int size_power(const char *suffix)
{
    static const char letters[] = "KMGT";
    if (suffix[0] == '\0')
        return 0;
    const char *letter = strchr(letters, suffix[0]);
    if (letter == NULL)
        return -1;
    const char *rest = suffix + 1;
    if (strcmp(rest, "") != 0 && strcmp(rest, "B") != 0 && strcmp(rest, "iB") != 0)
        return -1;
    return (int)(letter - letters) + 1;
}

bool dither_text_size(const char *text, uint64_t *bytes)
{
    char number[32];
    const size_t length = strspn(text, "0123456789.");
    const int power = size_power(text + length);
    if (power < 0 || length >= sizeof number)
        return false;
    memcpy(number, text, length);
    number[length] = '\0';

    uint64_t whole;
    if (dither_text_u64(number, UINT64_MAX >> (10 * power), &whole)) {
        *bytes = whole << (10 * power);
        return true;
    }
    double value;
    if (strchr(number, '.') == NULL || !dither_text_f64(number, &value))
        return false;
    value = ldexp(value, 10 * power);
    if (value >= 0x1p64)
        return false;
    *bytes = (uint64_t)value;
    return true;
}

enum { NAME_MAX_LENGTH = 64 };

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b; both at most NAME_MAX_LENGTH long. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][NAME_MAX_LENGTH + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *const oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return row[b_length];
}

const char *dither_text_nearest(const char *text, const char *const *candidates, size_t count)
{
    const size_t length = strlen(text);
    if (length > NAME_MAX_LENGTH)
        return NULL;
    size_t limit = length / 3 > 2 ? length / 3 : 2;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        const size_t candidate_length = strlen(candidates[i]);
        if (candidate_length > NAME_MAX_LENGTH)
            continue;
        const size_t distance = edit_distance(text, length, candidates[i], candidate_length);
        const size_t longer = length > candidate_length ? length : candidate_length;
        /* At `longer` edits every character differs: no likeness at all, however short the names. */
        if (distance <= limit && distance < longer + (longer == 0) && (nearest == NULL || distance < limit)) {
            nearest = candidates[i];
            limit = distance;
        }
    }
    return nearest;
}

/* Length of the one well-formed UTF-8 sequence at the start of text[0..length), or 0 (Unicode 15, table 3-7). */
static size_t utf8_sequence(const unsigned char *text, size_t length)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t length;
    } table[] = {
        {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (text[0] < table[i].first_low || text[0] > table[i].first_high)
            continue;
        if (table[i].length > length)
            return 0;
        if (table[i].length > 1 && (text[1] < table[i].second_low || text[1] > table[i].second_high))
            return 0;
        for (size_t k = 2; k < table[i].length; k++)
            if (text[k] < 0x80 || text[k] > 0xBF)
                return 0;
        return table[i].length;
    }
    return 0;
}

size_t dither_text_utf8(const unsigned char *text, size_t length)
{
    size_t valid = 0;
    while (valid < length) {
        const size_t sequence = utf8_sequence(text + valid, length - valid);
        if (sequence == 0)
            break;
        valid += sequence;
    }
    return valid;
}

void dither_text_bytes(uint64_t bytes, char *text)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    enum { TEXT_SIZE = 16, UNITS = sizeof units / sizeof units[0] };
    if (bytes < 1000) {
        snprintf(text, TEXT_SIZE, "%u B", (unsigned)bytes);
        return;
    }
    double value = (double)bytes / 1000;
    size_t unit = 0;
    /* 999.95 prints as 1000.0: that is 1.0 of the next unit. */
    while (value >= 999.95 && unit + 1 < UNITS) {
        value /= 1000;
        unit++;
    }
    snprintf(text, TEXT_SIZE, "%.1f %s", value, units[unit]);
}
