/* Schemes: six quantizers and their flags, read and printed, and the presets. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "quant/spec.h"

enum { WORD = 64, RHT_LEAST = 2, RHT_LARGEST = 4096 };

/* bact, goact and goweight alike, the weight's codes shared by both passes. */
#define BACKWARD(QUANTIZER) "bact=" QUANTIZER ",goact=" QUANTIZER ",goweight=" QUANTIZER ",same_weight"

static const struct {
    const char *name, *text;
} presets[] = {
    {"f32", "f32"},
    {"bf16", "act=bf16,weight=bf16," BACKWARD("bf16")},
    {"paper-e4m3", "act=bf16,weight=e4m3/row," BACKWARD("e4m3/row:sr")},
    {"paper-e4m1", "act=bf16,weight=e4m1/row," BACKWARD("e4m1/row:sr")},
    {"paper-int8", "act=bf16,weight=int8/row," BACKWARD("int8/row:sr")},
    {"paper-int4", "act=bf16,weight=int8/row," BACKWARD("int4/row:sr")},
    {"int8", "act=int8/row,weight=int8/row," BACKWARD("int8/g128:sr8")},
    {"int4", "act=int8/row,weight=int4/t32," BACKWARD("int4/g32:sr8")},
    {"mxfp8", "act=e4m3/g32e8m0,weight=e4m3/g32e8m0," BACKWARD("e4m3/g32e8m0:sr")},
    {"mxfp4", "act=bf16,weight=e2m1/g32e8m0," BACKWARD("e2m1/g32e8m0:sr") ",rht=32"},
    {"nvfp4", "act=bf16,weight=e2m1/g16e4m3," BACKWARD("e2m1/g16e4m3:sr") ",rht=16"},
};

static const char *const role_names[DITHER_ROLES] = {"act", "weight", "bact", "bweight", "goact", "goweight"};

/* A flag says that `copy` reuses the codes of `source`; a quantizer for `copy` beside it would be a contradiction. */
static const struct {
    const char *name;
    size_t offset;
    dither_role source, copy;
} flags[] = {
    {"same_input", offsetof(dither_scheme, same_input), DITHER_ROLE_ACT, DITHER_ROLE_BACT},
    {"same_weight", offsetof(dither_scheme, same_weight), DITHER_ROLE_WEIGHT, DITHER_ROLE_BWEIGHT},
    {"same_grad", offsetof(dither_scheme, same_grad), DITHER_ROLE_GOACT, DITHER_ROLE_GOWEIGHT},
};

enum { PRESETS = sizeof presets / sizeof presets[0], FLAGS = sizeof flags / sizeof flags[0] };

static const char head_prefix[] = "head.";

/* What the text has said so far. */
typedef struct said {
    bool role[DITHER_ROLES], head[DITHER_ROLES];
    bool flag[FLAGS];
    bool rht;
} said;

const char *dither_role_name(dither_role role)
{
    return role_names[role];
}

const char *dither_preset_name(size_t index)
{
    return index < PRESETS ? presets[index].name : NULL;
}

const char *dither_preset_text(size_t index)
{
    return index < PRESETS ? presets[index].text : NULL;
}

static bool flag_get(const dither_scheme *scheme, size_t flag)
{
    bool set;
    memcpy(&set, (const char *)scheme + flags[flag].offset, sizeof set);
    return set;
}

static void flag_set(dither_scheme *scheme, size_t flag)
{
    const bool set = true;
    memcpy((char *)scheme + flags[flag].offset, &set, sizeof set);
}

/* The word that was likely meant: a preset that ends in it (fp8: mxfp8), else the nearest; NULL where none is near. */
static const char *meant(const char *word)
{
    const char *candidates[PRESETS + DITHER_ROLES + FLAGS + 1];
    size_t count = 0;
    char lower[WORD];
    dither_text_lower(word, lower, sizeof lower);
    const size_t length = strlen(lower);
    for (size_t i = 0; i < PRESETS; i++) {
        const size_t whole = strlen(presets[i].name);
        if (length > 2 && whole > length && strcmp(presets[i].name + whole - length, lower) == 0) {
            return presets[i].name;
        }
        candidates[count++] = presets[i].name;
    }
    for (size_t i = 0; i < DITHER_ROLES; i++) {
        candidates[count++] = role_names[i];
    }
    for (size_t i = 0; i < FLAGS; i++) {
        candidates[count++] = flags[i].name;
    }
    candidates[count++] = "rht";
    return dither_text_nearest(lower, candidates, count);
}

static dither_status unknown_word(const char *word, dither_error *error)
{
    dither_quantizer quantizer;
    if (strpbrk(word, "/:") != NULL || dither_quantizer_parse(word, &quantizer, NULL) == DITHER_OK) {
        return dither_fail(error, DITHER_E_USAGE, "",
                           "\"%s\" is a quantizer, and a scheme gives one to each role, as weight=int8/row,...; or "
                           "name a preset, as paper-int8",
                           word);
    }
    const char *nearest = meant(word);
    if (nearest != NULL) {
        return dither_fail(error, DITHER_E_USAGE, "", "a scheme has no \"%s\"; did you mean %s?", word, nearest);
    }
    return dither_fail(error, DITHER_E_USAGE, "",
                       "a scheme has no \"%s\"; a preset (f32, bf16, paper-int8, ...) or ROLE=QUANTIZER,... with the "
                       "roles act, weight, bact, bweight, goact, goweight (head.ROLE for the output head alone) and "
                       "same_input, same_weight, same_grad, rht=N",
                       word);
}

static dither_status twice(const char *word, dither_error *error)
{
    return dither_fail(error, DITHER_E_USAGE, "", "\"%s\" is given twice", word);
}

static dither_status rht_parse(const char *value, dither_scheme *scheme, dither_error *error)
{
    uint64_t n = 0;
    const bool number = dither_text_u64(value, RHT_LARGEST, &n) && (n & (n - 1)) == 0 && (n == 0 || n >= RHT_LEAST);
    if (!number) {
        return dither_fail(error, DITHER_E_USAGE, "rht",
                           "\"%.31s\" is not a power of two from %d to %d, nor 0 for none", value,
                           RHT_LEAST, RHT_LARGEST);
    }
    scheme->rht = (size_t)n;
    return DITHER_OK;
}

/* One item between commas, cut at its '=' (value NULL where it has none). */
static dither_status item_parse(const char *word, const char *value, said *seen, dither_scheme *scheme,
                                dither_error *error)
{
    for (size_t i = 0; i < FLAGS; i++) {
        if (strcmp(flags[i].name, word) == 0) {
            if (value != NULL) {
                return dither_fail(error, DITHER_E_USAGE, word, "a flag takes no value; write %s alone", word);
            }
            if (seen->flag[i]) {
                return twice(word, error);
            }
            seen->flag[i] = true;
            flag_set(scheme, i);
            return DITHER_OK;
        }
    }
    const bool is_rht = strcmp(word, "rht") == 0;
    const bool is_head = strncmp(word, head_prefix, sizeof head_prefix - 1) == 0;
    const char *name = is_head ? word + sizeof head_prefix - 1 : word;
    size_t role = 0;
    while (role < DITHER_ROLES && strcmp(role_names[role], name) != 0) {
        role++;
    }
    if (!is_rht && role == DITHER_ROLES) {
        return unknown_word(word, error);
    }
    if (value == NULL) {
        return dither_fail(error, DITHER_E_USAGE, word, "a value is missing; write %s=%s", word,
                           is_rht ? "N" : "QUANTIZER, for example int8/row:sr");
    }
    bool *given = is_rht ? &seen->rht : is_head ? &seen->head[role] : &seen->role[role];
    if (*given) {
        return twice(word, error);
    }
    *given = true;
    return is_rht ? rht_parse(value, scheme, error)
                  : dither_quantizer_parse_at(word, value, is_head ? &scheme->head[role] : &scheme->role[role], error);
}

static dither_status agree(const said *seen, dither_scheme *scheme, dither_error *error)
{
    for (size_t i = 0; i < FLAGS; i++) {
        if (!flag_get(scheme, i)) {
            continue;
        }
        const char *source = role_names[flags[i].source], *copy = role_names[flags[i].copy];
        if (seen->role[flags[i].copy] || seen->head[flags[i].copy]) {
            return dither_fail(error, DITHER_E_USAGE, copy,
                               "%s reuses the codes of %s for %s; leave out one of the two", flags[i].name,
                               source, copy);
        }
        scheme->role[flags[i].copy] = scheme->role[flags[i].source];
    }
    for (size_t role = 0; role < DITHER_ROLES; role++) {
        if (!seen->head[role]) {
            scheme->head[role] = scheme->role[role];
        }
    }
    for (size_t i = 0; i < FLAGS; i++) {
        if (flag_get(scheme, i)) {
            scheme->head[flags[i].copy] = scheme->head[flags[i].source];
        }
    }
    if (scheme->rht != 0 && (scheme->same_grad || scheme->same_input)) {
        return dither_fail(error, DITHER_E_USAGE, "rht",
                           "the transform is on bact and goweight only, so their codes cannot be those of act or "
                           "goact; leave out rht or %s",
                           scheme->same_grad ? "same_grad" : "same_input");
    }
    return DITHER_OK;
}

static const char *preset_text(const char *name)
{
    for (size_t i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            return presets[i].text;
        }
    }
    return NULL;
}

/* The items of `text`, onto what the scheme is already. */
static dither_status list_parse(const char *text, dither_scheme *scheme, dither_error *error)
{
    said seen = {.rht = false};
    for (const char *item = text;; item++) {
        const size_t length = strcspn(item, ",");
        const char *equals = memchr(item, '=', length);
        const size_t word_length = equals != NULL ? (size_t)(equals - item) : length;
        char word[WORD], value[WORD];
        dither_text_part(item, word_length, word, sizeof word);
        if (equals != NULL && !dither_text_part(equals + 1, length - word_length - 1, value, sizeof value)) {
            return dither_fail(error, DITHER_E_USAGE, word, "\"%s...\" is longer than any quantizer", value);
        }
        const dither_status status = item_parse(word, equals != NULL ? value : NULL, &seen, scheme, error);
        if (status != DITHER_OK) {
            return status;
        }
        item += length;
        if (*item == 0) {
            return agree(&seen, scheme, error);
        }
    }
}

dither_status dither_scheme_parse(const char *text, dither_scheme *scheme, dither_error *error)
{
    *scheme = (dither_scheme){.rht = 0};
    for (size_t i = 0; i < DITHER_ROLES; i++) {
        scheme->role[i] = scheme->head[i] = dither_quantizer_f32();
    }
    char first[WORD];
    const size_t length = strcspn(text, ",");
    dither_text_part(text, length, first, sizeof first);
    const char *preset = preset_text(first);
    if (preset == NULL) {
        return list_parse(text, scheme, error);
    }
    if (strcmp(first, "f32") != 0) {
        const dither_status status = list_parse(preset, scheme, error);
        if (status != DITHER_OK) {
            return status;
        }
    }
    return text[length] == 0 ? DITHER_OK : list_parse(text + length + 1, scheme, error);
}

dither_scheme dither_scheme_of_head(const dither_scheme *scheme)
{
    dither_scheme head = *scheme;
    memcpy(head.role, scheme->head, sizeof head.role);
    return head;
}

/* Append to text[DITHER_SCHEME_TEXT], a comma before all but the first. */
static void append(char *text, const char *word, const char *value)
{
    const size_t used = strlen(text);
    snprintf(text + used, DITHER_SCHEME_TEXT - used, "%s%s%s", used > 0 ? "," : "", word, value);
}

static bool is_copy(const dither_scheme *scheme, size_t role)
{
    for (size_t i = 0; i < FLAGS; i++) {
        if (flags[i].copy == (dither_role)role && flag_get(scheme, i)) {
            return true;
        }
    }
    return false;
}

static void append_quantizer(char *text, const char *prefix, size_t role, const dither_quantizer *quantizer)
{
    char word[WORD], value[DITHER_QUANTIZER_TEXT + 1] = "=";
    snprintf(word, sizeof word, "%s%s", prefix, role_names[role]);
    dither_quantizer_print(quantizer, value + 1);
    append(text, word, value);
}

void dither_scheme_print(const dither_scheme *scheme, char *text)
{
    text[0] = 0;
    const dither_quantizer plain = dither_quantizer_f32();
    for (size_t role = 0; role < DITHER_ROLES; role++) {
        if (!dither_quantizer_equal(&scheme->role[role], &plain) && !is_copy(scheme, role)) {
            append_quantizer(text, "", role, &scheme->role[role]);
        }
    }
    for (size_t role = 0; role < DITHER_ROLES; role++) {
        if (!dither_quantizer_equal(&scheme->head[role], &scheme->role[role]) && !is_copy(scheme, role)) {
            append_quantizer(text, head_prefix, role, &scheme->head[role]);
        }
    }
    for (size_t i = 0; i < FLAGS; i++) {
        if (flag_get(scheme, i)) {
            append(text, flags[i].name, "");
        }
    }
    if (scheme->rht != 0) {
        char value[WORD];
        snprintf(value, sizeof value, "=%zu", scheme->rht);
        append(text, "rht", value);
    }
    if (text[0] == 0) {
        append(text, "f32", "");
    }
}
