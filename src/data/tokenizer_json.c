#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "data/tokenizer_parts.h"
#include "data/tokenizer_steps.h"

enum { ID_LIMIT = 1 << 28 };

/* Where reading is, and what has been read. */
typedef struct reading {
    dither_tokenizer *tokenizer;
    const cJSON *root, *model, *vocab;
    const char *path;
    dither_tokenizer_steps steps;
    dither_error *error;
    char *bytes;                  /* room for the bytes of the longest token */
    dither_added_tokens *literal; /* all added tokens, as they are spelled */
} reading;

static dither_status fail(const reading *r, const char *what, const char *text)
{
    return dither_fail(r->error, DITHER_E_FORMAT, r->path, "%s \"%.80s\"", what,
                       dither_json_printable(text) ? text : "(unprintable)");
}

/* ---- the model's settings ------------------------------------------------------------------------------------ */

/* A text that must be absent, null or empty, since it would change ids. */
static dither_status must_be_empty(const reading *r, const char *key)
{
    const char *text = "";
    bool found;
    const dither_status status = dither_json_text(r->model, key, &text, &found, r->path, r->error);
    if (status == DITHER_OK && *text != '\0')
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "a model with \"%s\" is not known to this version", key);
    return status;
}

static dither_status read_settings(reading *r)
{
    dither_bpe *bpe = &r->tokenizer->encoding.bpe;
    const char *type = "BPE";
    double dropout = 0;
    bool found;
    dither_status status = dither_json_text(r->model, "type", &type, &found, r->path, r->error);
    if (status == DITHER_OK && strcmp(type, "BPE") != 0)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "a tokenizer of the kind \"%.40s\" is not known to this version; it knows BPE",
                           dither_json_printable(type) ? type : "(unprintable)");
    if (status == DITHER_OK)
        status = dither_json_f64(r->model, "dropout", &dropout, &found, r->path, r->error);
    if (status == DITHER_OK && dropout != 0)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "a model with \"dropout\" is not known to this version");
    if (status == DITHER_OK)
        status = must_be_empty(r, "continuing_subword_prefix");
    if (status == DITHER_OK)
        status = must_be_empty(r, "end_of_word_suffix");
    if (status == DITHER_OK)
        status = dither_json_bool(r->model, "fuse_unk", &bpe->fuse_unknown, &found, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_bool(r->model, "byte_fallback", &bpe->byte_fallback, &found, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_bool(r->model, "ignore_merges", &bpe->whole_pieces, &found, r->path, r->error);
    bpe->byte_level = r->steps.byte_level;
    return status;
}

/* ---- tokens -------------------------------------------------------------------------------------------------- */

static dither_status read_id(const reading *r, const cJSON *item, const char *token, uint32_t *id)
{
    const double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (value < 0 || value >= ID_LIMIT || value != floor(value))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "the id of \"%.60s\" must be an integer below %d",
                           dither_json_printable(token) ? token : "(unprintable)", ID_LIMIT);
    *id = (uint32_t)value;
    return DITHER_OK;
}

/* The largest id decides how much memory tokens take: it may not be made up. */
static dither_status measure(reading *r, size_t *bound)
{
    const cJSON *added = cJSON_GetObjectItemCaseSensitive(r->root, "added_tokens");
    size_t count = 0, longest = 0;
    *bound = 0;
    for (const cJSON *item = r->vocab->child; item != NULL; item = item->next, count++) {
        uint32_t id = 0;
        const dither_status status = read_id(r, item, item->string, &id);
        if (status != DITHER_OK)
            return status;
        *bound = id >= *bound ? id + 1 : *bound;
        longest = strlen(item->string) > longest ? strlen(item->string) : longest;
    }
    for (const cJSON *item = cJSON_IsArray(added) ? added->child : NULL; item != NULL; item = item->next, count++) {
        uint32_t id = 0;
        const dither_status status =
            read_id(r, cJSON_GetObjectItemCaseSensitive(item, "id"), "an added token", &id);
        if (status != DITHER_OK)
            return status;
        *bound = id >= *bound ? id + 1 : *bound;
    }
    if (count == 0 || *bound > 2 * count + 4096)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "%zu tokens with ids up to %zu: too few", count, *bound);
    r->bytes = malloc(longest + 1);
    return r->bytes != NULL ? DITHER_OK : dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for its tokens");
}

/* The byte that <0x00> to <0xFF> stands for; -1: another token. */
static int byte_of(const char *token)
{
    char digits[3] = "", *end;
    if (strlen(token) != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>' ||
        strspn(token + 3, "0123456789ABCDEF") != 2)
        return -1;
    memcpy(digits, token + 3, 2);
    return (int)strtol(digits, &end, 16);
}

/* What a token of SentencePiece stands for: spaces for the character that stands for them. */
static size_t shown(const char *token, char *bytes)
{
    size_t length = 0;
    while (*token != '\0') {
        const bool space = strncmp(token, "\xe2\x96\x81", 3) == 0;
        bytes[length++] = space ? ' ' : *token;
        token += space ? 3 : 1;
    }
    return length;
}

/* What the vocabulary's token stands for, into r->bytes where it is not the text itself. */
static const char *decoded(const reading *r, const char *text, size_t *length, int byte)
{
    if (r->steps.byte_level) {
        const size_t bytes = dither_byte_text_decode(text, *length, r->bytes);
        *length = bytes != SIZE_MAX ? bytes : *length;
        return bytes != SIZE_MAX ? r->bytes : text;
    }
    if (byte < 0 && !r->steps.spaces)
        return text;
    r->bytes[0] = (char)(unsigned char)byte;
    *length = byte >= 0 ? 1 : shown(text, r->bytes);
    return r->bytes;
}

/* The token as merges know it: its bytes, or its text. */
static dither_status read_model_token(reading *r, const char *text, uint32_t id, int byte)
{
    dither_bpe *bpe = &r->tokenizer->encoding.bpe;
    size_t length = strlen(text);
    if (bpe->byte_level) {
        length = dither_byte_text_decode(text, length, r->bytes);
        if (length == SIZE_MAX)
            return DITHER_OK; /* no piece is ever spelled so */
        text = r->bytes;
        if (length == 1)
            bpe->bytes[(unsigned char)*text] = id;
    } else if (byte >= 0) {
        bpe->bytes[byte] = id;
    }
    return dither_vocabulary_set(&bpe->vocabulary, id, text, length, DITHER_TOKEN_MODEL, r->error);
}

static dither_status read_token(reading *r, const cJSON *item)
{
    dither_vocabulary *texts = &r->tokenizer->texts;
    const uint32_t id = (uint32_t)item->valuedouble;
    const int byte = r->steps.byte_tokens || r->tokenizer->encoding.bpe.byte_fallback ? byte_of(item->string) : -1;
    size_t length = strlen(item->string);
    const dither_added_token *added = dither_added_tokens_exact(r->literal, item->string, length);
    if (added != NULL ? added->id != id : (texts->flags[id] & DITHER_TOKEN_THERE) != 0)
        return fail(r, "two ids for one token, or one id for two, at", item->string);
    const dither_status status = read_model_token(r, item->string, id, byte);
    if (status != DITHER_OK || added != NULL) /* which has its text already */
        return status;
    const char *text = decoded(r, item->string, &length, byte);
    const uint32_t other = dither_vocabulary_find(texts, text, length);
    const bool hidden = byte >= 0 || (other != DITHER_NO_TOKEN && (texts->flags[other] & DITHER_TOKEN_ADDED) != 0);
    return dither_vocabulary_set(texts, id, text, length,
                                 (byte >= 0 ? DITHER_TOKEN_BYTE : 0) | (hidden ? 0 : DITHER_TOKEN_MODEL), r->error);
}

static dither_status open_tables(reading *r)
{
    dither_tokenizer *t = r->tokenizer;
    size_t bound = 0;
    for (size_t i = 0; i < 256; i++)
        t->encoding.bpe.bytes[i] = DITHER_NO_TOKEN;
    t->encoding.bpe.unknown = DITHER_NO_TOKEN;
    dither_status status = measure(r, &bound);
    if (status == DITHER_OK)
        status = dither_vocabulary_open(&t->encoding.bpe.vocabulary, bound, r->error);
    if (status == DITHER_OK)
        status = dither_vocabulary_open(&t->texts, bound, r->error);
    return status;
}

static dither_status read_vocabulary(reading *r)
{
    dither_tokenizer *t = r->tokenizer;
    dither_status status = DITHER_OK;
    for (const cJSON *item = r->vocab->child; item != NULL && status == DITHER_OK; item = item->next)
        status = read_token(r, item);
    const char *unknown = NULL;
    bool found;
    if (status == DITHER_OK)
        status = dither_json_text(r->model, "unk_token", &unknown, &found, r->path, r->error);
    if (status == DITHER_OK && unknown != NULL) {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->vocab, unknown);
        if (id == NULL)
            return fail(r, "the vocabulary does not have the unk_token", unknown);
        t->encoding.bpe.unknown = (uint32_t)id->valuedouble;
    }
    return status;
}

/* ---- merges -------------------------------------------------------------------------------------------------- */

/* The two halves of a merge: "a b", or ["a", "b"]. */
static bool read_halves(const cJSON *item, const char **left, size_t *left_length, const char **right)
{
    if (cJSON_IsString(item)) {
        const char *space = strchr(item->valuestring, ' ');
        *left = item->valuestring;
        *left_length = space != NULL ? (size_t)(space - *left) : 0;
        *right = space != NULL ? space + 1 : NULL;
        return space != NULL && strchr(*right, ' ') == NULL;
    }
    const cJSON *first = cJSON_IsArray(item) ? item->child : NULL, *second = first != NULL ? first->next : NULL;
    *left = cJSON_GetStringValue(first);
    *right = cJSON_GetStringValue(second);
    *left_length = *left != NULL ? strlen(*left) : 0;
    return *left != NULL && *right != NULL && second->next == NULL;
}

/* A half's bytes as the vocabulary has them, at `bytes`; SIZE_MAX: it has no such token. */
static size_t half_bytes(const reading *r, const char *text, size_t length, char *bytes)
{
    if (r->steps.byte_level)
        return dither_byte_text_decode(text, length, bytes);
    memcpy(bytes, text, length);
    return length;
}

static dither_status read_merge(reading *r, const cJSON *item, uint32_t rank, dither_buffer *both)
{
    dither_vocabulary *v = &r->tokenizer->encoding.bpe.vocabulary;
    const char *left, *right;
    size_t left_length;
    if (!read_halves(item, &left, &left_length, &right))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "merge %u is neither \"a b\" nor [\"a\", \"b\"]", rank);
    both->length = 0;
    if (!dither_buffer_add(both, left, left_length) || !dither_buffer_add(both, right, strlen(right)))
        return dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for merge %u", rank);
    const size_t a = half_bytes(r, left, left_length, both->bytes);
    const size_t b = a != SIZE_MAX ? half_bytes(r, right, strlen(right), both->bytes + a) : SIZE_MAX;
    const uint32_t first = b != SIZE_MAX ? dither_vocabulary_find(v, both->bytes, a) : DITHER_NO_TOKEN;
    const uint32_t second = b != SIZE_MAX ? dither_vocabulary_find(v, both->bytes + a, b) : DITHER_NO_TOKEN;
    const uint32_t merged = b != SIZE_MAX ? dither_vocabulary_find(v, both->bytes, a + b) : DITHER_NO_TOKEN;
    if (first == DITHER_NO_TOKEN || second == DITHER_NO_TOKEN || merged == DITHER_NO_TOKEN)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "merge %u is about a token that the vocabulary does not have", rank);
    dither_vocabulary_merge(v, first, second, (dither_merge){rank, merged});
    return DITHER_OK;
}

static dither_status read_merges(reading *r)
{
    const cJSON *merges = cJSON_GetObjectItemCaseSensitive(r->model, "merges");
    if (!cJSON_IsArray(merges))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"merges\" must be a list");
    uint32_t rank = 0;
    dither_buffer both = {0};
    dither_status status = dither_vocabulary_reserve(&r->tokenizer->encoding.bpe.vocabulary,
                                                     (size_t)cJSON_GetArraySize(merges), r->error);
    for (const cJSON *item = merges->child; item != NULL && status == DITHER_OK; item = item->next)
        if (!cJSON_IsString(item) || strncmp(item->valuestring, "#version", 8) != 0)
            status = read_merge(r, item, rank++, &both);
    dither_buffer_close(&both);
    return status;
}

/* ---- added tokens -------------------------------------------------------------------------------------------- */

static dither_status read_added_token(reading *r, const cJSON *item, dither_added_token *token)
{
    dither_vocabulary *texts = &r->tokenizer->texts;
    const struct {
        const char *key;
        bool *value;
    } flags[] = {
        {"special", &token->special}, {"single_word", &token->single_word}, {"lstrip", &token->lstrip},
        {"rstrip", &token->rstrip},   {"normalized", &token->normalized},
    };
    *token = (dither_added_token){.normalized = true};
    bool found;
    dither_status status = dither_json_text(item, "content", &token->text, NULL, r->path, r->error);
    if (status == DITHER_OK)
        status = read_id(r, cJSON_GetObjectItemCaseSensitive(item, "id"), token->text, &token->id);
    for (size_t i = 0; i < sizeof flags / sizeof *flags && status == DITHER_OK; i++)
        status = dither_json_bool(item, flags[i].key, flags[i].value, &found, r->path, r->error);
    if (status != DITHER_OK)
        return status;
    token->length = strlen(token->text);
    const uint32_t same = dither_vocabulary_find(texts, token->text, token->length);
    const bool there = (texts->flags[token->id] & DITHER_TOKEN_THERE) != 0;
    if (there ? same != token->id : same != DITHER_NO_TOKEN)
        return fail(r, "two ids for one added token, or one id for two, at", token->text);
    return dither_vocabulary_set(texts, token->id, token->text, token->length,
                                 DITHER_TOKEN_MODEL | DITHER_TOKEN_ADDED | (token->special ? DITHER_TOKEN_SPECIAL : 0),
                                 r->error);
}

/* The tokens that are looked for before, or behind, the normalizer; those behind are spelled as it leaves them. */
static dither_status open_added(reading *r, const dither_added_token *tokens, size_t count, bool normalized,
                                dither_added_tokens **made)
{
    dither_added_token *chosen = malloc((count + 1) * sizeof *chosen);
    dither_buffer *pool = calloc(count + 1, sizeof *pool);
    dither_normalizer_scratch scratch = {0};
    dither_status status = DITHER_OK;
    size_t used = 0;
    if (chosen == NULL || pool == NULL)
        status = dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for %zu added tokens", count);
    for (size_t i = 0; i < count && status == DITHER_OK; i++) {
        if (tokens[i].normalized != normalized)
            continue;
        dither_added_token token = tokens[i];
        if (normalized &&
            (!dither_normalizer_apply(r->tokenizer->encoding.normalizer, &scratch, true, &token.text, &token.length) ||
             !dither_buffer_add(&pool[used], token.text, token.length)))
            status = dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for an added token");
        else if (token.length > 0) {
            token.text = normalized ? pool[used].bytes : token.text;
            chosen[used++] = token;
        }
    }
    if (status == DITHER_OK)
        status = dither_added_tokens_open(made, chosen, used, r->error);
    for (size_t i = 0; pool != NULL && i < count; i++)
        dither_buffer_close(&pool[i]);
    dither_normalizer_scratch_close(&scratch);
    free(pool);
    free(chosen);
    return status;
}

static dither_status read_added(reading *r)
{
    dither_encoding *e = &r->tokenizer->encoding;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(r->root, "added_tokens");
    const size_t most = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
    dither_added_token *tokens = calloc(most + 1, sizeof *tokens);
    size_t count = 0;
    if (tokens == NULL)
        return dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for %zu added tokens", most);
    dither_status status = DITHER_OK;
    for (const cJSON *item = most > 0 ? list->child : NULL; item != NULL && status == DITHER_OK; item = item->next) {
        status = read_added_token(r, item, &tokens[count]);
        count += status == DITHER_OK && tokens[count].length > 0;
    }
    if (status == DITHER_OK)
        status = dither_added_tokens_open(&r->literal, tokens, count, r->error);
    if (status == DITHER_OK)
        status = open_added(r, tokens, count, false, &e->added);
    if (status == DITHER_OK)
        status = open_added(r, tokens, count, true, &e->normalized);
    free(tokens);
    return status;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static dither_status open_steps(reading *r)
{
    dither_encoding *e = &r->tokenizer->encoding;
    const dither_tokenizer_steps *s = &r->steps;
    dither_error why = {.status = DITHER_OK};
    dither_status status = dither_normalizer_open(&e->normalizer, s->normal, s->normals, &why);
    if (status == DITHER_OK)
        status = dither_normalizer_open(&e->before, s->before, s->befores, &why);
    if (status == DITHER_OK)
        status = dither_pretokenizer_splits(&e->pretokenizer, s->splits, s->split_count, &why);
    return status == DITHER_OK ? status : dither_fail(r->error, status, r->path, "%s", why.text);
}

/* What stands around every text must be tokens. */
static dither_status check_around(const reading *r)
{
    const dither_vocabulary *texts = &r->tokenizer->texts;
    const struct {
        bool adds;
        uint32_t id;
    } marks[] = {{r->steps.adds_bos, r->steps.bos}, {r->steps.adds_eos, r->steps.eos}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (marks[i].adds && (marks[i].id >= texts->bound || !(texts->flags[marks[i].id] & DITHER_TOKEN_THERE)))
            return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                               "\"post_processor\": \"special_tokens\" has the id %u, which no token of the vocabulary "
                               "has", (unsigned)marks[i].id);
    return DITHER_OK;
}

static dither_status read_all(reading *r)
{
    dither_status status = dither_tokenizer_steps_read(&r->steps, r->root, r->path, r->error);
    if (status == DITHER_OK)
        status = open_steps(r);
    if (status == DITHER_OK)
        status = read_settings(r);
    if (status == DITHER_OK)
        status = open_tables(r);
    if (status == DITHER_OK)
        status = read_added(r);
    if (status == DITHER_OK)
        status = read_vocabulary(r);
    if (status == DITHER_OK)
        status = read_merges(r);
    return status == DITHER_OK ? check_around(r) : status;
}

dither_status dither_tokenizer_from_json(dither_tokenizer *tokenizer, const cJSON *root, const char *path,
                                         dither_error *error)
{
    reading r = {.tokenizer = tokenizer, .root = root, .path = path, .error = error};
    r.model = cJSON_GetObjectItemCaseSensitive(root, "model");
    r.vocab = cJSON_GetObjectItemCaseSensitive(r.model, "vocab");
    if (!cJSON_IsObject(r.vocab))
        return dither_fail(error, DITHER_E_FORMAT, path, "\"model\" must have a \"vocab\" of texts and ids");
    const dither_status status = read_all(&r);
    dither_tokenizer_marks *marks = &tokenizer->marks;
    if (status == DITHER_OK) {
        marks->add_bos = r.steps.adds_bos;
        marks->add_eos = r.steps.adds_eos;
        marks->bos = r.steps.adds_bos ? r.steps.bos : DITHER_NO_TOKEN;
        marks->eos = r.steps.adds_eos ? r.steps.eos : DITHER_NO_TOKEN;
        marks->unk = tokenizer->encoding.bpe.unknown;
        tokenizer->space_prefix = r.steps.space_prefix;
        dither_encoding_find_cut(&tokenizer->encoding);
    }
    dither_added_tokens_close(r.literal);
    free(r.bytes);
    return status;
}
