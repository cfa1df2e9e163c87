#include "data/tokenizer_steps.h"

#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "file/vocabulary_split.h"

static const char space_mark[] = "\xe2\x96\x81"; /* U+2581, SentencePiece's space */

/* Where reading is. */
typedef struct reading {
    dither_tokenizer_steps *steps;
    const char *path;
    dither_error *error;
} reading;

typedef dither_status read_step(reading *r, const cJSON *item);

typedef struct step_type {
    const char *name;
    read_step *read;
} step_type;

static dither_status fail(const reading *r, const char *what, const char *name)
{
    return dither_fail(r->error, DITHER_E_FORMAT, r->path, "%s \"%.60s\" is not known to this version", what,
                       dither_json_printable(name) ? name : "(unprintable)");
}

/* Reads an item of one of the types; absent and null are nothing. */
static dither_status read_typed(reading *r, const cJSON *item, const char *what, const step_type *types, size_t count)
{
    const char *name;
    if (item == NULL || cJSON_IsNull(item))
        return DITHER_OK;
    const dither_status status = dither_json_text(item, "type", &name, NULL, r->path, r->error);
    if (status != DITHER_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].read(r, item);
    return fail(r, what, name);
}

/* Each item of a list, in order. Sequences inside of sequences are as deep as cJSON nests. */
static dither_status read_list(reading *r, const cJSON *item, const char *key, read_step *read)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(item, key);
    if (!cJSON_IsArray(list))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"%s\" must be a list", key);
    dither_status status = DITHER_OK;
    for (const cJSON *step = list->child; step != NULL && status == DITHER_OK; step = step->next)
        status = read(r, step);
    return status;
}

static dither_status optional_bool(const reading *r, const cJSON *item, const char *key, bool *value)
{
    bool found;
    return dither_json_bool(item, key, value, &found, r->path, r->error);
}

/* {"String": ...} or {"Regex": ...} */
static dither_status read_pattern(const reading *r, const cJSON *item, const char **pattern, bool *literal)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(item, "pattern");
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(object, "String");
    const cJSON *regex = cJSON_GetObjectItemCaseSensitive(object, "Regex");
    *literal = text != NULL;
    *pattern = cJSON_GetStringValue(text != NULL ? text : regex);
    if (*pattern == NULL || **pattern == '\0' || (text != NULL && regex != NULL))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "\"pattern\" must be {\"String\": text} or {\"Regex\": text}");
    return DITHER_OK;
}

/* ---- normalizers --------------------------------------------------------------------------------------------- */

static dither_status add_normal(reading *r, dither_normal_step step)
{
    if (r->steps->normals == DITHER_STEPS)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "more than %d normalizers", DITHER_STEPS);
    r->steps->normal[r->steps->normals++] = step;
    return DITHER_OK;
}

#define PLAIN(name, what) \
    static dither_status name(reading *r, const cJSON *item) \
    { \
        (void)item; \
        return add_normal(r, (dither_normal_step){.kind = (what)}); \
    }
PLAIN(normal_nfc, DITHER_NORMAL_NFC)
PLAIN(normal_nfd, DITHER_NORMAL_NFD)
PLAIN(normal_nfkc, DITHER_NORMAL_NFKC)
PLAIN(normal_nfkd, DITHER_NORMAL_NFKD)
PLAIN(normal_lowercase, DITHER_NORMAL_LOWERCASE)
#undef PLAIN

static dither_status normal_strip(reading *r, const cJSON *item)
{
    dither_normal_step step = {.kind = DITHER_NORMAL_STRIP};
    dither_status status = dither_json_bool(item, "strip_left", &step.left, NULL, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_bool(item, "strip_right", &step.right, NULL, r->path, r->error);
    return status == DITHER_OK ? add_normal(r, step) : status;
}

static dither_status normal_prepend(reading *r, const cJSON *item)
{
    dither_normal_step step = {.kind = DITHER_NORMAL_PREPEND};
    const dither_status status = dither_json_text(item, "prepend", &step.content, NULL, r->path, r->error);
    return status == DITHER_OK ? add_normal(r, step) : status;
}

static dither_status normal_replace(reading *r, const cJSON *item)
{
    dither_normal_step step = {.kind = DITHER_NORMAL_REPLACE};
    dither_status status = dither_json_text(item, "content", &step.content, NULL, r->path, r->error);
    if (status == DITHER_OK)
        status = read_pattern(r, item, &step.pattern, &step.literal);
    return status == DITHER_OK ? add_normal(r, step) : status;
}

static read_step read_normalizer;

static dither_status normal_sequence(reading *r, const cJSON *item)
{
    return read_list(r, item, "normalizers", read_normalizer);
}

static dither_status read_normalizer(reading *r, const cJSON *item)
{
    static const step_type types[] = {
        {"NFC", normal_nfc},
        {"NFD", normal_nfd},
        {"NFKC", normal_nfkc},
        {"NFKD", normal_nfkd},
        {"Lowercase", normal_lowercase},
        {"Strip", normal_strip},
        {"Prepend", normal_prepend},
        {"Replace", normal_replace},
        {"Sequence", normal_sequence},
    };
    return read_typed(r, item, "the normalizer", types, sizeof types / sizeof *types);
}

/* ---- pre-tokenizers ------------------------------------------------------------------------------------------ */

static dither_status add_split(reading *r, dither_split split)
{
    if (r->steps->split_count == DITHER_STEPS)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "more than %d pre-tokenizers", DITHER_STEPS);
    r->steps->splits[r->steps->split_count++] = split;
    return DITHER_OK;
}

static dither_status add_pattern(reading *r, const char *pattern, dither_split_kind kind)
{
    return add_split(r, (dither_split){.pattern = pattern, .kind = kind});
}

/* What changes the text must come before what cuts it, or each piece would be changed. */
static dither_status add_before(reading *r, dither_normal_step step, const char *what)
{
    if (r->steps->split_count > 0)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "the pre-tokenizer \"%s\" behind another one is not known to this version", what);
    if (r->steps->befores == DITHER_STEPS)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "more than %d pre-tokenizers", DITHER_STEPS);
    r->steps->before[r->steps->befores++] = step;
    return DITHER_OK;
}

static dither_status read_behavior(const reading *r, const cJSON *item, dither_split_kind *kind)
{
    static const char *const names[] = {
        [DITHER_SPLIT_ISOLATED] = "Isolated",
        [DITHER_SPLIT_REMOVED] = "Removed",
        [DITHER_SPLIT_CONTIGUOUS] = "Contiguous",
        [DITHER_SPLIT_WITH_PREVIOUS] = "MergedWithPrevious",
        [DITHER_SPLIT_WITH_NEXT] = "MergedWithNext",
    };
    const char *name = "Isolated";
    bool found;
    const dither_status status = dither_json_text(item, "behavior", &name, &found, r->path, r->error);
    if (status != DITHER_OK)
        return status;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            *kind = (dither_split_kind)i;
            return DITHER_OK;
        }
    }
    return fail(r, "the behavior", name);
}

static dither_status split_split(reading *r, const cJSON *item)
{
    dither_split split = {.kind = DITHER_SPLIT_ISOLATED};
    dither_status status = read_pattern(r, item, &split.pattern, &split.literal);
    if (status == DITHER_OK)
        status = read_behavior(r, item, &split.kind);
    if (status == DITHER_OK)
        status = optional_bool(r, item, "invert", &split.invert);
    return status == DITHER_OK ? add_split(r, split) : status;
}

static dither_status split_digits(reading *r, const cJSON *item)
{
    bool each = false;
    const dither_status status = optional_bool(r, item, "individual_digits", &each);
    const dither_split_kind kind = each ? DITHER_SPLIT_ISOLATED : DITHER_SPLIT_CONTIGUOUS;
    return status == DITHER_OK ? add_pattern(r, dither_pattern_digit, kind) : status;
}

static dither_status split_whitespace(reading *r, const cJSON *item)
{
    /* \w+|[^\w\s]+ to a library whose words may have the characters in them that join letters */
    static const char pattern[] = "[\\w\\x{200c}\\x{200d}]+|[^\\w\\s\\x{200c}\\x{200d}]+";
    (void)item;
    return add_split(r, (dither_split){.pattern = pattern, .kind = DITHER_SPLIT_REMOVED, .invert = true});
}

static dither_status split_at_whitespace(reading *r, const cJSON *item)
{
    (void)item;
    return add_pattern(r, "\\s", DITHER_SPLIT_REMOVED);
}

static dither_status split_at_character(reading *r, const cJSON *item)
{
    dither_split split = {.kind = DITHER_SPLIT_REMOVED, .literal = true};
    const dither_status status = dither_json_text(item, "delimiter", &split.pattern, NULL, r->path, r->error);
    if (status == DITHER_OK && *split.pattern == '\0')
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"delimiter\" must be a character");
    return status == DITHER_OK ? add_split(r, split) : status;
}

static dither_status split_byte_level(reading *r, const cJSON *item)
{
    bool space = true, regex = true;
    dither_status status = optional_bool(r, item, "add_prefix_space", &space);
    if (status == DITHER_OK)
        status = optional_bool(r, item, "use_regex", &regex);
    if (status == DITHER_OK && space) {
        status = add_before(r, (dither_normal_step){.kind = DITHER_NORMAL_PREFIX, .content = " "},
                            "ByteLevel with add_prefix_space");
        r->steps->space_prefix = true;
    }
    if (status == DITHER_OK && regex)
        status = add_pattern(r, dither_pattern_gpt2, DITHER_SPLIT_ISOLATED);
    r->steps->byte_level = true;
    return status;
}

/* The scheme of a Metaspace; older files say add_prefix_space. */
static dither_status read_scheme(const reading *r, const cJSON *item, bool *prefix, bool *first)
{
    const char *scheme = "always";
    bool found, add = true;
    dither_status status = dither_json_text(item, "prepend_scheme", &scheme, &found, r->path, r->error);
    if (status == DITHER_OK)
        status = optional_bool(r, item, "add_prefix_space", &add);
    *prefix = add && strcmp(scheme, "never") != 0;
    *first = strcmp(scheme, "first") == 0;
    if (status == DITHER_OK && *prefix && !*first && strcmp(scheme, "always") != 0)
        return fail(r, "the prepend_scheme", scheme);
    return status;
}

static dither_status read_replacement(const reading *r, const cJSON *item)
{
    const char *replacement;
    const dither_status status = dither_json_text(item, "replacement", &replacement, NULL, r->path, r->error);
    if (status == DITHER_OK && strcmp(replacement, space_mark) != 0)
        return fail(r, "the replacement of spaces", replacement);
    return status;
}

static dither_status split_metaspace(reading *r, const cJSON *item)
{
    const dither_normal_step spaces = {
        .kind = DITHER_NORMAL_REPLACE, .content = space_mark, .pattern = " ", .literal = true};
    dither_normal_step space = {.kind = DITHER_NORMAL_PREFIX, .content = space_mark};
    bool prefix = true, split = true;
    dither_status status = read_replacement(r, item);
    if (status == DITHER_OK)
        status = read_scheme(r, item, &prefix, &space.first);
    if (status == DITHER_OK)
        status = optional_bool(r, item, "split", &split);
    if (status == DITHER_OK)
        status = add_before(r, spaces, "Metaspace");
    if (status == DITHER_OK && prefix)
        status = add_before(r, space, "Metaspace");
    if (status == DITHER_OK && split)
        status = add_split(
            r, (dither_split){.pattern = space_mark, .kind = DITHER_SPLIT_WITH_NEXT, .literal = true});
    return status;
}

static read_step read_pretokenizer;

static dither_status split_sequence(reading *r, const cJSON *item)
{
    return read_list(r, item, "pretokenizers", read_pretokenizer);
}

static dither_status read_pretokenizer(reading *r, const cJSON *item)
{
    static const step_type types[] = {
        {"ByteLevel", split_byte_level},
        {"Split", split_split},
        {"Digits", split_digits},
        {"Whitespace", split_whitespace},
        {"WhitespaceSplit", split_at_whitespace},
        {"CharDelimiterSplit", split_at_character},
        {"Metaspace", split_metaspace},
        {"Sequence", split_sequence},
    };
    if (r->steps->byte_level)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "a pre-tokenizer behind ByteLevel, on its characters for bytes, is not known to this "
                           "version");
    return read_typed(r, item, "the pre-tokenizer", types, sizeof types / sizeof *types);
}

/* ---- decoders ------------------------------------------------------------------------------------------------ */

static dither_status nothing(reading *r, const cJSON *item)
{
    (void)r;
    (void)item;
    return DITHER_OK;
}

static dither_status decode_bytes(reading *r, const cJSON *item)
{
    (void)item;
    r->steps->byte_tokens = true;
    return DITHER_OK;
}

static dither_status decode_replace(reading *r, const cJSON *item)
{
    const char *pattern, *content;
    bool literal;
    dither_status status = read_pattern(r, item, &pattern, &literal);
    if (status == DITHER_OK)
        status = dither_json_text(item, "content", &content, NULL, r->path, r->error);
    if (status == DITHER_OK && (!literal || strcmp(pattern, space_mark) != 0 || strcmp(content, " ") != 0))
        return fail(r, "a decoder that replaces", pattern);
    r->steps->spaces = true;
    return status;
}

static dither_status decode_strip(reading *r, const cJSON *item)
{
    const char *content;
    uint64_t start = 0, stop = 0;
    dither_status status = dither_json_text(item, "content", &content, NULL, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_u64(item, "start", 0, 1, &start, NULL, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_u64(item, "stop", 0, 0, &stop, NULL, r->path, r->error);
    if (status == DITHER_OK && strcmp(content, " ") != 0)
        return fail(r, "a decoder that strips", content);
    r->steps->space_prefix = r->steps->space_prefix || start == 1;
    return status;
}

static dither_status decode_metaspace(reading *r, const cJSON *item)
{
    bool prefix = true, first;
    dither_status status = read_replacement(r, item);
    if (status == DITHER_OK)
        status = read_scheme(r, item, &prefix, &first);
    r->steps->spaces = true;
    r->steps->space_prefix = r->steps->space_prefix || prefix;
    return status;
}

static read_step read_decoder;

static dither_status decode_sequence(reading *r, const cJSON *item)
{
    return read_list(r, item, "decoders", read_decoder);
}

static dither_status read_decoder(reading *r, const cJSON *item)
{
    static const step_type types[] = {
        {"ByteLevel", nothing},        {"Fuse", nothing},
        {"ByteFallback", decode_bytes}, {"Replace", decode_replace},
        {"Strip", decode_strip},       {"Metaspace", decode_metaspace},
        {"Sequence", decode_sequence},
    };
    return read_typed(r, item, "the decoder", types, sizeof types / sizeof *types);
}

/* ---- post-processors ----------------------------------------------------------------------------------------- */

/*
 * The one id of a special token of a template: {"SpecialToken": {"id": NAME}} in "single", NAME: {"ids": [ID]} in
 * "special_tokens". Whether the vocabulary has it is for whoever has read that.
 */
static dither_status template_id(const reading *r, const cJSON *item, const cJSON *special, uint32_t *id)
{
    const char *name;
    const dither_status status = dither_json_text(special, "id", &name, NULL, r->path, r->error);
    if (status != DITHER_OK)
        return status;
    const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(item, "special_tokens");
    const cJSON *ids = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(tokens, name), "ids");
    const cJSON *first = cJSON_IsArray(ids) ? ids->child : NULL;
    const double value = first != NULL && first->next == NULL && cJSON_IsNumber(first) ? first->valuedouble : -1;
    if (!(value >= 0 && value < UINT32_MAX) || value != floor(value))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "\"post_processor\": \"special_tokens\" must have {\"ids\": [ID]}, one id, for \"%.60s\"",
                           dither_json_printable(name) ? name : "(unprintable)");
    *id = (uint32_t)value;
    return DITHER_OK;
}

static dither_status template_processing(reading *r, const cJSON *item)
{
    const cJSON *single = cJSON_GetObjectItemCaseSensitive(item, "single");
    dither_tokenizer_steps *steps = r->steps;
    bool text = false;
    dither_status status = DITHER_OK;
    if (!cJSON_IsArray(single))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"post_processor\": \"single\" must be a list");
    for (const cJSON *part = single->child; part != NULL && status == DITHER_OK; part = part->next) {
        const cJSON *special = cJSON_GetObjectItemCaseSensitive(part, "SpecialToken");
        bool *adds = text ? &steps->adds_eos : &steps->adds_bos;
        if (special == NULL && !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(part, "Sequence")))
            return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                               "\"post_processor\": \"single\" must be a list of {\"SpecialToken\": ...} and "
                               "{\"Sequence\": ...}");
        if (special == NULL && text)
            return dither_fail(r->error, DITHER_E_FORMAT, r->path, "a template that has the text twice");
        if (special != NULL && *adds)
            return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                               "a template that adds several tokens at an end is not known to this version");
        if (special == NULL) {
            text = true;
            continue;
        }
        status = template_id(r, item, special, text ? &steps->eos : &steps->bos);
        *adds = true;
    }
    return status;
}

static read_step read_processor;

static dither_status processor_sequence(reading *r, const cJSON *item)
{
    return read_list(r, item, "processors", read_processor);
}

static dither_status read_processor(reading *r, const cJSON *item)
{
    static const step_type types[] = {
        {"ByteLevel", nothing}, /* about offsets */
        {"TemplateProcessing", template_processing},
        {"Sequence", processor_sequence},
    };
    return read_typed(r, item, "the post-processor", types, sizeof types / sizeof *types);
}

dither_status dither_tokenizer_steps_read(dither_tokenizer_steps *steps, const cJSON *root, const char *path,
                                          dither_error *error)
{
    static const struct {
        const char *key;
        read_step *read;
    } parts[] = {
        {"normalizer", read_normalizer},
        {"pre_tokenizer", read_pretokenizer},
        {"decoder", read_decoder},
        {"post_processor", read_processor},
    };
    *steps = (dither_tokenizer_steps){0};
    reading r = {steps, path, error};
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == DITHER_OK; i++)
        status = parts[i].read(&r, cJSON_GetObjectItemCaseSensitive(root, parts[i].key));
    return status;
}
