/* FORMAT[/SCALE][:ROUNDING], read and printed. */
#include "quant/spec.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "quant/format_rows.h"

enum { PART = 32, SIZE_LARGEST = 65536, SR_BITS = 32 };

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

enum {
    ROUNDINGS = sizeof roundings / sizeof roundings[0],
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

static dither_status format_parse(const char *where, const char *name, dither_format *format, dither_error *error)
{
    dither_error inner;
    if (dither_format_find(name, format, &inner) != DITHER_OK) {
        return dither_fail(error, DITHER_E_USAGE, where, "%s", inner.text);
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
    if (slash != NULL) {
        const bool whole = dither_text_part(slash + 1, before - name_length - 1, part, sizeof part);
        if (!whole || !scale_find(part, quantizer)) {
            return scale_error(where, part, error);
        }
    }
    if (colon != NULL && !rounding_find(colon + 1, &quantizer->rounding)) {
        return dither_fail(error, DITHER_E_USAGE, where,
                           "no rounding \"%.31s\"; one of rne, sr, sr1..sr32, up, down, zero", colon + 1);
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
