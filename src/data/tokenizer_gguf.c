/* The tokenizer of a GGUF file: metadata under tokenizer.ggml. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "data/pretokenizer_names.h"
#include "data/tokenizer_parts.h"

static const char space_mark[] = "\xe2\x96\x81"; /* U+2581, SentencePiece's space */

/* tokenizer.ggml.token_type */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5, TYPE_BYTE = 6 };

enum { TOKENS_MAX = 1 << 28 };

typedef struct reading {
    dither_tokenizer *tokenizer;
    const dither_gguf *file;
    const char *path;
    dither_gguf_array tokens, types;      /* types.count 0: all normal */
    const dither_vocabulary_split *split; /* NULL: SentencePiece */
    dither_buffer bytes;                  /* of the token that is being read */
    dither_added_token *added;            /* [tokens.count + 1] */
    size_t added_count;
    dither_error *error;
} reading;

static dither_status fail(const reading *r, const char *what)
{
    return dither_fail(r->error, DITHER_E_FORMAT, r->path, "%s", what);
}

static int32_t type_of(const reading *r, uint64_t id)
{
    int32_t type = TYPE_NORMAL;
    if (id < r->types.count)
        memcpy(&type, r->types.at + id * sizeof type, sizeof type);
    return type;
}

/* ---- tokens -------------------------------------------------------------------------------------------------- */

/* The byte of <0x00> to <0xFF>; -1: none. */
static int byte_of(const char *text, size_t length)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *high = length == 6 && text[3] != '\0' ? strchr(digits, text[3]) : NULL;
    const char *low = length == 6 && text[4] != '\0' ? strchr(digits, text[4]) : NULL;
    if (high == NULL || low == NULL || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    return (int)(high - digits) * 16 + (int)(low - digits);
}

static bool add_shown(dither_buffer *bytes, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        const bool space = length - at >= 3 && memcmp(text + at, space_mark, 3) == 0;
        if (!dither_buffer_add(bytes, space ? " " : text + at, 1))
            return false;
        at += space ? 3 : 1;
    }
    return true;
}

/* Into r->bytes what the token stands for. A byte-level token that spells no bytes stands for its text. */
static bool show(reading *r, const char *text, size_t length, int byte, bool plain)
{
    r->bytes.length = 0;
    if (byte >= 0) {
        const char one = (char)(unsigned char)byte;
        return dither_buffer_add(&r->bytes, &one, 1);
    }
    if (plain)
        return dither_buffer_add(&r->bytes, text, length);
    if (!r->tokenizer->encoding.bpe.byte_level)
        return add_shown(&r->bytes, text, length);
    if (!dither_buffer_add(&r->bytes, text, length))
        return false;
    const size_t decoded = dither_byte_text_decode(text, length, length > 0 ? r->bytes.bytes : NULL);
    if (decoded == SIZE_MAX) { /* written over in part */
        r->bytes.length = 0;
        return dither_buffer_add(&r->bytes, text, length);
    }
    r->bytes.length = decoded;
    return true;
}

static void note_added(reading *r, uint32_t id, const char *text, size_t length, bool special)
{
    if (length > 0)
        r->added[r->added_count++] = (dither_added_token){.text = text, .length = length, .id = id, .special = special};
}

/* What merges make: normal and unused tokens, for which a byte-level vocabulary has bytes. */
static dither_status read_model_token(reading *r, uint32_t id, const char *text, size_t length, int byte)
{
    dither_bpe *bpe = &r->tokenizer->encoding.bpe;
    if (byte >= 0) {
        bpe->bytes[byte] = id;
        return DITHER_OK;
    }
    if (bpe->byte_level) {
        if (!dither_buffer_add(&r->bytes, text, length))
            return dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for its tokens");
        const size_t decoded = dither_byte_text_decode(text, length, r->bytes.bytes);
        if (decoded == SIZE_MAX || decoded == 0)
            return DITHER_OK;
        text = r->bytes.bytes;
        length = decoded;
        if (length == 1)
            bpe->bytes[(unsigned char)*text] = id;
    }
    return dither_vocabulary_set(&bpe->vocabulary, id, text, length, DITHER_TOKEN_MODEL, r->error);
}

static dither_status read_token(reading *r, uint32_t id, const char *text, size_t length)
{
    const int32_t type = type_of(r, id);
    const bool mark = type == TYPE_CONTROL || type == TYPE_UNKNOWN, user = type == TYPE_USER;
    const int byte = type == TYPE_BYTE ? byte_of(text, length) : -1;
    if (type < TYPE_NORMAL || type > TYPE_BYTE || (type == TYPE_BYTE && byte < 0))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "token %u is of type %d and \"%.*s\", which no token is", id, (int)type,
                           length < 40 ? (int)length : 40,
                           dither_text_utf8((const unsigned char *)text, length) == length ? text : "");
    dither_status status = DITHER_OK;
    r->bytes.length = 0;
    if (type == TYPE_UNKNOWN) /* unless the file names another */
        r->tokenizer->marks.unk = id;
    if (!mark && !user)
        status = read_model_token(r, id, text, length, byte);
    else
        note_added(r, id, text, length, mark);
    if (status == DITHER_OK && !show(r, text, length, byte, mark || user))
        status = dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for its tokens");
    const unsigned flags = byte >= 0 ? DITHER_TOKEN_BYTE
                           : mark    ? DITHER_TOKEN_MODEL | DITHER_TOKEN_ADDED | DITHER_TOKEN_SPECIAL
                           : user    ? DITHER_TOKEN_MODEL | DITHER_TOKEN_ADDED
                                     : DITHER_TOKEN_MODEL;
    if (status != DITHER_OK)
        return status;
    return dither_vocabulary_set(&r->tokenizer->texts, id, r->bytes.length > 0 ? r->bytes.bytes : "", r->bytes.length,
                                 flags, r->error);
}

static dither_status open_tables(reading *r)
{
    dither_tokenizer *t = r->tokenizer;
    bool found;
    dither_status status = dither_gguf_array_of(r->file, "tokenizer.ggml.tokens", DITHER_GGUF_STRING, &r->tokens, NULL,
                                                r->error);
    if (status == DITHER_OK)
        status = dither_gguf_array_of(r->file, "tokenizer.ggml.token_type", DITHER_GGUF_I32, &r->types, &found,
                                      r->error);
    if (status != DITHER_OK)
        return status;
    if (r->tokens.count == 0 || r->tokens.count > TOKENS_MAX || (found && r->types.count != r->tokens.count))
        return fail(r, "tokenizer.ggml.tokens must have tokens, and tokenizer.ggml.token_type a type for each");
    if (!found)
        r->types.count = 0;
    r->added = calloc((size_t)r->tokens.count + 1, sizeof *r->added);
    if (r->added == NULL)
        return dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for its tokens");
    for (size_t i = 0; i < 256; i++)
        t->encoding.bpe.bytes[i] = DITHER_NO_TOKEN;
    t->encoding.bpe.unknown = DITHER_NO_TOKEN;
    status = dither_vocabulary_open(&t->encoding.bpe.vocabulary, (size_t)r->tokens.count, r->error);
    if (status == DITHER_OK)
        status = dither_vocabulary_open(&t->texts, (size_t)r->tokens.count, r->error);
    return status;
}

static dither_status read_tokens(reading *r)
{
    const char *text;
    size_t length;
    dither_status status = open_tables(r);
    const unsigned char *cursor = r->tokens.at;
    for (uint32_t id = 0; status == DITHER_OK && dither_gguf_next_string(&r->tokens, &cursor, &text, &length); id++)
        status = read_token(r, id, text, length);
    return status;
}

/* ---- merges and scores --------------------------------------------------------------------------------------- */

static dither_status read_merge(reading *r, const char *text, size_t length, uint32_t rank)
{
    dither_vocabulary *v = &r->tokenizer->encoding.bpe.vocabulary;
    /* a half may be a space in no vocabulary, so the first character never is what separates them */
    const char *space = length > 1 ? memchr(text + 1, ' ', length - 1) : NULL;
    const size_t left = space != NULL ? (size_t)(space - text) : 0;
    r->bytes.length = 0;
    if (space == NULL || !dither_buffer_add(&r->bytes, text, length))
        return dither_fail(r->error, space == NULL ? DITHER_E_FORMAT : DITHER_E_MEMORY, r->path,
                           "tokenizer.ggml.merges: merge %u is not two tokens with a space between them", rank);
    char *bytes = r->bytes.bytes;
    const size_t a = dither_byte_text_decode(text, left, bytes);
    const size_t b = a != SIZE_MAX ? dither_byte_text_decode(space + 1, length - left - 1, bytes + a) : SIZE_MAX;
    const uint32_t first = b != SIZE_MAX ? dither_vocabulary_find(v, bytes, a) : DITHER_NO_TOKEN;
    const uint32_t second = b != SIZE_MAX ? dither_vocabulary_find(v, bytes + a, b) : DITHER_NO_TOKEN;
    const uint32_t both = b != SIZE_MAX ? dither_vocabulary_find(v, bytes, a + b) : DITHER_NO_TOKEN;
    if (first == DITHER_NO_TOKEN || second == DITHER_NO_TOKEN || both == DITHER_NO_TOKEN)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "tokenizer.ggml.merges: merge %u is about a token that tokenizer.ggml.tokens does not have",
                           rank);
    dither_vocabulary_merge(v, first, second, (dither_merge){rank, both});
    return DITHER_OK;
}

static dither_status read_merges(reading *r)
{
    dither_gguf_array merges;
    const char *text;
    size_t length;
    dither_status status = dither_gguf_array_of(r->file, "tokenizer.ggml.merges", DITHER_GGUF_STRING, &merges, NULL,
                                                r->error);
    if (status == DITHER_OK && merges.count > TOKENS_MAX)
        return fail(r, "tokenizer.ggml.merges has more merges than a tokenizer can have");
    if (status == DITHER_OK)
        status = dither_vocabulary_reserve(&r->tokenizer->encoding.bpe.vocabulary, (size_t)merges.count, r->error);
    if (status != DITHER_OK)
        return status;
    const unsigned char *cursor = merges.at;
    for (uint32_t rank = 0; status == DITHER_OK && dither_gguf_next_string(&merges, &cursor, &text, &length); rank++)
        status = read_merge(r, text, length, rank);
    return status;
}

typedef struct scored {
    float score;
    uint32_t id;
} scored;

static int compare_scores(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score ? -1 : 1) : x->id < y->id ? -1 : x->id > y->id;
}

/* Ranks in the order of falling scores; the same rank for the same score. */
static dither_status read_scores(reading *r)
{
    dither_bpe *bpe = &r->tokenizer->encoding.bpe;
    const size_t count = bpe->vocabulary.bound;
    dither_gguf_array scores;
    dither_status status = dither_gguf_array_of(r->file, "tokenizer.ggml.scores", DITHER_GGUF_F32, &scores, NULL,
                                                r->error);
    if (status != DITHER_OK)
        return status;
    if (scores.count != count)
        return fail(r, "tokenizer.ggml.scores must have a score for each token");
    scored *sorted = malloc((count + 1) * sizeof *sorted);
    bpe->score_ranks = malloc((count + 1) * sizeof *bpe->score_ranks);
    if (sorted == NULL || bpe->score_ranks == NULL)
        status = dither_fail(r->error, DITHER_E_MEMORY, r->path, "no memory for its scores");
    for (size_t i = 0; i < count && status == DITHER_OK; i++) {
        sorted[i].id = (uint32_t)i;
        memcpy(&sorted[i].score, scores.at + i * sizeof sorted[i].score, sizeof sorted[i].score);
        if (isnan(sorted[i].score))
            status = fail(r, "tokenizer.ggml.scores has a NaN");
    }
    if (status == DITHER_OK) {
        qsort(sorted, count, sizeof *sorted, compare_scores);
        uint32_t rank = 0;
        for (size_t i = 0; i < count; i++) {
            rank += i > 0 && sorted[i].score != sorted[i - 1].score;
            bpe->score_ranks[sorted[i].id] = rank;
        }
    }
    free(sorted);
    return status;
}

/* ---- kinds --------------------------------------------------------------------------------------------------- */

static dither_status optional_text(const reading *r, const char *key, char **text)
{
    bool found;
    *text = NULL;
    return dither_gguf_text(r->file, key, text, &found, r->error);
}

/* GPT-2's kind: bytes, pieces by the name of a pre-tokenizer, merges. */
static dither_status read_byte_level(reading *r)
{
    dither_encoding *e = &r->tokenizer->encoding;
    char *name;
    dither_status status = optional_text(r, "tokenizer.ggml.pre", &name);
    if (status != DITHER_OK)
        return status;
    if (name == NULL)
        return fail(r, "tokenizer.ggml.pre is missing, so how its tokenizer cuts words is not known; convert the model "
                       "again with a newer program");
    r->split = dither_vocabulary_split_named(name, strlen(name));
    if (r->split == NULL)
        status = dither_fail(r->error, DITHER_E_FORMAT, r->path,
                             "the pre-tokenizer \"%.40s\" (tokenizer.ggml.pre) is not known to this version",
                             dither_json_printable(name) ? name : "(unprintable)");
    if (status == DITHER_OK) {
        e->bpe.whole_pieces = dither_vocabulary_split_ignores_merges(r->split);
        status = dither_pretokenizer_split(&e->pretokenizer, r->split, r->error);
    }
    free(name);
    e->bpe.byte_level = true;
    if (status == DITHER_OK)
        status = read_tokens(r);
    if (status == DITHER_OK)
        status = read_merges(r);
    return status;
}

/* SentencePiece's kind: spaces become a character, scores say what merges. */
static dither_status read_sentence_pieces(reading *r)
{
    dither_encoding *e = &r->tokenizer->encoding;
    r->tokenizer->space_prefix = true;
    bool found;
    dither_status status = dither_gguf_bool(r->file, "tokenizer.ggml.add_space_prefix", &r->tokenizer->space_prefix,
                                            &found, r->error);
    if (status == DITHER_OK)
        status = dither_pretokenizer_splits(&e->pretokenizer, NULL, 0, r->error);
    e->bpe.byte_fallback = true;
    if (status == DITHER_OK)
        status = read_tokens(r);
    if (status == DITHER_OK)
        status = read_scores(r);
    return status;
}

static dither_status open_normalizers(reading *r)
{
    dither_encoding *e = &r->tokenizer->encoding;
    const dither_normal_step steps[] = {
        {.kind = DITHER_NORMAL_REPLACE, .content = space_mark, .pattern = " ", .literal = true},
        {.kind = DITHER_NORMAL_PREPEND, .content = space_mark},
    };
    /* As the models' own tokenizers have it, and the folder that is made of the file. llama.cpp does not compose. */
    const dither_normal_step compose = {.kind = DITHER_NORMAL_NFC};
    const bool composes = r->split != NULL && dither_vocabulary_split_composes(r->split);
    const size_t count = composes ? 1 : r->split != NULL ? 0 : r->tokenizer->space_prefix ? 2 : 1;
    dither_status status = dither_normalizer_open(&e->normalizer, composes ? &compose : steps, count, r->error);
    if (status == DITHER_OK)
        status = dither_normalizer_open(&e->before, NULL, 0, r->error);
    return status;
}

/* Phi-3's marks take the white space behind them; the file does not say so. */
static dither_status strip_behind_marks(reading *r)
{
    static const char *const others[] = {"<unk>", "<s>", "<|endoftext|>"};
    char *architecture;
    const dither_status status = optional_text(r, "general.architecture", &architecture);
    const bool phi = architecture != NULL && strcmp(architecture, "phi3") == 0 &&
                     !r->tokenizer->encoding.bpe.byte_level;
    free(architecture);
    for (size_t i = 0; phi && i < r->added_count; i++) {
        dither_added_token *t = &r->added[i];
        t->rstrip = true;
        for (size_t k = 0; k < sizeof others / sizeof *others; k++)
            if (strlen(others[k]) == t->length && memcmp(others[k], t->text, t->length) == 0)
                t->rstrip = false;
    }
    return status;
}

static dither_status open_added(reading *r)
{
    dither_encoding *e = &r->tokenizer->encoding;
    dither_status status = strip_behind_marks(r);
    if (status == DITHER_OK)
        status = dither_added_tokens_open(&e->added, r->added, r->added_count, r->error);
    if (status == DITHER_OK)
        status = dither_added_tokens_open(&e->normalized, NULL, 0, r->error);
    return status;
}

static dither_status read_mark(const reading *r, const char *key, uint32_t *mark)
{
    uint64_t id = 0;
    bool found = false;
    const dither_status status = dither_gguf_u64(r->file, key, 0, UINT32_MAX, &id, &found, r->error);
    if (found)
        *mark = id < r->tokens.count ? (uint32_t)id : DITHER_NO_TOKEN; /* some files have -1 for none */
    return status;
}

static dither_status read_marks(reading *r)
{
    dither_tokenizer *t = r->tokenizer;
    dither_tokenizer_marks *marks = &t->marks;
    const struct {
        const char *key;
        uint32_t *mark;
    } keys[] = {
        {"tokenizer.ggml.bos_token_id", &marks->bos},     {"tokenizer.ggml.eos_token_id", &marks->eos},
        {"tokenizer.ggml.eot_token_id", &marks->eot},     {"tokenizer.ggml.unknown_token_id", &marks->unk},
        {"tokenizer.ggml.padding_token_id", &marks->pad},
    };
    bool found;
    dither_status status = DITHER_OK;
    if (r->split == NULL) { /* what llama.cpp takes of SentencePiece where a file does not say */
        marks->bos = r->tokens.count > 1 ? 1 : DITHER_NO_TOKEN;
        marks->eos = r->tokens.count > 2 ? 2 : DITHER_NO_TOKEN;
        marks->unk = marks->unk != DITHER_NO_TOKEN ? marks->unk : 0;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == DITHER_OK; i++)
        status = read_mark(r, keys[i].key, keys[i].mark);
    marks->add_bos = !t->encoding.bpe.byte_level || t->encoding.bpe.whole_pieces; /* as llama.cpp has it */
    if (status == DITHER_OK)
        status = dither_gguf_bool(r->file, "tokenizer.ggml.add_bos_token", &marks->add_bos, &found, r->error);
    if (status == DITHER_OK)
        status = dither_gguf_bool(r->file, "tokenizer.ggml.add_eos_token", &marks->add_eos, &found, r->error);
    marks->add_bos = marks->add_bos && marks->bos != DITHER_NO_TOKEN;
    marks->add_eos = marks->add_eos && marks->eos != DITHER_NO_TOKEN;
    if (!t->encoding.bpe.byte_level)
        t->encoding.bpe.unknown = marks->unk;
    if (status == DITHER_OK)
        status = optional_text(r, "tokenizer.chat_template", &t->chat_template);
    return status;
}

static dither_status read_kind(reading *r)
{
    char *model = NULL;
    bool found;
    dither_status status = dither_gguf_text(r->file, "tokenizer.ggml.model", &model, &found, r->error);
    if (status != DITHER_OK)
        return status;
    if (model == NULL)
        status = fail(r, "the file has no tokenizer (tokenizer.ggml.model)");
    else if (strcmp(model, "gpt2") == 0)
        status = read_byte_level(r);
    else if (strcmp(model, "llama") == 0)
        status = read_sentence_pieces(r);
    else
        status = dither_fail(r->error, DITHER_E_FORMAT, r->path,
                             "a tokenizer of the kind \"%.40s\" (tokenizer.ggml.model) is not known to this version; "
                             "it knows gpt2 and llama", dither_json_printable(model) ? model : "(unprintable)");
    free(model);
    return status;
}

dither_status dither_tokenizer_from_gguf(dither_tokenizer *tokenizer, const dither_gguf *file, dither_error *error)
{
    reading r = {.tokenizer = tokenizer, .file = file, .path = dither_gguf_path(file), .error = error};
    dither_status status = read_kind(&r);
    if (status == DITHER_OK)
        status = open_normalizers(&r);
    if (status == DITHER_OK)
        status = open_added(&r);
    if (status == DITHER_OK)
        status = read_marks(&r);
    if (status == DITHER_OK)
        dither_encoding_find_cut(&tokenizer->encoding);
    dither_buffer_close(&r.bytes);
    free(r.added);
    return status;
}
