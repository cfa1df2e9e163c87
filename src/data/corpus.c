#include "dither/data.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/text.h"
#include "data/files.h"
#include "data/tokenizer_parts.h"
#include "file/kind.h"
#include "file/mapping.h"

/* One file's text in the stream; never empty. */
typedef struct part {
    dither_mapping mapping;
    const unsigned char *text; /* behind the byte-order mark */
    uint64_t size, start;      /* start: of its first byte in the stream */
    uint64_t first_token;
    bool space_added;          /* its first token begins with a space that the text does not have */
} part;

/*
 * Bytes that are the tokens are read where they are mapped. Other tokens are kept, in two bytes each where the
 * vocabulary allows.
 */
struct dither_corpus {
    const dither_tokenizer *tokenizer;
    part *parts; /* [count], by start and by first_token */
    size_t count;
    uint64_t bytes, tokens;
    uint16_t *narrow; /* [tokens], or */
    uint32_t *wide;   /* [tokens]; both NULL: the bytes are the tokens */
    size_t capacity;  /* of either */
};

/*
 * Whether bytes are no text in any encoding of one byte a character: a NUL, or more than one in sixteen a control
 * character that no text has, near the place where UTF-8 ends.
 */
static bool is_binary(const unsigned char *text, size_t size, size_t valid)
{
    enum { NEAR = 512 };
    const size_t first = valid > NEAR ? valid - NEAR : 0, end = size - valid > NEAR ? valid + NEAR : size;
    size_t controls = 0;
    for (size_t i = first; i < end; i++) {
        if (text[i] == 0)
            return true;
        controls += text[i] < 0x20 && memchr("\a\b\t\n\v\f\r\033", text[i], 8) == NULL;
    }
    return controls * 16 > end - first;
}

static dither_status fail_utf8(const char *path, const unsigned char *text, size_t size, size_t valid,
                               dither_error *error)
{
    size_t line = 1;
    for (size_t i = 0; i < valid; i++)
        line += text[i] == '\n';
    char where[sizeof error->where];
    snprintf(where, sizeof where, "%.220s:%zu", path, line);
    bool utf16 = size >= 2 && ((text[0] == 0xff && text[1] == 0xfe) || (text[0] == 0xfe && text[1] == 0xff));
    const char *const kind = dither_file_known_kind(path);
    if (!utf16 && kind != NULL)
        return dither_fail(error, DITHER_E_FORMAT, path,
                           "not a text; it seems to be %s; name UTF-8 texts, or folders of nothing else", kind);
    if (!utf16 && is_binary(text, size, valid))
        return dither_fail(error, DITHER_E_FORMAT, path,
                           "not a text; move it out of the folder, or name the texts one by one");
    return dither_fail(error, DITHER_E_FORMAT, where,
                       "not UTF-8 at byte %zu (0x%02x); if it is text in another encoding, convert it: iconv -f %s -t "
                       "UTF-8", valid, text[valid], utf16 ? "UTF-16" : "LATIN1");
}

/* Opens one file as the next part; an empty one is left out. */
static dither_status add_part(dither_corpus *corpus, const char *path, dither_error *error)
{
    part *next = &corpus->parts[corpus->count];
    dither_status status = dither_mapping_open(&next->mapping, path, error);
    if (status != DITHER_OK)
        return status;
    const unsigned char *text = next->mapping.bytes;
    size_t size = next->mapping.size, valid = size > 0 ? dither_text_utf8(text, size) : 0;
    size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (valid < size)
        status = fail_utf8(path, text, size, valid, error);
    if (status != DITHER_OK || size == mark) {
        dither_mapping_close(&next->mapping);
        return status;
    }
    next->text = text + mark;
    next->size = size - mark;
    next->start = corpus->bytes;
    corpus->bytes += next->size;
    corpus->count++;
    return DITHER_OK;
}

static dither_status add_parts(dither_corpus *corpus, const dither_files *files, dither_error *error)
{
    corpus->parts = calloc(files->count + 1, sizeof *corpus->parts);
    if (corpus->parts == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "data", "no memory for %zu files", files->count);
    for (size_t i = 0; i < files->count; i++) {
        dither_status status = add_part(corpus, files->paths[i], error);
        if (status != DITHER_OK)
            return status;
    }
    if (corpus->bytes > 0)
        return DITHER_OK;
    return dither_fail(error, DITHER_E_FORMAT, files->count > 0 ? files->paths[0] : "data",
                       files->count > 1 ? "this file and all others are empty; text is needed"
                                        : "the file is empty; text is needed");
}

/* ---- encoding ------------------------------------------------------------------------------------------------ */

static bool reserve(dither_corpus *corpus, size_t more, bool wide)
{
    const size_t tokens = (size_t)corpus->tokens;
    if (more <= corpus->capacity - tokens)
        return true;
    const size_t capacity = tokens + tokens / 4 + more;
    const size_t bytes = dither_multiply(capacity, wide ? sizeof *corpus->wide : sizeof *corpus->narrow);
    void *grown = bytes < SIZE_MAX ? realloc(wide ? (void *)corpus->wide : (void *)corpus->narrow, bytes) : NULL;
    if (grown == NULL)
        return false;
    if (wide)
        corpus->wide = grown;
    else
        corpus->narrow = grown;
    corpus->capacity = capacity;
    return true;
}

/* Appends what the encoder has made. */
static bool take(dither_id_sink *sink)
{
    dither_corpus *corpus = sink->context;
    const bool wide = dither_tokenizer_id_bound(corpus->tokenizer) > (size_t)UINT16_MAX + 1;
    if (!reserve(corpus, sink->count, wide))
        return false;
    for (size_t i = 0; i < sink->count && wide; i++)
        corpus->wide[corpus->tokens + i] = sink->ids[i];
    for (size_t i = 0; i < sink->count && !wide; i++)
        corpus->narrow[corpus->tokens + i] = (uint16_t)sink->ids[i];
    corpus->tokens += sink->count;
    sink->count = 0;
    return true;
}

static uint64_t decoded_bytes(const dither_corpus *corpus, uint64_t first, uint64_t end)
{
    uint64_t bytes = 0;
    const char *text;
    for (uint64_t i = first; i < end; i++)
        bytes += dither_tokenizer_decode(corpus->tokenizer,
                                         corpus->wide != NULL ? corpus->wide[i] : corpus->narrow[i], &text);
    return bytes;
}

/* The ids of all files, one after another; what is in flight is one buffer of them. */
static dither_status encode_parts(dither_corpus *corpus, dither_error *error)
{
    enum { BUFFER = 1 << 16 };
    dither_encoder *encoder = dither_encoder_open(&corpus->tokenizer->encoding, (size_t)corpus->bytes);
    uint32_t *ids = malloc(BUFFER * sizeof *ids);
    bool fits = encoder != NULL && ids != NULL;
    for (size_t i = 0; i < corpus->count && fits; i++) {
        part *p = &corpus->parts[i];
        dither_id_sink sink = {.ids = ids, .capacity = BUFFER, .drain = take, .context = corpus};
        p->first_token = corpus->tokens;
        fits = dither_encoder_run(encoder, (const char *)p->text, p->size, false, &sink) && take(&sink);
        p->space_added = fits && dither_tokenizer_space_prefix(corpus->tokenizer) &&
                         decoded_bytes(corpus, p->first_token, corpus->tokens) == p->size + 1;
    }
    dither_encoder_close(encoder);
    free(ids);
    if (!fits)
        return dither_fail(error, DITHER_E_MEMORY, "data", "no memory for the ids of its tokens");
    if (corpus->tokens == 0)
        return dither_fail(error, DITHER_E_FORMAT, "data", "the tokenizer knows none of its characters");
    return DITHER_OK;
}

dither_status dither_corpus_open(dither_corpus **corpus, const char *const *paths, size_t count,
                                 const dither_tokenizer *tokenizer, dither_error *error)
{
    *corpus = NULL;
    dither_files files = {0};
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < count && status == DITHER_OK; i++)
        status = dither_files_add(&files, paths[i], error);
    dither_corpus *opened = status == DITHER_OK ? calloc(1, sizeof *opened) : NULL;
    if (status == DITHER_OK)
        status = opened != NULL ? add_parts(opened, &files, error)
                                : dither_fail(error, DITHER_E_MEMORY, "data", "no memory to open it");
    dither_files_close(&files);
    if (status == DITHER_OK) {
        opened->tokenizer = tokenizer;
        opened->tokens = tokenizer->is_bytes ? opened->bytes : 0;
        if (!tokenizer->is_bytes)
            status = encode_parts(opened, error);
    }
    if (status == DITHER_OK) {
        *corpus = opened;
    } else {
        dither_corpus_close(opened);
    }
    return status;
}

void dither_corpus_close(dither_corpus *corpus)
{
    if (corpus == NULL)
        return;
    for (size_t i = 0; i < corpus->count; i++)
        dither_mapping_close(&corpus->parts[i].mapping);
    free(corpus->parts);
    free(corpus->narrow);
    free(corpus->wide);
    free(corpus);
}

size_t dither_corpus_vocab(const dither_corpus *corpus)
{
    return dither_tokenizer_id_bound(corpus->tokenizer);
}

uint64_t dither_corpus_tokens(const dither_corpus *corpus)
{
    return corpus->tokens;
}

uint64_t dither_corpus_bytes(const dither_corpus *corpus)
{
    return corpus->bytes;
}

uint64_t dither_corpus_text_bytes(const dither_corpus *corpus, uint64_t first, uint64_t count)
{
    assert(first <= corpus->tokens && count <= corpus->tokens - first);
    if (corpus->tokenizer->is_bytes)
        return count;
    uint64_t bytes = decoded_bytes(corpus, first, first + count);
    for (size_t i = 0; i < corpus->count; i++)
        bytes -= corpus->parts[i].space_added && corpus->parts[i].first_token >= first &&
                 corpus->parts[i].first_token - first < count;
    return bytes;
}

/* The part that holds byte `at` of the stream. */
static const part *part_of(const dither_corpus *corpus, uint64_t at)
{
    size_t low = 0, high = corpus->count; /* parts[low].start <= at < parts[high].start */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (corpus->parts[middle].start <= at)
            low = middle;
        else
            high = middle;
    }
    return &corpus->parts[low];
}

static void read_bytes(const dither_corpus *corpus, uint64_t first, size_t count, uint32_t *ids)
{
    size_t done = 0;
    if (count == 0)
        return;
    for (const part *from = part_of(corpus, first); done < count; from++) {
        uint64_t offset = first + done - from->start;
        size_t size = from->size - offset < count - done ? (size_t)(from->size - offset) : count - done;
        for (size_t i = 0; i < size; i++)
            ids[done + i] = from->text[offset + i];
        done += size;
    }
}

void dither_corpus_read(const dither_corpus *corpus, uint64_t first, size_t count, uint32_t *ids)
{
    assert(first <= corpus->tokens && count <= corpus->tokens - first);
    if (corpus->tokenizer->is_bytes)
        read_bytes(corpus, first, count, ids);
    for (size_t i = 0; i < count && corpus->wide != NULL; i++)
        ids[i] = corpus->wide[first + i];
    for (size_t i = 0; i < count && corpus->narrow != NULL; i++)
        ids[i] = corpus->narrow[first + i];
}

/* ---- hash ---------------------------------------------------------------------------------------------------- */

/*
 * The stream in words of eight bytes, little-endian. One step is a bijection of the word for a fixed state and of the
 * state for a fixed word, so that a single changed word always changes the hash.
 */
typedef struct hash {
    uint64_t state;
    unsigned char carry[8]; /* the bytes of a word that a file's end has cut */
    size_t carried;
} hash;

static uint64_t mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio, odd */
    return state ^ state >> 29;
}

static uint64_t word_at(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static void hash_add(hash *sum, const unsigned char *text, uint64_t size)
{
    uint64_t i = 0;
    while (i < size && sum->carried > 0) {
        sum->carry[sum->carried++] = text[i++];
        if (sum->carried == sizeof sum->carry) {
            sum->state = mix(sum->state, word_at(sum->carry));
            sum->carried = 0;
        }
    }
    uint64_t state = sum->state;
    for (; size - i >= sizeof sum->carry; i += sizeof sum->carry)
        state = mix(state, word_at(text + i));
    sum->state = state;
    while (i < size)
        sum->carry[sum->carried++] = text[i++];
}

/* Of the ids, in whichever width they are kept: what another tokenizer makes of the same text is another stream. */
static uint64_t hash_ids(const dither_corpus *corpus)
{
    uint64_t state = corpus->tokens;
    for (uint64_t i = 0; i < corpus->tokens; i++)
        state = mix(state, corpus->wide != NULL ? corpus->wide[i] : corpus->narrow[i]);
    return mix(mix(state, 0), 0);
}

uint64_t dither_corpus_hash(const dither_corpus *corpus)
{
    if (!corpus->tokenizer->is_bytes)
        return hash_ids(corpus);
    hash sum = {0};
    for (size_t i = 0; i < corpus->count; i++)
        hash_add(&sum, corpus->parts[i].text, corpus->parts[i].size);
    memset(sum.carry + sum.carried, 0, sizeof sum.carry - sum.carried);
    uint64_t state = mix(mix(sum.state, word_at(sum.carry)), corpus->bytes);
    return mix(mix(state, 0), 0);
}
