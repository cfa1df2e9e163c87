/* tokenizer.* metadata from tokenizer.json, tokenizer_config.json and what lies beside them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/json.h"
#include "file/mapping.h"
#include "file/vocabulary_files.h"
#include "file/vocabulary_pieces.h"
#include "file/vocabulary_split.h"
#include "file/vocabulary_tokens.h"

enum { FILE_LIMIT = 1 << 28, CONFIG_LIMIT = 1 << 24 };
static const uint32_t NONE = UINT32_MAX;

/* The files that are read, in the order of paths; all but the first may be missing. */
enum { TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, CONFIG, GENERATION, FILES };
static const char *const names[FILES] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                         "config.json", "generation_config.json"};

typedef struct source {
    const char *folder;
    char path[PATH_MAX];  /* of tokenizer.json, for errors */
    cJSON *root[FILES];
    const cJSON *model;
    bool pieces;
    bool add_space, add_bos, add_eos;
    const dither_vocabulary_split *split;
    dither_tokens tokens;
    char *filling; /* texts of ids without a token */
} source;

static dither_status file_path(const char *folder, const char *name, char path[static PATH_MAX], dither_error *error)
{
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    return DITHER_OK;
}

static const cJSON *get(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *type_of(const cJSON *object)
{
    const cJSON *type = get(object, "type");
    return cJSON_IsString(type) ? type->valuestring : "";
}

static bool absent(const cJSON *item)
{
    return item == NULL || cJSON_IsNull(item);
}

static dither_status bad(const source *s, const char *text, dither_error *error)
{
    return dither_fail(error, DITHER_E_FORMAT, s->path, "%s", text);
}

static dither_status read_files(source *s, dither_error *error)
{
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < FILES && status == DITHER_OK; i++) {
        char path[PATH_MAX];
        status = file_path(s->folder, names[i], path, error);
        if (i == TOKENIZER)
            memcpy(s->path, path, sizeof path);
        if (status == DITHER_OK && (i == TOKENIZER || access(path, F_OK) == 0))
            status = dither_json_file(path, i == TOKENIZER ? FILE_LIMIT : CONFIG_LIMIT, &s->root[i], error);
    }
    return status;
}

/* ---- what kind it is ---------------------------------------------------------------------------------------- */

static bool has_step(const cJSON *step, const char *list, const char *type)
{
    if (strcmp(type_of(step), type) == 0)
        return true;
    const cJSON *steps = get(step, list);
    for (const cJSON *item = cJSON_IsArray(steps) ? steps->child : NULL; item != NULL; item = item->next)
        if (strcmp(type_of(item), type) == 0)
            return true;
    return false;
}

/* Normalizers that put U+2581 for spaces, and perhaps one in front; or a pre-tokenizer that does. */
static dither_status read_piece_steps(source *s, dither_error *error)
{
    const cJSON *normalizer = get(s->root[TOKENIZER], "normalizer");
    const cJSON *before = get(s->root[TOKENIZER], "pre_tokenizer");
    const cJSON *steps = get(normalizer, "normalizers");
    const bool one = strcmp(type_of(normalizer), "Sequence") != 0;
    for (const cJSON *item = one ? normalizer : steps->child; !absent(item); item = one ? NULL : item->next) {
        const bool prepends = strcmp(type_of(item), "Prepend") == 0;
        if (!prepends && strcmp(type_of(item), "Replace") != 0)
            return dither_fail(error, DITHER_E_FORMAT, s->path, "a normalizer of type \"%.40s\", which llama.cpp does "
                               "not have", dither_json_printable(type_of(item)) ? type_of(item) : "");
        s->add_space |= prepends;
    }
    if (strcmp(type_of(before), "Metaspace") == 0) {
        const cJSON *scheme = get(before, "prepend_scheme"), *prefix = get(before, "add_prefix_space");
        s->add_space |=
            cJSON_IsString(scheme) ? strcmp(scheme->valuestring, "never") != 0 : !cJSON_IsFalse(prefix);
    } else if (!absent(before) && strcmp(type_of(before), "Split") != 0) {
        return bad(s, "a pre-tokenizer that SentencePiece does not have", error);
    }
    return DITHER_OK;
}

static dither_status read_byte_steps(source *s, dither_error *error)
{
    const cJSON *normalizer = get(s->root[TOKENIZER], "normalizer");
    if (!absent(normalizer) && strcmp(type_of(normalizer), "NFC") != 0 &&
        !(strcmp(type_of(normalizer), "Sequence") == 0 && cJSON_GetArraySize(get(normalizer, "normalizers")) == 0))
        return dither_fail(error, DITHER_E_FORMAT, s->path, "a normalizer of type \"%.40s\", which llama.cpp does not "
                           "have", dither_json_printable(type_of(normalizer)) ? type_of(normalizer) : "");
    const cJSON *before = get(s->root[TOKENIZER], "pre_tokenizer"), *merges = get(s->model, "merges");
    s->split = dither_vocabulary_split_of(before, cJSON_IsTrue(get(s->model, "ignore_merges")),
                                          strcmp(type_of(normalizer), "NFC") == 0);
    /* Where nothing is merged, it does not matter how a text is cut. */
    if (s->split == NULL && cJSON_IsArray(merges) && merges->child == NULL)
        s->split = dither_vocabulary_split_named("gpt-2", strlen("gpt-2"));
    if (s->split == NULL) {
        char known[256];
        dither_vocabulary_split_names(known, sizeof known);
        return dither_fail(error, DITHER_E_FORMAT, s->path, "its pre-tokenizer is none that llama.cpp has a name for; "
                           "those known here are %s", known);
    }
    return DITHER_OK;
}

static dither_status read_kind(source *s, dither_error *error)
{
    const cJSON *before = get(s->root[TOKENIZER], "pre_tokenizer");
    s->model = get(s->root[TOKENIZER], "model");
    const cJSON *type = get(s->model, "type");
    /* Older files have no type. */
    if (!cJSON_IsObject(get(s->model, "vocab")) || !cJSON_IsArray(get(s->model, "merges")) ||
        (cJSON_IsString(type) && strcmp(type->valuestring, "BPE") != 0))
        return dither_fail(error, DITHER_E_FORMAT, s->path, "its model is of type \"%.40s\"; a GGUF file can be made "
                           "of BPE", dither_json_printable(type_of(s->model)) ? type_of(s->model) : "");
    static const char *const none[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (!absent(get(s->model, none[i])) &&
            !(cJSON_IsString(get(s->model, none[i])) && get(s->model, none[i])->valuestring[0] == '\0'))
            return dither_fail(error, DITHER_E_FORMAT, s->path, "\"%s\", which llama.cpp does not have", none[i]);
    if (has_step(before, "pretokenizers", "ByteLevel"))
        return read_byte_steps(s, error);
    s->pieces = cJSON_IsTrue(get(s->model, "byte_fallback"));
    if (!s->pieces)
        return bad(s, "neither byte-level nor with byte_fallback; llama.cpp could not encode every text", error);
    return read_piece_steps(s, error);
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

static dither_status set_token(source *s, const cJSON *number, const char *text, int type, dither_error *error)
{
    const double id = cJSON_IsNumber(number) ? number->valuedouble : -1;
    if (!(id >= 0) || id >= (double)s->tokens.count || id != (double)(uint32_t)id)
        return dither_fail(error, DITHER_E_FORMAT, s->path, "a token whose id is not one of the model's 0 to %zu",
                           s->tokens.count - 1);
    dither_token *token = &s->tokens.token[(size_t)id];
    const size_t length = strlen(text);
    if (token->text != NULL && (token->length != length || memcmp(token->text, text, length) != 0))
        return dither_fail(error, DITHER_E_FORMAT, s->path, "two tokens with the id %u", (unsigned)id);
    *token = (dither_token){.text = text, .length = (uint32_t)length, .type = type};
    return DITHER_OK;
}

static bool begins_and_ends(const char *text, const char *begin, const char *end)
{
    const size_t length = strlen(text), first = strlen(begin), last = strlen(end);
    return length >= first + last && memcmp(text, begin, first) == 0 && memcmp(text + length - last, end, last) == 0;
}

/* Marks that files do not call special; llama.cpp's own converter goes by the same texts. */
static bool looks_special(const char *text)
{
    static const char *const texts[] = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(text, texts[i]) == 0)
            return true;
    return begins_and_ends(text, "<|", "|>") || begins_and_ends(text, "<｜", "｜>") ||
           begins_and_ends(text, "<unused", ">");
}

static bool is_byte(const char *text)
{
    return strlen(text) == 6 && memcmp(text, "<0x", 3) == 0 && strspn(text + 3, "0123456789ABCDEF") == 2 &&
           text[5] == '>';
}

static dither_status read_added(source *s, dither_error *error)
{
    const cJSON *added = get(s->root[TOKENIZER], "added_tokens"), *unknown = get(s->model, "unk_token");
    dither_status status = DITHER_OK;
    for (const cJSON *item = cJSON_IsArray(added) ? added->child : NULL; item != NULL && status == DITHER_OK;
         item = item->next) {
        const cJSON *content = get(item, "content");
        if (!cJSON_IsString(content) || content->valuestring[0] == '\0')
            return bad(s, "an added token without a text", error);
        const char *text = content->valuestring;
        int type = cJSON_IsTrue(get(item, "special")) || looks_special(text) ? DITHER_TOKEN_CONTROL
                                                                             : DITHER_TOKEN_USER_DEFINED;
        if (s->pieces && cJSON_IsString(unknown) && strcmp(unknown->valuestring, text) == 0)
            type = DITHER_TOKEN_UNKNOWN;
        status = set_token(s, get(item, "id"), text, type, error);
    }
    return status;
}

/* llama.cpp wants a token for every row of the embedding, and each of another text. */
static dither_status fill_up(source *s, dither_error *error)
{
    enum { TEXT = 24 };
    s->filling = calloc(s->tokens.count, TEXT);
    if (s->filling == NULL)
        return dither_fail(error, DITHER_E_MEMORY, s->path, "no memory for %zu tokens", s->tokens.count);
    for (size_t id = 0; id < s->tokens.count; id++) {
        dither_token *token = &s->tokens.token[id];
        if (token->text != NULL)
            continue;
        char *text = s->filling + id * TEXT;
        int length = snprintf(text, TEXT, "[PAD%zu]", id);
        *token = (dither_token){.text = text, .length = (uint32_t)length, .type = DITHER_TOKEN_UNUSED, .score = -1e4f};
    }
    return DITHER_OK;
}

static dither_status read_tokens(source *s, size_t rows, dither_error *error)
{
    if (!dither_tokens_open(&s->tokens, rows))
        return dither_fail(error, DITHER_E_MEMORY, s->path, "no memory for %zu tokens", rows);
    dither_status status = DITHER_OK;
    for (const cJSON *item = get(s->model, "vocab")->child; item != NULL && status == DITHER_OK; item = item->next)
        status = set_token(s, item, item->string,
                           s->pieces && is_byte(item->string) ? DITHER_TOKEN_BYTE : DITHER_TOKEN_NORMAL, error);
    if (status == DITHER_OK)
        status = read_added(s, error);
    if (status == DITHER_OK)
        status = dither_tokens_sort(&s->tokens, s->path, error);
    if (status == DITHER_OK && s->pieces)
        status = dither_pieces_score(&s->tokens, get(s->model, "merges"), s->path, error);
    if (status == DITHER_OK)
        status = fill_up(s, error);
    return status == DITHER_OK ? dither_tokens_sort(&s->tokens, s->path, error) : status;
}

/* ---- marks and template ------------------------------------------------------------------------------------- */

/* "<s>" or {"content": "<s>"}; NULL: neither. */
static const char *mark_text(const cJSON *item)
{
    const cJSON *content = cJSON_IsObject(item) ? get(item, "content") : item;
    return cJSON_IsString(content) ? content->valuestring : NULL;
}

/* A mark by its text in the tokenizer's files, else by its id in the model's. */
static uint32_t mark(const source *s, const char *text_key, const char *id_key)
{
    for (size_t i = TOKENIZER_CONFIG; i <= SPECIAL_TOKENS; i++) {
        const char *text = mark_text(get(s->root[i], text_key));
        uint32_t id;
        if (text != NULL && dither_tokens_find(&s->tokens, text, strlen(text), &id))
            return id;
    }
    for (size_t i = CONFIG; i <= GENERATION; i++) {
        const cJSON *item = get(s->root[i], id_key);
        if (cJSON_IsArray(item))
            item = item->child;
        const double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (id >= 0 && id < (double)s->tokens.count && id == (double)(uint32_t)id)
            return (uint32_t)id;
    }
    return NONE;
}

/* What a post-processor puts around a text, and what tokenizer_config.json says of it. */
static void read_around(source *s, uint32_t bos, uint32_t eos)
{
    const cJSON *after = get(s->root[TOKENIZER], "post_processor"), *list = get(after, "processors");
    const bool one = !cJSON_IsArray(list);
    for (const cJSON *item = one ? after : list->child; !absent(item); item = one ? NULL : item->next) {
        const cJSON *single = get(item, "single");
        if (strcmp(type_of(item), "TemplateProcessing") != 0 || !cJSON_IsArray(single) || single->child == NULL)
            continue;
        const cJSON *last = single->child;
        while (last->next != NULL)
            last = last->next;
        s->add_bos = get(single->child, "SpecialToken") != NULL;
        s->add_eos = get(last, "SpecialToken") != NULL && last != single->child;
    }
    const cJSON *says_bos = get(s->root[TOKENIZER_CONFIG], "add_bos_token");
    const cJSON *says_eos = get(s->root[TOKENIZER_CONFIG], "add_eos_token");
    s->add_bos = bos != NONE && (cJSON_IsBool(says_bos) ? cJSON_IsTrue(says_bos) : s->add_bos);
    s->add_eos = eos != NONE && (cJSON_IsBool(says_eos) ? cJSON_IsTrue(says_eos) : s->add_eos);
}

/* The only one, or that of the name "default". */
static const char *template_text(const cJSON *item)
{
    if (cJSON_IsString(item))
        return item->valuestring;
    for (const cJSON *one = cJSON_IsArray(item) ? item->child : NULL; one != NULL; one = one->next) {
        const cJSON *name = get(one, "name"), *text = get(one, "template");
        if (cJSON_IsString(name) && strcmp(name->valuestring, "default") == 0 && cJSON_IsString(text))
            return text->valuestring;
    }
    return NULL;
}

static dither_status write_template(const source *s, dither_gguf_writer *writer, dither_error *error)
{
    char path[PATH_MAX];
    dither_status status = file_path(s->folder, "chat_template.jinja", path, error);
    if (status != DITHER_OK)
        return status;
    if (access(path, F_OK) == 0) {
        dither_mapping mapping;
        status = dither_mapping_open(&mapping, path, error);
        if (status != DITHER_OK)
            return status;
        dither_gguf_writer_string(writer, "tokenizer.chat_template", (const char *)mapping.bytes, mapping.size);
        dither_mapping_close(&mapping);
        return DITHER_OK;
    }
    const char *text = template_text(get(s->root[TOKENIZER_CONFIG], "chat_template"));
    if (text != NULL)
        dither_gguf_writer_string(writer, "tokenizer.chat_template", text, strlen(text));
    return DITHER_OK;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static dither_status write_lists(const source *s, dither_gguf_writer *writer, dither_error *error)
{
    const size_t count = s->tokens.count;
    int32_t *types = malloc(count * sizeof *types);
    float *scores = malloc(count * sizeof *scores);
    dither_status status = DITHER_OK;
    if (types == NULL || scores == NULL)
        status = dither_fail(error, DITHER_E_MEMORY, s->path, "no memory for %zu tokens", count);
    if (status == DITHER_OK) {
        dither_gguf_writer_strings(writer, "tokenizer.ggml.tokens", count);
        for (size_t id = 0; id < count; id++) {
            types[id] = s->tokens.token[id].type;
            scores[id] = s->tokens.token[id].score;
            dither_gguf_writer_item(writer, s->tokens.token[id].text, s->tokens.token[id].length);
        }
        if (s->pieces)
            dither_gguf_writer_numbers(writer, "tokenizer.ggml.scores", DITHER_GGUF_F32, count, scores);
        dither_gguf_writer_numbers(writer, "tokenizer.ggml.token_type", DITHER_GGUF_I32, count, types);
    }
    free(scores);
    free(types);
    return status;
}

static dither_status write_merges(const source *s, dither_gguf_writer *writer, dither_error *error)
{
    const cJSON *merges = get(s->model, "merges");
    size_t count = 0;
    for (const cJSON *merge = merges->child; merge != NULL; merge = merge->next)
        count++;
    dither_gguf_writer_strings(writer, "tokenizer.ggml.merges", count);
    size_t number = 0;
    for (const cJSON *merge = merges->child; merge != NULL; merge = merge->next, number++) {
        const char *left, *right;
        size_t left_length, right_length;
        char text[1024];
        if (!dither_merge_sides(merge, &left, &left_length, &right, &right_length) ||
            left_length + right_length + 1 > sizeof text || memchr(left, ' ', left_length) != NULL ||
            memchr(right, ' ', right_length) != NULL)
            return dither_fail(error, DITHER_E_FORMAT, s->path, "merge %zu is not of two byte-level tokens", number);
        memcpy(text, left, left_length);
        text[left_length] = ' ';
        memcpy(text + left_length + 1, right, right_length);
        dither_gguf_writer_item(writer, text, left_length + 1 + right_length);
    }
    return DITHER_OK;
}

static void write_marks(source *s, dither_gguf_writer *writer)
{
    static const struct {
        const char *gguf, *text, *id;
    } marks[] = {{"tokenizer.ggml.bos_token_id", "bos_token", "bos_token_id"},
                 {"tokenizer.ggml.eos_token_id", "eos_token", "eos_token_id"},
                 {"tokenizer.ggml.unknown_token_id", "unk_token", "unk_token_id"},
                 {"tokenizer.ggml.padding_token_id", "pad_token", "pad_token_id"}};
    uint32_t ids[sizeof marks / sizeof *marks];
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        ids[i] = mark(s, marks[i].text, marks[i].id);
    read_around(s, ids[0], ids[1]);
    /* Without these llama.cpp takes token 11 of a byte-level vocabulary to end a text. Where there is no such token,
     * that of the byte 0 does the least harm. */
    for (size_t i = 0; i < 2 && !s->pieces; i++)
        if (ids[i] == NONE)
            (void)dither_tokens_find(&s->tokens, "Ā", strlen("Ā"), &ids[i]);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (ids[i] != NONE)
            dither_gguf_writer_u32(writer, marks[i].gguf, ids[i]);
    dither_gguf_writer_bool(writer, "tokenizer.ggml.add_bos_token", s->add_bos);
    dither_gguf_writer_bool(writer, "tokenizer.ggml.add_eos_token", s->add_eos);
    dither_gguf_writer_bool(writer, "tokenizer.ggml.add_space_prefix", s->add_space);
}

static dither_status write_all(source *s, dither_gguf_writer *writer, dither_error *error)
{
    const char *model = s->pieces ? "llama" : "gpt2";
    const char *name = s->pieces ? "default" : dither_vocabulary_split_name(s->split);
    dither_gguf_writer_string(writer, "tokenizer.ggml.model", model, strlen(model));
    dither_gguf_writer_string(writer, "tokenizer.ggml.pre", name, strlen(name));
    dither_status status = write_lists(s, writer, error);
    if (status == DITHER_OK && !s->pieces)
        status = write_merges(s, writer, error);
    if (status == DITHER_OK) {
        write_marks(s, writer);
        status = write_template(s, writer, error);
    }
    return status;
}

dither_status dither_vocabulary_to_gguf(const char *folder, size_t rows, dither_gguf_writer *writer,
                                        dither_error *error)
{
    source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return dither_fail(error, DITHER_E_MEMORY, folder, "no memory");
    s->folder = folder;
    dither_status status = read_files(s, error);
    if (status == DITHER_OK)
        status = read_kind(s, error);
    if (status == DITHER_OK)
        status = read_tokens(s, rows, error);
    if (status == DITHER_OK)
        status = write_all(s, writer, error);
    dither_tokens_close(&s->tokens);
    free(s->filling);
    for (size_t i = 0; i < FILES; i++)
        cJSON_Delete(s->root[i]);
    free(s);
    return status;
}
