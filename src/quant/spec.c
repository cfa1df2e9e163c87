/* FORMAT[/SCALE][:ROUNDING], read and printed. */
#include "quant/spec.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "quant/format_rows.h"

enum { PART = 32, SIZE_LARGEST = 65536, SR_BITS = 32, FIXED_MAX = 31 };

static const struct {
    const char *name;
    dither_rounding rounding;
} roundings[] = {
    {"rne", {DITHER_ROUND_RNE, 0}},   {"sr", {DITHER_ROUND_SR, SR_BITS}}, {"up", {DITHER_ROUND_UP, 0}},
    {"down", {DITHER_ROUND_DOWN, 0}}, {"zero", {DITHER_ROUND_ZERO, 0}},
};

/* A shape with a size is its letter and the size. */
static const struct {
    const char *name;
    dither_scale_shape shape;
    bool sized;
} shapes[] = {
    {"tensor", DITHER_SCALE_TENSOR, false},
    {"row", DITHER_SCALE_ROW, false},
    {"g", DITHER_SCALE_GROUP, true},
    {"t", DITHER_SCALE_TILE, true},
};

static const struct {
    const char *name;
    dither_scale_type type;
} types[] = {
    {"", DITHER_SCALE_F32},
    {"f32", DITHER_SCALE_F32},
    {"e8m0", DITHER_SCALE_E8M0},
    {"e4m3", DITHER_SCALE_E4M3},
};

/* What other programs call the roundings, in lower case. */
static const struct {
    const char *name, *meant;
} rounding_words[] = {
    {"rtn", "rne"},       {"rn", "rne"},     {"nearest", "rne"}, {"even", "rne"},    {"rtne", "rne"},  {"round", "rne"},
    {"stochastic", "sr"}, {"random", "sr"},  {"dither", "sr"},   {"ceil", "up"},     {"rtp", "up"},    {"ru", "up"},
    {"floor", "down"},    {"rd", "down"},    {"trunc", "zero"},   {"truncate", "zero"}, {"rtz", "zero"}, {"rz", "zero"},
};

/* Names that say a width and leave the layout open; their nearest spelling would be another number of bits. */
static const struct {
    const char *name, *meant;
} format_words[] = {
    {"fp8", "e4m3 or e5m2"},    {"float8", "e4m3 or e5m2"}, {"f8", "e4m3 or e5m2"},    {"fp6", "e2m3 or e3m2"},
    {"float6", "e2m3 or e3m2"}, {"f6", "e2m3 or e3m2"},     {"fp4", "e2m1"},           {"float4", "e2m1"},
    {"f4", "e2m1"},             {"tf32", "e8m10"},          {"fp64", "f32, the widest"}, {"float64", "f32, the widest"},
    {"f64", "f32, the widest"}, {"double", "f32, the widest"},  {"e4m3fn", "e4m3"},
};

enum {
    ROUNDINGS = sizeof roundings / sizeof roundings[0],
    ROUNDING_WORDS = sizeof rounding_words / sizeof rounding_words[0],
    FORMAT_WORDS = sizeof format_words / sizeof format_words[0],
    SHAPES = sizeof shapes / sizeof shapes[0],
    TYPES = sizeof types / sizeof types[0]
};

dither_quantizer dither_quantizer_f32(void)
{
    return (dither_quantizer){.format = *dither_format_row("f32")};
}

bool dither_quantizer_equal(const dither_quantizer *a, const dither_quantizer *b)
{
    return strcmp(a->format.name, b->format.name) == 0 && a->shape == b->shape && a->size == b->size &&
           a->scale == b->scale && a->rounding.mode == b->rounding.mode && a->rounding.bits == b->rounding.bits;
}

bool dither_text_part(const char *text, size_t length, char *part, size_t size)
{
    const size_t copied = length < size ? length : size - 1;
    memcpy(part, text, copied);
    part[copied] = 0;
    return copied == length;
}

void dither_text_lower(const char *text, char *lower, size_t size)
{
    size_t length = 0;
    for (; text[length] != 0 && length + 1 < size; length++) {
        const char c = text[length];
        lower[length] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    lower[length] = 0;
}

/* A decimal number low..high without leading zeros. */
static bool plain_number(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
    return text[0] != '0' && dither_text_u64(text, high, value) && *value >= low;
}

static bool rounding_find(const char *text, dither_rounding *rounding)
{
    for (size_t i = 0; i < ROUNDINGS; i++) {
        if (strcmp(roundings[i].name, text) == 0) {
            *rounding = roundings[i].rounding;
            return true;
        }
    }
    uint64_t bits = 0;
    if (strncmp(text, "sr", 2) == 0 && plain_number(text + 2, 1, SR_BITS, &bits)) {
        *rounding = (dither_rounding){DITHER_ROUND_SR, (int)bits};
        return true;
    }
    return false;
}

/* What follows the name: digits where the shape is sized, then the scale's type. */
static bool scale_rest(const char *rest, bool sized, dither_quantizer *quantizer)
{
    uint64_t size = 0;
    if (sized) {
        char digits[PART];
        const size_t length = strspn(rest, "0123456789");
        if (!dither_text_part(rest, length, digits, sizeof digits) || !plain_number(digits, 1, SIZE_LARGEST, &size)) {
            return false;
        }
        rest += length;
    }
    for (size_t i = 0; i < TYPES; i++) {
        if (strcmp(types[i].name, rest) == 0) {
            quantizer->size = (size_t)size;
            quantizer->scale = types[i].type;
            return true;
        }
    }
    return false;
}

static bool scale_find(const char *text, dither_quantizer *quantizer)
{
    for (size_t i = 0; i < SHAPES; i++) {
        const size_t length = strlen(shapes[i].name);
        if (strncmp(text, shapes[i].name, length) == 0 && scale_rest(text + length, shapes[i].sized, quantizer)) {
            quantizer->shape = shapes[i].shape;
            return true;
        }
    }
    return false;
}

static dither_status scale_error(const char *where, const char *text, dither_error *error)
{
    static const char *const known[] = {"tensor",     "row",        "tensore8m0", "tensore4m3", "rowe8m0", "rowe4m3",
                                        "g16",        "g32",        "g128",       "t16",        "t32",     "g32e8m0",
                                        "g16e4m3"};
    const char *nearest = dither_text_nearest(text, known, sizeof known / sizeof known[0]);
    return dither_fail(error, DITHER_E_USAGE, where,
                       "no scale \"%s\"; one of tensor, row, gN, tN (N 1..%d), each with nothing, e8m0 or e4m3 "
                       "after it%s%s%s",
                       text, SIZE_LARGEST, nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                       nearest != NULL ? "?" : "");
}

static dither_status rounding_error(const char *where, const char *text, dither_error *error)
{
    char lower[PART];
    const char *known[ROUNDINGS], *nearest = NULL;
    dither_text_lower(text, lower, sizeof lower);
    for (size_t i = 0; i < ROUNDINGS; i++) {
        known[i] = roundings[i].name;
    }
    for (size_t i = 0; i < ROUNDING_WORDS; i++) {
        if (strcmp(rounding_words[i].name, lower) == 0) {
            nearest = rounding_words[i].meant;
        }
    }
    if (nearest == NULL && lower[0] != 0) {
        nearest = dither_text_nearest(lower, known, ROUNDINGS);
    }
    return dither_fail(error, DITHER_E_USAGE, where,
                       "no rounding \"%.31s\"; one of rne, sr, sr1..sr32, up, down, zero%s%s%s", text,
                       nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                       nearest != NULL ? "?" : "");
}

/* Whether the text is the prefix and a number behind it. */
static bool numbered(const char *text, const char *prefix, uint64_t *number)
{
    const size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 && dither_text_u64(text + length, UINT32_MAX, number);
}

static bool is_exmy(const char *text)
{
    static const char digits[] = "0123456789";
    const size_t x = text[0] == 'e' ? strspn(text + 1, digits) : 0;
    const size_t y = x > 0 && text[1 + x] == 'm' ? strspn(text + 2 + x, digits) : 0;
    return y > 0 && text[2 + x + y] == 0;
}

static bool is_preset(const char *name)
{
    size_t i = 0;
    while (dither_preset_name(i) != NULL && strcmp(dither_preset_name(i), name) != 0) {
        i++;
    }
    return dither_preset_name(i) != NULL;
}

/* What is right for a name whose nearest spelling would mislead; false where the nearest is as good. */
static bool format_hint(const char *name, char *hint, size_t size)
{
    char lower[PART];
    dither_format format;
    uint64_t n = 0;
    dither_text_lower(name, lower, sizeof lower);
    for (size_t i = 0; i < FORMAT_WORDS; i++) {
        if (strcmp(format_words[i].name, lower) == 0) {
            snprintf(hint, size, "did you mean %s?", format_words[i].meant);
            return true;
        }
    }
    if (dither_format_find(lower, &format, NULL) == DITHER_OK) {
        snprintf(hint, size, "did you mean %s?", lower);
    } else if (is_preset(lower)) {
        snprintf(hint, size, "%s is a preset, which stands for a whole scheme", lower);
    } else if (numbered(lower, "uint", &n) || (numbered(lower, "int", &n) && (n < 2 || n > 9))) {
        snprintf(hint, size, "integers are int2 to int8");
    } else if (numbered(lower, "fx", &n)) {
        snprintf(hint, size, "fixed point is fx0 to fx%d, fxN with step 2^-N", FIXED_MAX);
    } else if (is_exmy(lower)) {
        snprintf(hint, size, "in eXmY X is 2 to 8 and Y 0 to 10");
    } else {
        return false;
    }
    return true;
}

static dither_status format_parse(const char *where, const char *name, dither_format *format, dither_error *error)
{
    dither_error inner;
    char hint[96];
    if (dither_format_find(name, format, &inner) != DITHER_OK) {
        return format_hint(name, hint, sizeof hint)
                   ? dither_fail(error, DITHER_E_USAGE, where, "no format \"%s\"; %s", name, hint)
                   : dither_fail(error, DITHER_E_USAGE, where, "%s", inner.text);
    }
    if (format->kind == DITHER_KIND_SCALE) {
        return dither_fail(error, DITHER_E_USAGE, where,
                           "\"%s\" has no sign and no zero and is only ever a scale; as a value, e8m0", name);
    }
    return DITHER_OK;
}

dither_status dither_quantizer_parse_at(const char *where, const char *text, dither_quantizer *quantizer,
                                        dither_error *error)
{
    const char *colon = strchr(text, ':');
    const size_t before = colon != NULL ? (size_t)(colon - text) : strlen(text);
    const char *slash = memchr(text, '/', before);
    const size_t name_length = slash != NULL ? (size_t)(slash - text) : before;
    *quantizer = (dither_quantizer){.shape = DITHER_SCALE_NONE};
    char part[PART];
    dither_text_part(text, name_length, part, sizeof part);
    const dither_status status = format_parse(where, part, &quantizer->format, error);
    if (status != DITHER_OK) {
        return status;
    }
    if (slash != NULL && quantizer->format.kind == DITHER_KIND_FIXED) {
        return dither_fail(error, DITHER_E_USAGE, where, "%s has an absolute step and takes no scale", part);
    }
    if (slash != NULL) {
        const bool whole = dither_text_part(slash + 1, before - name_length - 1, part, sizeof part);
        if (!whole || !scale_find(part, quantizer)) {
            return scale_error(where, part, error);
        }
    }
    if (colon != NULL && !rounding_find(colon + 1, &quantizer->rounding)) {
        return rounding_error(where, colon + 1, error);
    }
    return DITHER_OK;
}

dither_status dither_quantizer_parse(const char *text, dither_quantizer *quantizer, dither_error *error)
{
    return dither_quantizer_parse_at("", text, quantizer, error);
}

static void print_scale(const dither_quantizer *quantizer, char *text, size_t size)
{
    const char *type = "";
    for (size_t i = 0; i < TYPES; i++) {
        if (types[i].type == quantizer->scale && quantizer->scale != DITHER_SCALE_F32) {
            type = types[i].name;
        }
    }
    for (size_t i = 0; i < SHAPES; i++) {
        if (shapes[i].shape == quantizer->shape && shapes[i].sized) {
            snprintf(text, size, "/%s%zu%s", shapes[i].name, quantizer->size, type);
        } else if (shapes[i].shape == quantizer->shape) {
            snprintf(text, size, "/%s%s", shapes[i].name, type);
        }
    }
}

static void print_rounding(dither_rounding rounding, char *text, size_t size)
{
    if (rounding.mode == DITHER_ROUND_SR && rounding.bits != SR_BITS) {
        snprintf(text, size, ":sr%d", rounding.bits);
        return;
    }
    for (size_t i = 0; i < ROUNDINGS; i++) {
        if (roundings[i].rounding.mode == rounding.mode && rounding.mode != DITHER_ROUND_RNE) {
            snprintf(text, size, ":%s", roundings[i].name);
        }
    }
}

void dither_quantizer_print(const dither_quantizer *quantizer, char *text)
{
    const size_t size = DITHER_QUANTIZER_TEXT;
    snprintf(text, size, "%s", quantizer->format.name);
    size_t used = strlen(text);
    print_scale(quantizer, text + used, size - used);
    used = strlen(text);
    print_rounding(quantizer->rounding, text + used, size - used);
}
