#include "data/pretokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "data/newer_characters.h"
#include "data/pattern.h"

typedef struct split {
    dither_pattern *pattern;
    dither_split_kind kind;
    bool invert;
} split;

struct dither_pretokenizer {
    size_t count;
    split splits[];
};

/* A stretch of the text; matched: what a split was looking for. */
typedef struct item {
    size_t first, end;
    bool matched;
} item;

/* How far one split has come. */
typedef struct level {
    void *scratch;
    size_t base, stop;           /* the piece that is being split */
    size_t at;                   /* what is left of it starts here */
    size_t found, found_end;     /* the next match, not before `at`; stop: none */
    size_t last_end;             /* of the match before, SIZE_MAX: none yet */
    item pending;                /* looked at already */
    bool has_pending;
} level;

struct dither_pretokenizer_walk {
    const dither_pretokenizer *pretokenizer;
    const char *text; /* what patterns see: the caller's, or `copy` */
    char *copy;
    size_t length, at; /* at: what no split has taken yet starts here */
    size_t valid;      /* UTF-8 up to here, counted from `at` or before it */
    level levels[];
};

/* ---- opening ------------------------------------------------------------------------------------------------- */

dither_status dither_pretokenizer_splits(dither_pretokenizer **pretokenizer, const dither_split *splits, size_t count,
                                         dither_error *error)
{
    dither_pretokenizer *made = calloc(1, sizeof *made + count * sizeof *made->splits);
    dither_status status = DITHER_OK;
    *pretokenizer = NULL;
    if (made == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "pre-tokenizer", "no memory for %zu patterns", count);
    for (size_t i = 0; i < count && status == DITHER_OK; i++) {
        status = dither_pattern_open(&made->splits[i].pattern, splits[i].pattern, splits[i].literal, error);
        made->splits[i].kind = splits[i].kind;
        made->splits[i].invert = splits[i].invert;
        made->count = i + 1;
    }
    if (status == DITHER_OK)
        *pretokenizer = made;
    else
        dither_pretokenizer_close(made);
    return status;
}

void dither_pretokenizer_close(dither_pretokenizer *pretokenizer)
{
    if (pretokenizer == NULL)
        return;
    for (size_t i = 0; i < pretokenizer->count; i++)
        dither_pattern_close(pretokenizer->splits[i].pattern);
    free(pretokenizer);
}

dither_pretokenizer_walk *dither_pretokenizer_walk_open(const dither_pretokenizer *pretokenizer)
{
    dither_pretokenizer_walk *walk = calloc(1, sizeof *walk + pretokenizer->count * sizeof *walk->levels);
    if (walk == NULL)
        return NULL;
    walk->pretokenizer = pretokenizer;
    for (size_t i = 0; i < pretokenizer->count; i++) {
        walk->levels[i].scratch = dither_pattern_scratch(pretokenizer->splits[i].pattern);
        if (walk->levels[i].scratch == NULL) {
            dither_pretokenizer_walk_close(walk);
            return NULL;
        }
    }
    return walk;
}

void dither_pretokenizer_walk_close(dither_pretokenizer_walk *walk)
{
    if (walk == NULL)
        return;
    for (size_t i = 0; i < walk->pretokenizer->count; i++)
        dither_pattern_scratch_close(walk->levels[i].scratch);
    free(walk->copy);
    free(walk);
}

/* ---- walking ------------------------------------------------------------------------------------------------- */

static size_t valid_from(const char *text, size_t length, size_t from)
{
    return from + dither_text_utf8((const unsigned char *)text + from, length - from);
}

/* Puts a copy with stand-ins for newer characters in the place of the text, where there are any. */
static bool stand_in(dither_pretokenizer_walk *walk)
{
    for (size_t at = 0; at < walk->length;) {
        const size_t end = valid_from(walk->text, walk->length, at);
        if (dither_newer_characters_in((const unsigned char *)walk->text + at, end - at)) {
            if (walk->copy == NULL) {
                walk->copy = malloc(walk->length);
                if (walk->copy == NULL)
                    return false;
                memcpy(walk->copy, walk->text, walk->length);
                walk->text = walk->copy;
            }
            dither_newer_characters_replace((unsigned char *)walk->copy + at, end - at);
        }
        at = end + 1; /* behind the byte that is none */
    }
    return true;
}

bool dither_pretokenizer_start(dither_pretokenizer_walk *walk, const char *text, size_t length)
{
    free(walk->copy);
    walk->copy = NULL;
    walk->text = text;
    walk->length = length;
    walk->at = walk->valid = 0;
    for (size_t i = 0; i < walk->pretokenizer->count; i++) {
        level *l = &walk->levels[i];
        *l = (level){.scratch = l->scratch};
    }
    return stand_in(walk);
}

/* The next stretch of UTF-8; or one byte that is not, which no split sees: broken. */
static bool stretch(dither_pretokenizer_walk *walk, item *next, bool *broken)
{
    if (walk->at >= walk->length)
        return false;
    const size_t end = valid_from(walk->text, walk->length, walk->at);
    *broken = end == walk->at;
    *next = (item){.first = walk->at, .end = *broken ? walk->at + 1 : end};
    walk->at = next->end;
    return true;
}

/* The match at or behind `from`. An empty one right behind the match before it does not count. */
static void search(level *l, const split *s, const char *text, size_t from)
{
    size_t first, end;
    for (;;) {
        dither_pattern_find(s->pattern, l->scratch, text + l->base, l->stop - l->base, from - l->base, &first, &end);
        l->found = l->base + first;
        l->found_end = l->base + end;
        if (l->found < l->found_end || l->found == l->stop || l->found != l->last_end)
            break;
        for (from = l->found + 1; from < l->stop && ((unsigned char)text[from] & 0xc0) == 0x80; from++)
            continue;
    }
    l->last_end = l->found_end;
}

static void begin(level *l, const split *s, const char *text, item piece)
{
    l->base = l->at = piece.first;
    l->stop = piece.end;
    l->last_end = SIZE_MAX;
    search(l, s, text, l->at);
}

/* The next match, or what lies before it; false: the piece is over. */
static bool next_item(level *l, const split *s, const char *text, item *next)
{
    while (l->at == l->found && l->found == l->found_end && l->found < l->stop)
        search(l, s, text, l->found); /* nothing but a cut, which has been made */
    if (l->at == l->stop)
        return false;
    const bool matched = l->at == l->found;
    *next = (item){.first = l->at, .end = matched ? l->found_end : l->found, .matched = matched != s->invert};
    l->at = next->end;
    if (matched)
        search(l, s, text, l->at);
    return true;
}

static bool joins(dither_split_kind kind, bool left, bool right)
{
    switch (kind) {
    case DITHER_SPLIT_CONTIGUOUS: return left == right;
    case DITHER_SPLIT_WITH_PREVIOUS: return !left && right;
    case DITHER_SPLIT_WITH_NEXT: return left && !right;
    case DITHER_SPLIT_ISOLATED:
    case DITHER_SPLIT_REMOVED: break;
    }
    return false;
}

/* The next piece that a split makes of the piece it has; false: it is over. */
static bool next_part(level *l, const split *s, const char *text, item *part)
{
    if (l->has_pending) {
        *part = l->pending;
        l->has_pending = false;
    } else if (!next_item(l, s, text, part)) {
        return false;
    }
    if (s->kind == DITHER_SPLIT_ISOLATED || s->kind == DITHER_SPLIT_REMOVED)
        return true;
    bool last = part->matched; /* of the item that was joined last */
    while ((l->has_pending = next_item(l, s, text, &l->pending)) && joins(s->kind, last, l->pending.matched)) {
        part->end = l->pending.end;
        last = l->pending.matched;
    }
    return true;
}

/* The next piece that is left of the first `count` splits. */
static bool next_piece(dither_pretokenizer_walk *walk, size_t count, item *piece, bool *broken)
{
    if (count == 0)
        return stretch(walk, piece, broken);
    level *l = &walk->levels[count - 1];
    const split *s = &walk->pretokenizer->splits[count - 1];
    for (;;) {
        while (next_part(l, s, walk->text, piece)) {
            *broken = false;
            if (s->kind != DITHER_SPLIT_REMOVED || !piece->matched)
                return true;
        }
        if (!next_piece(walk, count - 1, piece, broken))
            return false;
        if (*broken)
            return true;
        begin(l, s, walk->text, *piece);
    }
}

bool dither_pretokenizer_next(dither_pretokenizer_walk *walk, size_t *first, size_t *length)
{
    item piece;
    bool broken = false;
    if (!next_piece(walk, walk->pretokenizer->count, &piece, &broken))
        return false;
    assert(piece.end > piece.first);
    *first = piece.first;
    *length = piece.end - piece.first;
    return true;
}
