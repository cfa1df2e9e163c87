#include "data/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

struct dither_pattern {
    pcre2_code *code;
    bool jit;
};

/* ---- rewriting ----------------------------------------------------------------------------------------------- */

/* The pattern being read, and what PCRE2 will be given. */
typedef struct rewriting {
    const char *at, *whole;
    char *out; /* room for the longest replacement of every byte of the pattern */
    size_t length;
    const char *wrong; /* what is refused; NULL: nothing so far */
} rewriting;

static void put(rewriting *r, const char *text, size_t length)
{
    memcpy(r->out + r->length, text, length);
    r->length += length;
}

static void put_text(rewriting *r, const char *text)
{
    put(r, text, strlen(text));
}

static bool is_category(const char *name, size_t length)
{
    static const char *const names[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl",
                                        "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk",
                                        "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
            return true;
    return false;
}

/* \p{...} or \P{...}: a script is a character's own, where newer versions of PCRE2 would take its extensions too. */
static void property(rewriting *r)
{
    char escape[4] = {'\\', r->at[1], '{', '\0'};
    const char *name = r->at + 3, *end = r->at[2] == '{' ? strchr(name, '}') : NULL;
    const bool negated = end != NULL && *name == '^';
    if (end == NULL || end - name > 40) {
        r->wrong = "\\p without {name}";
        return;
    }
    name += negated;
    put_text(r, escape);
    if (negated)
        put_text(r, "^");
    if (!is_category(name, (size_t)(end - name)))
        put_text(r, "sc:");
    put(r, name, (size_t)(end - name) + 1);
    r->at = end + 1;
}

/* \uHHHH and \xHH and \x{H...} */
static void number(rewriting *r)
{
    const bool brace = r->at[1] == 'x' && r->at[2] == '{';
    const char *hex = r->at + 2 + brace;
    const size_t length = strspn(hex, "0123456789abcdefABCDEF");
    const size_t want = r->at[1] == 'u' ? 4 : 2;
    if (brace ? length == 0 || length > 6 || hex[length] != '}' : length < want) {
        r->wrong = "an escape of a character without its hexadecimal digits";
        return;
    }
    const size_t taken = brace ? length : want;
    put_text(r, "\\x{");
    put(r, hex, taken);
    put_text(r, "}");
    r->at = hex + taken + brace;
}

/* Oniguruma's word characters; to PCRE2 a word has no marks in it and every kind of number. */
static const char word[] = "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
                           "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";

static void word_class(rewriting *r, bool inside)
{
    if (inside && r->at[1] == 'W') {
        r->wrong = "\\W in brackets";
        return;
    }
    if (!inside)
        put_text(r, r->at[1] == 'w' ? "[" : "[^");
    put_text(r, word);
    if (!inside)
        put_text(r, "]");
    r->at += 2;
}

static void escape(rewriting *r, bool inside)
{
    const char c = r->at[1];
    if (c == 'p' || c == 'P') {
        property(r);
    } else if (c == 'u' || c == 'x') {
        number(r);
    } else if (c == 'w' || c == 'W') {
        word_class(r, inside);
    } else if (c == 'v') { /* a character to Oniguruma, a class to PCRE2 */
        put_text(r, "\\x0b");
        r->at += 2;
    } else if (c != '\0' && (strchr("sSdDnrtf", c) != NULL || ((c < '0' || c > '9') && (c < 'A' || c > 'Z') &&
                                                              (c < 'a' || c > 'z') && c > ' ' && c < 0x7f))) {
        put(r, r->at, 2);
        r->at += 2;
    } else {
        r->wrong = "an escape that means something else elsewhere, or nothing";
    }
}

static void brackets(rewriting *r)
{
    put(r, r->at, r->at[1] == '^' ? 2 : 1);
    r->at += r->at[1] == '^' ? 2 : 1;
    if (*r->at == ']')
        r->wrong = "brackets with nothing in them";
    while (r->wrong == NULL && *r->at != ']') {
        if (*r->at == '\0')
            r->wrong = "brackets that do not end";
        else if (*r->at == '[')
            r->wrong = "brackets inside of brackets";
        else if (r->at[0] == '&' && r->at[1] == '&')
            r->wrong = "&& in brackets";
        else if (*r->at == '\\')
            escape(r, true);
        else
            put(r, r->at++, 1);
    }
    if (r->wrong == NULL)
        put(r, r->at++, 1);
}

/* What may follow "(?": all of it means the same to both. */
static void group(rewriting *r)
{
    static const char *const kinds[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?i)", "(?-i:"};
    if (r->at[1] != '?') {
        put(r, r->at++, 1);
        return;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strncmp(r->at, kinds[i], strlen(kinds[i])) == 0) {
            put_text(r, kinds[i]);
            r->at += strlen(kinds[i]);
            return;
        }
    }
    r->wrong = "a kind of (?...) that this version does not know";
}

/* {n}, {n,}, {n,m}; a + behind it makes it possessive for PCRE2 and repeats it for Oniguruma. */
static void repeat(rewriting *r)
{
    const char *end = r->at + 1;
    end += strspn(end, "0123456789");
    const bool any = end > r->at + 1;
    if (*end == ',')
        end += 1 + strspn(end + 1, "0123456789");
    if (!any || *end != '}' || end - r->at > 12 || end[1] == '+') {
        r->wrong = "a { that is no {n}, {n,} or {n,m}";
        return;
    }
    put(r, r->at, (size_t)(end + 1 - r->at));
    r->at = end + 1;
}

static void rewrite(rewriting *r)
{
    while (*r->at != '\0' && r->wrong == NULL) {
        switch (*r->at) {
        case '\\': escape(r, false); break;
        case '[': brackets(r); break;
        case '(': group(r); break;
        case '{': repeat(r); break;
        default: put(r, r->at++, 1); break;
        }
    }
}

/* ---- compiling ----------------------------------------------------------------------------------------------- */

static dither_status fail_pattern(dither_error *error, const char *text, size_t offset, const char *what)
{
    return dither_fail(error, DITHER_E_FORMAT, "pattern", "the pattern \"%.120s\" cannot be used: %s, at byte %zu",
                       text, what, offset);
}

static dither_status compile(dither_pattern *pattern, const char *text, size_t length, uint32_t options,
                             const char *whole, dither_error *error)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL || pcre2_set_newline(context, PCRE2_NEWLINE_LF) != 0) {
        pcre2_compile_context_free(context);
        return dither_fail(error, DITHER_E_MEMORY, "pattern", "no memory for it");
    }
    pattern->code = pcre2_compile((PCRE2_SPTR)text, length, options, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (pattern->code == NULL) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        return fail_pattern(error, whole, offset, (const char *)message);
    }
    /* where the system allows no code to be made, the interpreter does the same */
    pattern->jit = pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == 0;
    return DITHER_OK;
}

static dither_status compile_rewritten(dither_pattern *pattern, const char *text, dither_error *error)
{
    /* Ruby's ^ and $ are those of a line */
    static const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    const size_t length = strlen(text);
    rewriting r = {.at = text, .whole = text};
    r.out = length < SIZE_MAX / (2 * sizeof word) ? malloc((length + 1) * sizeof word) : NULL;
    if (r.out == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "pattern", "no memory for %zu bytes of it", length);
    rewrite(&r);
    const dither_status status = r.wrong != NULL
                                     ? fail_pattern(error, text, (size_t)(r.at - text), r.wrong)
                                     : compile(pattern, r.out, r.length, options, text, error);
    free(r.out);
    return status;
}

dither_status dither_pattern_open(dither_pattern **pattern, const char *text, bool literal, dither_error *error)
{
    *pattern = calloc(1, sizeof **pattern);
    if (*pattern == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "pattern", "no memory for it");
    const dither_status status =
        literal ? compile(*pattern, text, strlen(text), PCRE2_UTF | PCRE2_LITERAL, text, error)
                : compile_rewritten(*pattern, text, error);
    if (status != DITHER_OK) {
        dither_pattern_close(*pattern);
        *pattern = NULL;
    }
    return status;
}

void dither_pattern_close(dither_pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    free(pattern);
}

bool dither_pattern_matches_empty(const dither_pattern *pattern)
{
    uint32_t empty = 1;
    return pcre2_pattern_info(pattern->code, PCRE2_INFO_MATCHEMPTY, &empty) != 0 || empty != 0;
}

/* ---- matching ------------------------------------------------------------------------------------------------ */

void *dither_pattern_scratch(const dither_pattern *pattern)
{
    return pcre2_match_data_create_from_pattern(pattern->code, NULL);
}

void dither_pattern_scratch_close(void *scratch)
{
    pcre2_match_data_free(scratch);
}

static size_t behind_character(const char *text, size_t length, size_t from)
{
    for (from++; from < length && ((unsigned char)text[from] & 0xc0) == 0x80; from++)
        continue;
    return from;
}

void dither_pattern_find(const dither_pattern *pattern, void *scratch, const char *text, size_t length, size_t from,
                         size_t *first, size_t *end)
{
    const PCRE2_SPTR subject = (PCRE2_SPTR)text;
    const int count = pattern->jit
                          ? pcre2_jit_match(pattern->code, subject, length, from, 0, scratch, NULL)
                          : pcre2_match(pattern->code, subject, length, from, PCRE2_NO_UTF_CHECK, scratch, NULL);
    *first = *end = length;
    if (count >= 0) {
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(scratch);
        *first = found[0];
        *end = found[1];
    } else if (count != PCRE2_ERROR_NOMATCH && from < length) {
        *first = from;
        *end = behind_character(text, length, from);
    }
}
