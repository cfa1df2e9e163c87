/* tokenizer.json, tokenizer_config.json and generation_config.json from the metadata of a GGUF file. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/json_write.h"
#include "file/vocabulary_files.h"
#include "file/vocabulary_pieces.h"
#include "file/vocabulary_split.h"
#include "file/vocabulary_tokens.h"

enum { TOKENS_LIMIT = 1 << 24 };
static const uint32_t NONE = UINT32_MAX;

typedef struct vocabulary {
    const dither_gguf *file;
    const char *path;
    bool pieces;                          /* SentencePiece; else byte-level */
    const dither_vocabulary_split *split; /* of byte-level ones */
    dither_tokens tokens;
    size_t tail; /* ids from here on are known by being added alone; those below are in the model's vocabulary too */
    bool add_bos, add_eos, add_space;
    uint32_t bos, eos, eot, unk, pad;
    char *chat_template;
} vocabulary;

/* ---- reading ------------------------------------------------------------------------------------------------ */

static dither_status read_kind(vocabulary *v, dither_error *error)
{
    const char *model = "", *name = "default";
    size_t length = 0, name_length = strlen(name);
    bool found;
    dither_status status = dither_gguf_string(v->file, "tokenizer.ggml.model", &model, &length, NULL, error);
    if (status != DITHER_OK)
        return status;
    v->pieces = length == 5 && memcmp(model, "llama", 5) == 0;
    if (!v->pieces && !(length == 4 && memcmp(model, "gpt2", 4) == 0))
        return dither_fail(error, DITHER_E_FORMAT, v->path, "its tokenizer is \"%.*s\"; tokenizer.json can be made of "
                           "\"gpt2\" and \"llama\"", length < 32 ? (int)length : 32, model);
    if (v->pieces)
        return DITHER_OK;
    status = dither_gguf_string(v->file, "tokenizer.ggml.pre", &name, &name_length, &found, error);
    if (status != DITHER_OK)
        return status;
    v->split = dither_vocabulary_split_named(name, name_length);
    if (v->split == NULL) {
        char names[256];
        dither_vocabulary_split_names(names, sizeof names);
        return dither_fail(error, DITHER_E_FORMAT, v->path, "its pre-tokenizer is \"%.*s\"; tokenizer.json can be made "
                           "of %s", name_length < 32 ? (int)name_length : 32, name, names);
    }
    return DITHER_OK;
}

/* Fills the tokens; `types` and `scores` may be NULL. */
static dither_status fill_tokens(vocabulary *v, const dither_gguf_array *texts, const unsigned char *types,
                                 const unsigned char *scores, dither_error *error)
{
    const unsigned char *cursor = texts->at;
    const char *text;
    size_t length;
    for (size_t id = 0; dither_gguf_next_string(texts, &cursor, &text, &length); id++) {
        dither_token *token = &v->tokens.token[id];
        token->type = DITHER_TOKEN_NORMAL;
        if (types != NULL)
            memcpy(&token->type, types + id * sizeof token->type, sizeof token->type);
        if (scores != NULL)
            memcpy(&token->score, scores + id * sizeof token->score, sizeof token->score);
        if (isnan(token->score)) /* in no order */
            return dither_fail(error, DITHER_E_FORMAT, v->path, "tokenizer.ggml.scores: that of token %zu is NaN", id);
        char filling[32];
        int size = snprintf(filling, sizeof filling, "[PAD%zu]", id);
        /* What only fills the embedding's rows up. */
        if (length == 0 || (token->type == DITHER_TOKEN_UNUSED && length == (size_t)size &&
                            memcmp(text, filling, length) == 0))
            continue;
        if (length > UINT32_MAX || dither_text_utf8((const unsigned char *)text, length) < length ||
            memchr(text, 0, length) != NULL)
            return dither_fail(error, DITHER_E_FORMAT, v->path, "token %zu is no UTF-8 text, which JSON cannot hold",
                               id);
        token->text = text;
        token->length = (uint32_t)length;
    }
    return dither_tokens_sort(&v->tokens, v->path, error);
}

static dither_status read_tokens(vocabulary *v, dither_error *error)
{
    dither_gguf_array texts, types, scores;
    bool has_types = false, has_scores = v->pieces;
    dither_status status =
        dither_gguf_array_of(v->file, "tokenizer.ggml.tokens", DITHER_GGUF_STRING, &texts, NULL, error);
    if (status == DITHER_OK)
        status = dither_gguf_array_of(v->file, "tokenizer.ggml.token_type", DITHER_GGUF_I32, &types, &has_types, error);
    if (status == DITHER_OK)
        status = dither_gguf_array_of(v->file, "tokenizer.ggml.scores", DITHER_GGUF_F32, &scores,
                                      v->pieces ? NULL : &has_scores, error);
    if (status != DITHER_OK)
        return status;
    if (texts.count > TOKENS_LIMIT || (has_types && types.count < texts.count) ||
        (has_scores && scores.count < texts.count))
        return dither_fail(error, DITHER_E_FORMAT, v->path, "%llu tokens with %llu types and %llu scores; a vocabulary "
                           "has one of each for every token", (unsigned long long)texts.count,
                           has_types ? (unsigned long long)types.count : 0ULL,
                           has_scores ? (unsigned long long)scores.count : 0ULL);
    if (!dither_tokens_open(&v->tokens, (size_t)texts.count))
        return dither_fail(error, DITHER_E_MEMORY, v->path, "no memory for %llu tokens",
                           (unsigned long long)texts.count);
    return fill_tokens(v, &texts, has_types ? types.at : NULL, has_scores ? scores.at : NULL, error);
}

static dither_status read_id(const vocabulary *v, const char *key, uint32_t absent, uint32_t *id, dither_error *error)
{
    uint64_t value = absent;
    bool found;
    dither_status status = dither_gguf_u64(v->file, key, 0, UINT32_MAX, &value, &found, error);
    /* Files that name a token beyond the vocabulary exist; llama.cpp passes over it, too. */
    *id = value < v->tokens.count && v->tokens.token[value].text != NULL ? (uint32_t)value : NONE;
    return status;
}

/* The token that ends a turn, where it is another than the one that ends a text: generating stops at both. */
static void find_eot(vocabulary *v)
{
    static const char *const texts[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts && v->eot == NONE; i++)
        (void)dither_tokens_find(&v->tokens, texts[i], strlen(texts[i]), &v->eot);
}

static dither_status read_marks(vocabulary *v, dither_error *error)
{
    const struct {
        const char *key;
        uint32_t absent, *id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", v->pieces ? 1 : NONE, &v->bos},
               {"tokenizer.ggml.eos_token_id", v->pieces ? 2 : NONE, &v->eos},
               {"tokenizer.ggml.eot_token_id", NONE, &v->eot},
               {"tokenizer.ggml.unknown_token_id", v->pieces ? 0 : NONE, &v->unk},
               {"tokenizer.ggml.padding_token_id", NONE, &v->pad}};
    /* What llama.cpp takes where a file does not say. */
    v->add_bos = v->pieces || dither_vocabulary_split_ignores_merges(v->split);
    v->add_space = v->pieces;
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"tokenizer.ggml.add_bos_token", &v->add_bos},
                 {"tokenizer.ggml.add_eos_token", &v->add_eos},
                 {"tokenizer.ggml.add_space_prefix", &v->add_space}};
    bool found;
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < sizeof ids / sizeof *ids && status == DITHER_OK; i++)
        status = read_id(v, ids[i].key, ids[i].absent, ids[i].id, error);
    for (size_t i = 0; i < sizeof flags / sizeof *flags && status == DITHER_OK; i++)
        status = dither_gguf_bool(v->file, flags[i].key, flags[i].flag, &found, error);
    if (status == DITHER_OK)
        status = dither_gguf_text(v->file, "tokenizer.chat_template", &v->chat_template, &found, error);
    find_eot(v);
    v->add_bos &= v->bos != NONE;
    v->add_eos &= v->eos != NONE;
    return status;
}

static bool is_added(const dither_token *token)
{
    return token->text != NULL && (token->type == DITHER_TOKEN_CONTROL || token->type == DITHER_TOKEN_USER_DEFINED ||
                                   token->type == DITHER_TOKEN_UNKNOWN);
}

/*
 * Added tokens get their ids one after another behind the vocabulary. So those at its end stay out of it, where a piece
 * of text that happens to read like one cannot be it; if an id below is not taken, all are written into it.
 */
static void find_tail(vocabulary *v)
{
    const dither_token *token = v->tokens.token;
    size_t end = v->tokens.count;
    while (end > 0 && token[end - 1].text == NULL)
        end--;
    v->tail = end;
    while (v->tail > 0 && is_added(&token[v->tail - 1]))
        v->tail--;
    for (size_t id = 0; id < v->tail; id++)
        if (token[id].text == NULL)
            v->tail = end;
}

static dither_status read_vocabulary(vocabulary *v, dither_error *error)
{
    dither_status status = read_kind(v, error);
    if (status == DITHER_OK)
        status = read_tokens(v, error);
    if (status == DITHER_OK)
        status = read_marks(v, error);
    find_tail(v);
    return status;
}

/* ---- tokenizer.json ----------------------------------------------------------------------------------------- */

static void write_token(dither_json_writer *writer, const dither_token *token)
{
    dither_json_writer_string(writer, token->text, token->length);
}

static void write_added(const vocabulary *v, dither_json_writer *writer)
{
    bool first = true;
    dither_json_writer_text(writer, "  \"added_tokens\": [");
    for (size_t id = 0; id < v->tokens.count; id++) {
        const dither_token *token = &v->tokens.token[id];
        if (!is_added(token))
            continue;
        dither_json_writer_print(writer, "%s\n    {\"id\": %zu, \"content\": ", first ? "" : ",", id);
        write_token(writer, token);
        dither_json_writer_print(writer, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                                 "\"normalized\": false, \"special\": %s}",
                                 token->type == DITHER_TOKEN_USER_DEFINED ? "false" : "true");
        first = false;
    }
    dither_json_writer_text(writer, first ? "],\n" : "\n  ],\n");
}

static void write_special(const vocabulary *v, dither_json_writer *writer, uint32_t id)
{
    dither_json_writer_text(writer, "{\"SpecialToken\": {\"id\": ");
    write_token(writer, &v->tokens.token[id]);
    dither_json_writer_text(writer, ", \"type_id\": 0}}");
}

static void write_sequence(const vocabulary *v, dither_json_writer *writer, const char *name)
{
    if (v->add_bos) {
        write_special(v, writer, v->bos);
        dither_json_writer_text(writer, ", ");
    }
    dither_json_writer_print(writer, "{\"Sequence\": {\"id\": \"%s\", \"type_id\": 0}}", name);
    if (v->add_eos) {
        dither_json_writer_text(writer, ", ");
        write_special(v, writer, v->eos);
    }
}

/* What stands around every text. */
static void write_around(const vocabulary *v, dither_json_writer *writer)
{
    if (!v->add_bos && !v->add_eos) {
        dither_json_writer_text(writer, "  \"post_processor\": null,\n");
        return;
    }
    dither_json_writer_text(writer, "  \"post_processor\": {\n    \"type\": \"TemplateProcessing\",\n"
                            "    \"single\": [");
    write_sequence(v, writer, "A");
    dither_json_writer_text(writer, "],\n    \"pair\": [");
    write_sequence(v, writer, "A");
    dither_json_writer_text(writer, ", ");
    write_sequence(v, writer, "B");
    dither_json_writer_text(writer, "],\n    \"special_tokens\": {");
    const uint32_t ids[2] = {v->add_bos ? v->bos : v->eos, v->eos};
    for (size_t i = 0; i < (v->add_bos && v->add_eos && v->bos != v->eos ? 2u : 1u); i++) {
        dither_json_writer_text(writer, i > 0 ? ", " : "");
        write_token(writer, &v->tokens.token[ids[i]]);
        dither_json_writer_text(writer, ": {\"id\": ");
        write_token(writer, &v->tokens.token[ids[i]]);
        dither_json_writer_print(writer, ", \"ids\": [%u], \"tokens\": [", (unsigned)ids[i]);
        write_token(writer, &v->tokens.token[ids[i]]);
        dither_json_writer_text(writer, "]}");
    }
    dither_json_writer_text(writer, "}\n  },\n");
}

/* Spaces become a character that pieces have in their place, and one is put in front, as SentencePiece does. */
static void write_piece_steps(const vocabulary *v, dither_json_writer *writer)
{
    static const char replace[] = "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"▁\"}";
    if (v->add_space)
        dither_json_writer_print(writer, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": "
                                 "\"Prepend\", \"prepend\": \"▁\"}, %s]},\n", replace);
    else
        dither_json_writer_print(writer, "  \"normalizer\": %s,\n", replace);
    dither_json_writer_text(writer, "  \"pre_tokenizer\": null,\n");
    write_around(v, writer);
    dither_json_writer_print(writer, "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", "
                             "\"pattern\": {\"String\": \"▁\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, "
                             "{\"type\": \"Fuse\"}%s]},\n",
                             v->add_space ? ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}"
                                          : "");
}

static void write_byte_steps(const vocabulary *v, dither_json_writer *writer)
{
    dither_json_writer_print(writer, "  \"normalizer\": %s,\n  \"pre_tokenizer\": ",
                             dither_vocabulary_split_composes(v->split) ? "{\"type\": \"NFC\"}" : "null");
    dither_vocabulary_split_write(v->split, writer);
    dither_json_writer_text(writer, ",\n");
    write_around(v, writer);
    dither_json_writer_text(writer, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                            "\"trim_offsets\": true, \"use_regex\": true},\n");
}

static void write_model(const vocabulary *v, dither_json_writer *writer)
{
    dither_json_writer_text(writer, "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    if (v->pieces && v->unk != NONE)
        write_token(writer, &v->tokens.token[v->unk]);
    else
        dither_json_writer_text(writer, "null");
    dither_json_writer_print(writer, ",\n    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n"
                             "    \"fuse_unk\": %s, \"byte_fallback\": %s, \"ignore_merges\": %s,\n    \"vocab\": {",
                             v->pieces ? "true" : "false", v->pieces ? "true" : "false",
                             !v->pieces && dither_vocabulary_split_ignores_merges(v->split) ? "true" : "false");
    bool first = true;
    for (size_t id = 0; id < v->tail; id++) {
        if (v->tokens.token[id].text == NULL)
            continue;
        dither_json_writer_text(writer, first ? "\n      " : ",\n      ");
        write_token(writer, &v->tokens.token[id]);
        dither_json_writer_print(writer, ": %zu", id);
        first = false;
    }
    dither_json_writer_text(writer, "\n    },\n    \"merges\": [");
}

/* "left right", the space not in front. */
static dither_status write_merges(const vocabulary *v, dither_json_writer *writer, dither_error *error)
{
    dither_gguf_array merges;
    dither_status status =
        dither_gguf_array_of(v->file, "tokenizer.ggml.merges", DITHER_GGUF_STRING, &merges, NULL, error);
    if (status != DITHER_OK)
        return status;
    const unsigned char *cursor = merges.at;
    const char *text;
    size_t length, number = 0;
    for (; dither_gguf_next_string(&merges, &cursor, &text, &length); number++) {
        const char *space = length > 1 ? memchr(text + 1, ' ', length - 1) : NULL;
        size_t left = space != NULL ? (size_t)(space - text) : 0;
        char joined[1024];
        uint32_t id;
        bool good = space != NULL && length - 1 <= sizeof joined;
        if (good) {
            memcpy(joined, text, left);
            memcpy(joined + left, space + 1, length - left - 1);
            good = dither_tokens_find(&v->tokens, text, left, &id) &&
                   dither_tokens_find(&v->tokens, space + 1, length - left - 1, &id) &&
                   dither_tokens_find(&v->tokens, joined, length - 1, &id);
        }
        if (!good)
            return dither_fail(error, DITHER_E_FORMAT, v->path, "merge %zu is not of two tokens into a third", number);
        dither_json_writer_text(writer, number > 0 ? ",\n      " : "\n      ");
        dither_json_writer_string(writer, text, length);
    }
    dither_json_writer_text(writer, number > 0 ? "\n    ]" : "]");
    return DITHER_OK;
}

static dither_status write_tokenizer(const vocabulary *v, dither_json_writer *writer, dither_error *error)
{
    dither_json_writer_text(writer, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    write_added(v, writer);
    if (v->pieces)
        write_piece_steps(v, writer);
    else
        write_byte_steps(v, writer);
    write_model(v, writer);
    dither_status status = v->pieces ? dither_pieces_write_merges(&v->tokens, writer, v->path, error)
                                     : write_merges(v, writer, error);
    dither_json_writer_text(writer, "\n  }\n}\n");
    return status;
}

/* ---- the other two ------------------------------------------------------------------------------------------ */

static void write_mark(const vocabulary *v, dither_json_writer *writer, const char *key, uint32_t id)
{
    if (id == NONE)
        return;
    dither_json_writer_print(writer, "  \"%s\": ", key);
    write_token(writer, &v->tokens.token[id]);
    dither_json_writer_text(writer, ",\n");
}

static void write_tokenizer_config(const vocabulary *v, size_t ctx, dither_json_writer *writer)
{
    dither_json_writer_text(writer, "{\n");
    write_mark(v, writer, "bos_token", v->bos);
    write_mark(v, writer, "eos_token", v->eos);
    write_mark(v, writer, "unk_token", v->unk);
    write_mark(v, writer, "pad_token", v->pad);
    if (v->chat_template != NULL) {
        dither_json_writer_text(writer, "  \"chat_template\": ");
        dither_json_writer_string(writer, v->chat_template, strlen(v->chat_template));
        dither_json_writer_text(writer, ",\n");
    }
    dither_json_writer_print(writer, "  \"add_bos_token\": %s,\n  \"add_eos_token\": %s,\n",
                             v->add_bos ? "true" : "false", v->add_eos ? "true" : "false");
    dither_json_writer_print(writer, "  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": %zu,\n"
                             "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n", ctx);
}

static void write_generation_config(const vocabulary *v, dither_json_writer *writer)
{
    const char *comma = "";
    dither_json_writer_text(writer, "{");
    if (v->bos != NONE) {
        dither_json_writer_print(writer, "\n  \"bos_token_id\": %u", (unsigned)v->bos);
        comma = ",";
    }
    if (v->eos != NONE && v->eot != NONE && v->eot != v->eos)
        dither_json_writer_print(writer, "%s\n  \"eos_token_id\": [%u, %u]", comma, (unsigned)v->eos, (unsigned)v->eot);
    else if (v->eos != NONE)
        dither_json_writer_print(writer, "%s\n  \"eos_token_id\": %u", comma, (unsigned)v->eos);
    if (v->eos != NONE)
        comma = ",";
    if (v->pad != NONE)
        dither_json_writer_print(writer, "%s\n  \"pad_token_id\": %u", comma, (unsigned)v->pad);
    dither_json_writer_text(writer, "\n}\n");
}

/* Files after the first are only tried where all before are there. */
static dither_status write_files(const vocabulary *v, size_t ctx, const char *folder, dither_error *error)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "generation_config.json"};
    dither_json_writer *writer = malloc(sizeof *writer);
    dither_status status = writer == NULL ? dither_fail(error, DITHER_E_MEMORY, folder, "no memory") : DITHER_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && status == DITHER_OK; i++) {
        char path[PATH_MAX];
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) >= sizeof path)
            status = dither_fail(error, DITHER_E_IO, folder, "the path is too long");
        else
            status = dither_json_writer_open(writer, path, error);
        if (status != DITHER_OK)
            break;
        if (i == 0)
            status = write_tokenizer(v, writer, error);
        else if (i == 1)
            write_tokenizer_config(v, ctx, writer);
        else
            write_generation_config(v, writer);
        if (status == DITHER_OK)
            status = dither_json_writer_commit(writer);
        else
            dither_json_writer_abandon(writer);
    }
    free(writer);
    return status;
}

dither_status dither_vocabulary_from_gguf(const dither_gguf *file, size_t ctx, const char *folder, dither_error *error)
{
    vocabulary v = {.file = file, .path = dither_gguf_path(file), .bos = NONE, .eos = NONE, .eot = NONE, .unk = NONE,
                    .pad = NONE};
    dither_status status = read_vocabulary(&v, error);
    if (status == DITHER_OK)
        status = write_files(&v, ctx, folder, error);
    dither_tokens_close(&v.tokens);
    free(v.chat_template);
    return status;
}
