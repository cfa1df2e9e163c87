#include "data/bpe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"

/* A stretch of the piece, in a list of neighbours. */
typedef struct symbol {
    uint32_t id;            /* DITHER_NO_TOKEN: its text is no token */
    uint32_t start, length; /* length 0: merged into its left neighbour */
    uint32_t previous, next; /* NONE at the ends */
} symbol;

/* Two neighbours that would merge. */
typedef struct candidate {
    uint32_t rank, left; /* the order */
    uint32_t length;     /* of both together: other than it was, one of the two has merged since */
    uint32_t id;
} candidate;

static const uint32_t NONE = UINT32_MAX;

enum { WORD_BYTES = 31, WORD_IDS = 8, WORDS = 1 << 16 };

/* A short piece and what became of it; length 0: empty. */
typedef struct word {
    uint32_t ids[WORD_IDS];
    unsigned char length : 5, count : 3;
    char bytes[WORD_BYTES];
} word;

struct dither_bpe_scratch {
    symbol *symbols;
    size_t capacity, count;
    candidate *heap;
    size_t heap_capacity, heap_count;
    word *words; /* [word_mask + 1], each at the one place where its hash puts it */
    size_t word_mask;
};

void dither_bpe_close(dither_bpe *bpe)
{
    dither_vocabulary_close(&bpe->vocabulary);
    free(bpe->score_ranks);
    *bpe = (dither_bpe){0};
}

dither_bpe_scratch *dither_bpe_scratch_open(size_t length)
{
    size_t words = 64;
    while (words < WORDS && words < length / 4)
        words *= 2;
    dither_bpe_scratch *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL)
        return NULL;
    scratch->words = calloc(words, sizeof *scratch->words);
    scratch->word_mask = words - 1;
    if (scratch->words == NULL) {
        free(scratch);
        return NULL;
    }
    return scratch;
}

void dither_bpe_scratch_close(dither_bpe_scratch *scratch)
{
    if (scratch == NULL)
        return;
    free(scratch->symbols);
    free(scratch->heap);
    free(scratch->words);
    free(scratch);
}

void dither_id_sink_add(dither_id_sink *sink, uint32_t id)
{
    if (sink->count == sink->capacity && sink->drain != NULL) {
        sink->failed = sink->failed || !sink->drain(sink);
        sink->count = 0;
        sink->drained++;
    }
    if (sink->count < sink->capacity)
        sink->ids[sink->count] = id;
    sink->count++;
}

size_t dither_bpe_character(const char *text, size_t length)
{
    static const unsigned char lengths[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4}; /* by the upper bits */
    const size_t size = lengths[(unsigned char)*text >> 4];
    if (size == 1)
        return 1;
    return size <= length && dither_text_utf8((const unsigned char *)text, size) == size ? size : 1;
}

/* ---- the first symbols --------------------------------------------------------------------------------------- */

static bool reserve(dither_bpe_scratch *scratch, size_t length)
{
    if (length <= scratch->capacity)
        return true;
    if (length >= NONE)
        return false;
    const size_t capacity = length < NONE / 2 ? 2 * length + 32 : NONE;
    const size_t bytes = dither_multiply(capacity, sizeof *scratch->symbols);
    symbol *symbols = bytes < SIZE_MAX ? realloc(scratch->symbols, bytes) : NULL;
    if (symbols == NULL)
        return false;
    scratch->symbols = symbols;
    scratch->capacity = capacity;
    return true;
}

static void add(dither_bpe_scratch *scratch, uint32_t id, size_t start, size_t length)
{
    const uint32_t at = (uint32_t)scratch->count++;
    scratch->symbols[at] = (symbol){id, (uint32_t)start, (uint32_t)length, at - 1, at + 1}; /* 0 - 1 is NONE */
}

/* Whether each of the character's bytes has a token. */
static bool has_bytes(const dither_bpe *bpe, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bpe->bytes[(unsigned char)text[i]] == DITHER_NO_TOKEN)
            return false;
    return bpe->byte_fallback;
}

/* A character, or byte, that is not a token. unknown: the symbol before it is one too. */
static void add_unknown(const dither_bpe *bpe, dither_bpe_scratch *scratch, const char *piece, size_t at, size_t length,
                        bool *unknown)
{
    if (bpe->score_ranks != NULL) { /* may still become a part of one */
        add(scratch, DITHER_NO_TOKEN, at, length);
    } else if (has_bytes(bpe, piece + at, length)) {
        for (size_t i = 0; i < length; i++)
            add(scratch, bpe->bytes[(unsigned char)piece[at + i]], at + i, 1);
        *unknown = false;
    } else if (bpe->unknown != DITHER_NO_TOKEN) {
        if (*unknown && bpe->fuse_unknown)
            scratch->symbols[scratch->count - 1].length += (uint32_t)length;
        else
            add(scratch, bpe->unknown, at, length);
        *unknown = true;
    }
}

static void add_symbols(const dither_bpe *bpe, dither_bpe_scratch *scratch, const char *piece, size_t length)
{
    bool unknown = false;
    scratch->count = 0;
    for (size_t at = 0, size; at < length; at += size) {
        size = bpe->byte_level ? 1 : dither_bpe_character(piece + at, length - at);
        const uint32_t id = bpe->byte_level ? bpe->bytes[(unsigned char)piece[at]]
                                            : dither_vocabulary_find(&bpe->vocabulary, piece + at, size);
        if (id == DITHER_NO_TOKEN) {
            add_unknown(bpe, scratch, piece, at, size, &unknown);
        } else {
            add(scratch, id, at, size);
            unknown = false;
        }
    }
    if (scratch->count > 0)
        scratch->symbols[scratch->count - 1].next = NONE;
}

/* ---- merging ------------------------------------------------------------------------------------------------- */

static bool before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static bool push(dither_bpe_scratch *scratch, candidate added)
{
    if (scratch->heap_count == scratch->heap_capacity) {
        const size_t capacity = 2 * scratch->heap_capacity + 32;
        const size_t bytes = dither_multiply(capacity, sizeof *scratch->heap);
        candidate *heap = bytes < SIZE_MAX ? realloc(scratch->heap, bytes) : NULL;
        if (heap == NULL)
            return false;
        scratch->heap = heap;
        scratch->heap_capacity = capacity;
    }
    size_t at = scratch->heap_count++;
    for (; at > 0 && before(&added, &scratch->heap[(at - 1) / 2]); at = (at - 1) / 2)
        scratch->heap[at] = scratch->heap[(at - 1) / 2];
    scratch->heap[at] = added;
    return true;
}

static candidate pop(dither_bpe_scratch *scratch)
{
    candidate *heap = scratch->heap;
    const candidate top = heap[0], last = heap[--scratch->heap_count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < scratch->heap_count) {
        if (child + 1 < scratch->heap_count && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

/* Pushes the pair whose left half is given, where it merges. */
static bool consider(const dither_bpe *bpe, dither_bpe_scratch *scratch, const char *piece, uint32_t left)
{
    const symbol *a = left != NONE ? &scratch->symbols[left] : NULL;
    if (a == NULL || a->next == NONE)
        return true;
    const symbol *b = &scratch->symbols[a->next];
    const uint32_t length = a->length + b->length;
    dither_merge merge;
    if (bpe->score_ranks != NULL) {
        merge.id = dither_vocabulary_find(&bpe->vocabulary, piece + a->start, length);
        if (merge.id == DITHER_NO_TOKEN)
            return true;
        merge.rank = bpe->score_ranks[merge.id];
    } else if (!dither_vocabulary_pair(&bpe->vocabulary, a->id, b->id, &merge)) {
        return true;
    }
    return push(scratch, (candidate){merge.rank, left, length, merge.id});
}

static bool merge_all(const dither_bpe *bpe, dither_bpe_scratch *scratch, const char *piece)
{
    symbol *symbols = scratch->symbols;
    scratch->heap_count = 0;
    for (size_t i = 0; i + 1 < scratch->count; i++)
        if (!consider(bpe, scratch, piece, (uint32_t)i))
            return false;
    while (scratch->heap_count > 0) {
        const candidate best = pop(scratch);
        symbol *left = &symbols[best.left];
        if (left->length == 0 || left->next == NONE || left->length + symbols[left->next].length != best.length)
            continue;
        symbol *right = &symbols[left->next];
        left->id = best.id;
        left->length = best.length;
        left->next = right->next;
        right->length = 0;
        if (left->next != NONE)
            symbols[left->next].previous = best.left;
        if (!consider(bpe, scratch, piece, left->previous) || !consider(bpe, scratch, piece, best.left))
            return false;
    }
    return true;
}

/* ---- words --------------------------------------------------------------------------------------------------- */

static word *word_of(dither_bpe_scratch *scratch, const char *piece, size_t length)
{
    return &scratch->words[dither_vocabulary_hash(piece, length) & scratch->word_mask];
}

static void keep(dither_bpe_scratch *scratch, const char *piece, size_t length, const dither_id_sink *sink,
                 size_t first, size_t drained)
{
    const size_t count = sink->count - first;
    if (length > WORD_BYTES || sink->drained != drained || count >= WORD_IDS || sink->count > sink->capacity)
        return;
    word *w = word_of(scratch, piece, length);
    w->length = (unsigned char)(length & 31);
    w->count = (unsigned char)(count & 7);
    memcpy(w->bytes, piece, length);
    memcpy(w->ids, sink->ids + first, count * sizeof *w->ids);
}

static bool known(dither_bpe_scratch *scratch, const char *piece, size_t length, dither_id_sink *sink)
{
    if (length > WORD_BYTES)
        return false;
    const word *w = word_of(scratch, piece, length);
    if (w->length != length || memcmp(w->bytes, piece, length) != 0)
        return false;
    for (size_t i = 0; i < w->count; i++)
        dither_id_sink_add(sink, w->ids[i]);
    return true;
}

/* A symbol that has stayed text that is no token. */
static void emit_text(const dither_bpe *bpe, const char *text, size_t length, dither_id_sink *sink)
{
    if (has_bytes(bpe, text, length)) {
        for (size_t i = 0; i < length; i++)
            dither_id_sink_add(sink, bpe->bytes[(unsigned char)text[i]]);
    } else if (bpe->unknown != DITHER_NO_TOKEN) {
        dither_id_sink_add(sink, bpe->unknown);
    }
}

bool dither_bpe_encode(const dither_bpe *bpe, dither_bpe_scratch *scratch, const char *piece, size_t length,
                       dither_id_sink *sink)
{
    if (known(scratch, piece, length, sink))
        return true;
    const size_t first = sink->count, drained = sink->drained;
    const uint32_t whole =
        bpe->whole_pieces ? dither_vocabulary_find(&bpe->vocabulary, piece, length) : DITHER_NO_TOKEN;
    if (whole != DITHER_NO_TOKEN) {
        dither_id_sink_add(sink, whole);
    } else {
        if (!reserve(scratch, length))
            return false;
        add_symbols(bpe, scratch, piece, length);
        if (!merge_all(bpe, scratch, piece))
            return false;
        for (uint32_t i = scratch->count > 0 ? 0 : NONE; i != NONE; i = scratch->symbols[i].next) {
            const symbol *s = &scratch->symbols[i];
            if (s->id != DITHER_NO_TOKEN)
                dither_id_sink_add(sink, s->id);
            else
                emit_text(bpe, piece + s->start, s->length, sink);
        }
    }
    keep(scratch, piece, length, sink, first, drained);
    return !sink->failed;
}
