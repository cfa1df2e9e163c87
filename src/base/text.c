#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool dither_text_u64(const char *text, uint64_t max, uint64_t *value)
{
    uint64_t n = 0;
    if (!*text)
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        const uint64_t digit = (uint64_t)(*c - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (n > max)
        return false;
    *value = n;
    return true;
}

bool dither_text_f64(const char *text, double *value)
{
    if (!*text || strspn(text, "0123456789+-.eE") != strlen(text))
        return false; /* nan, inf, hex and spaces are spelled with other letters */
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return false;
    char *end;
    const double n = strtod_l(text, &end, plain);
    freelocale(plain);
    if (*end || end == text || !isfinite(n))
        return false;
    *value = n;
    return true;
}

bool dither_text_size(const char *text, uint64_t *bytes)
{
    static const char *const units[] = {"", "K", "M", "G", "T"};
    char number[32];
    const size_t digits = strspn(text, "0123456789.");
    double n;
    if (!digits || digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = 0;
    if (!dither_text_f64(number, &n))
        return false;
    for (int power = 0; power < 5; power++) {
        const char *tail = text + digits;
        const size_t length = strlen(units[power]);
        if (strncasecmp(tail, units[power], length))
            continue;
        tail += length;
        if (*tail && strcasecmp(tail, "B") && (!power || strcasecmp(tail, "iB")))
            continue;
        const double product = ldexp(n, 10 * power);
        if (product >= 18446744073709551615.0)
            return false;
        *bytes = (uint64_t)product;
        return true;
    }
    return false;
}

enum { WORD = 64 };

/* Levenshtein distance, by rows. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD + 1];
    const size_t n = strlen(b);
    if (strlen(a) > WORD || n > WORD)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            const size_t change = diagonal + (a[i] != b[j]);
            const size_t shorter = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < shorter ? change : shorter;
        }
    }
    return row[n];
}

const char *dither_text_nearest(const char *text, const char *const *candidates, size_t count)
{
    const size_t third = strlen(text) / 3;
    size_t best = (third > 2 ? third : 2) + 1;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        const size_t edits = distance(text, candidates[i]);
        if (edits < best && edits < strlen(candidates[i])) {
            best = edits;
            nearest = candidates[i];
        }
    }
    return nearest;
}

/* Length of the character at text, or 0: not UTF-8 (Unicode 15, table 3-7). */
static size_t character(const unsigned char *text, size_t left)
{
    const unsigned char c = text[0];
    if (c < 0x80)
        return 1;
    const size_t length = c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
    if (!length || length > left)
        return 0;
    const unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

size_t dither_text_utf8(const unsigned char *text, size_t length)
{
    size_t done = 0;
    while (done < length) {
        uint64_t word;
        if (length - done >= sizeof word) { /* eight plain characters at once */
            memcpy(&word, text + done, sizeof word);
            if (!(word & 0x8080808080808080u)) {
                done += sizeof word;
                continue;
            }
        }
        const size_t n = character(text + done, length - done);
        if (!n)
            break;
        done += n;
    }
    return done;
}

void dither_text_bytes(uint64_t bytes, char *text)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double n = (double)bytes;
    size_t unit = 0;
    while (n >= 999.95 && unit < 6) {
        n /= 1000;
        unit++;
    }
    (void)snprintf(text, 16, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
}
