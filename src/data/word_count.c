#include "data/word_count.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/parallel.h"
#include "base/text.h"
#include "data/text_cut.h"
#include "file/kind.h"
#include "file/mapping.h"

enum {
    PIECES_A_THREAD = 4,  /* of a batch: they do not all take as long */
    PIECES_MAX = 64,
    WINDOW = 1 << 16      /* pre-tokenized to find a place to cut where none is certain */
};

/* What one thread has. */
typedef struct worker {
    dither_words words;
    dither_pretokenizer_walk *walk;
} worker;

typedef struct piece {
    size_t first, length;
    size_t valid; /* bytes of it that are UTF-8 */
    bool failed;  /* no memory */
} piece;

typedef struct counter {
    const dither_word_source *source;
    worker *workers; /* [threads] */
    int threads;
    size_t batch;    /* pieces at once */
    size_t margin;   /* bytes behind a place that decide whether it may be cut */

    const char *path;
    int fd;
    unsigned char *buffer; /* [capacity], the first held of the file from `offset` on */
    size_t capacity, held;
    uint64_t offset;
    bool ended;            /* nothing of the file is left to read */
    piece pieces[PIECES_MAX];
    size_t piece_count;
    bool failed;           /* no memory */
} counter;

/* ---- words of a piece ---------------------------------------------------------------------------------------- */

static bool count_text(worker *w, const unsigned char *text, size_t length)
{
    size_t first, size;
    if (length == 0)
        return true;
    if (!dither_pretokenizer_start(w->walk, (const char *)text, length))
        return false;
    while (dither_pretokenizer_next(w->walk, &first, &size))
        if (dither_words_add(&w->words, text + first, size, 1) != DITHER_OK)
            return false;
    return true;
}

/* Where the text of a special token is next, from `from` on; `length` where it is not. */
static size_t next_special(const unsigned char *text, size_t length, size_t from, const char *special)
{
    const unsigned char *at = memmem(text + from, length - from, special, strlen(special));
    return at != NULL ? (size_t)(at - text) : length;
}

/* The text between special tokens: of those that begin first the longest counts. */
static bool count_between(const dither_word_source *source, worker *w, const unsigned char *text, size_t length)
{
    size_t next[DITHER_SPECIAL_MAX], from = 0;
    for (size_t i = 0; i < source->special_count; i++)
        next[i] = next_special(text, length, 0, source->special[i]);
    while (from < length) {
        size_t end = length, behind = length;
        for (size_t i = 0; i < source->special_count; i++) {
            if (next[i] < from)
                next[i] = next_special(text, length, from, source->special[i]);
            const size_t stop = next[i] < length ? next[i] + strlen(source->special[i]) : length;
            if (next[i] < end || (next[i] == end && stop > behind)) {
                end = next[i];
                behind = stop;
            }
        }
        if (!count_text(w, text + from, end - from))
            return false;
        from = behind;
    }
    return true;
}

static void count_piece(void *context, size_t index, int thread)
{
    const counter *c = context;
    piece *p = &((counter *)context)->pieces[index];
    const unsigned char *text = c->buffer + p->first;
    p->valid = dither_text_utf8(text, p->length);
    p->failed = p->valid == p->length && !count_between(c->source, &c->workers[thread], text, p->length);
}

/* ---- where to cut -------------------------------------------------------------------------------------------- */

static bool cuts_special(const counter *c, size_t at)
{
    for (size_t i = 0; i < c->source->special_count; i++) {
        const size_t length = strlen(c->source->special[i]);
        for (size_t first = at >= length ? at - length + 1 : 0; first < at; first++)
            if (c->held - first >= length && memcmp(c->buffer + first, c->source->special[i], length) == 0)
                return true;
    }
    return false;
}

/* The last place before `to` where the patterns, begun some way before it, end a piece among visible characters. */
static size_t likely_cut(counter *c, size_t from, size_t to)
{
    size_t window = to - from > WINDOW ? to - WINDOW : from, cut = 0, first, size;
    while (window < to && (c->buffer[window] & 0xc0) == 0x80)
        window++;
    while (to > window && (c->buffer[to] & 0xc0) == 0x80)
        to--;
    c->failed = c->failed ||
                !dither_pretokenizer_start(c->workers[0].walk, (const char *)c->buffer + window, to - window);
    while (!c->failed && dither_pretokenizer_next(c->workers[0].walk, &first, &size))
        if (first > 0 && dither_text_cut_visible(c->buffer, c->held, window + first) &&
            !cuts_special(c, window + first))
            cut = window + first;
    if (cut > 0)
        return cut;
    while (to > window + 1 && ((c->buffer[to] & 0xc0) == 0x80 || cuts_special(c, to)))
        to--;
    return to > from ? to : from + 1; /* bytes that are no text make a piece all the same, and then an error */
}

/* The end of the piece that begins at `from`; 0: that takes more of the file. */
static size_t piece_end(counter *c, size_t from)
{
    const size_t nominal = from + c->source->piece, last = from + DITHER_WORD_PIECE_LONGEST * c->source->piece;
    const size_t known = c->ended ? c->held : c->held > c->margin ? c->held - c->margin : 0;
    size_t at = nominal;
    for (; at < known && at <= last; at++)
        if (dither_text_cut_safe(c->buffer, c->held, at) && !cuts_special(c, at))
            return at;
    if (at > last)
        return likely_cut(c, nominal, last);
    return c->ended ? c->held : 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static dither_status fail_utf8(const counter *c, uint64_t at, dither_error *error)
{
    char where[sizeof error->where];
    uint64_t line = 1, offset = 0;
    unsigned char text[4096], byte = 0;
    const char *const kind = dither_file_known_kind(c->path);
    if (kind != NULL)
        return dither_fail(error, DITHER_E_FORMAT, c->path,
                           "not a text; it seems to be %s; name UTF-8 texts, or folders of nothing else", kind);
    for (ssize_t got; offset <= at && (got = pread(c->fd, text, sizeof text, (off_t)offset)) > 0;) {
        for (ssize_t i = 0; i < got && offset <= at; i++, offset++) {
            line += offset < at && text[i] == '\n';
            byte = text[i];
        }
    }
    (void)snprintf(where, sizeof where, "%.220s:%llu", c->path, (unsigned long long)line);
    return dither_fail(error, DITHER_E_FORMAT, where,
                       "not UTF-8 at byte %llu (0x%02x); if it is text in another encoding, convert it: iconv -f "
                       "LATIN1 -t UTF-8", (unsigned long long)at, byte);
}

static dither_status fill(counter *c, dither_error *error)
{
    while (!c->ended && c->held < c->capacity) {
        const ssize_t got = read(c->fd, c->buffer + c->held, c->capacity - c->held);
        if (got < 0 && errno != EINTR)
            return dither_fail_errno(error, c->path, "read", errno);
        c->ended = got == 0;
        c->held += got > 0 ? (size_t)got : 0;
    }
    return DITHER_OK;
}

/* As many pieces as a batch takes and the buffer holds whole; nothing is left of it where the file has ended. */
static size_t cut(counter *c)
{
    size_t from = 0;
    c->piece_count = 0;
    while (c->piece_count < c->batch && from < c->held && !c->failed) {
        const size_t end = piece_end(c, from);
        if (end == 0)
            break;
        c->pieces[c->piece_count++] = (piece){.first = from, .length = end - from};
        from = end;
    }
    return from;
}

static dither_status count_batch(counter *c, dither_words *words, dither_error *error)
{
    const dither_status status = fill(c, error);
    if (status != DITHER_OK)
        return status;
    const size_t done = cut(c);
    if (!c->failed)
        dither_parallel_for(c->threads, c->piece_count, count_piece, c);
    for (size_t i = 0; i < c->piece_count && !c->failed; i++) {
        if (c->pieces[i].valid < c->pieces[i].length)
            return fail_utf8(c, c->offset + c->pieces[i].first + c->pieces[i].valid, error);
        c->failed = c->pieces[i].failed;
    }
    for (int i = 0; i < c->threads && !c->failed; i++) {
        c->failed = dither_words_merge(words, &c->workers[i].words) != DITHER_OK;
        dither_words_clear(&c->workers[i].words);
    }
    memmove(c->buffer, c->buffer + done, c->held - done);
    c->held -= done;
    c->offset += done;
    return c->failed ? dither_fail(error, DITHER_E_MEMORY, c->path,
                                   "no memory for %zu distinct words; train on less text", words->count)
                     : DITHER_OK;
}

/* Bytes of text in a file; the descriptor is behind its byte-order mark. */
static dither_status open_file(counter *c, const char *path, uint64_t *size, dither_error *error)
{
    struct stat info;
    unsigned char mark[3];
    c->path = path;
    c->held = 0;
    c->ended = false;
    c->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* so that a pipe is refused, not waited for */
    if (c->fd < 0 || fstat(c->fd, &info) != 0)
        return dither_fail_errno(error, path, "open", errno);
    if (!S_ISREG(info.st_mode))
        return dither_fail(error, DITHER_E_IO, path, "not a regular file");
    const bool marked = pread(c->fd, mark, 3, 0) == 3 && memcmp(mark, "\xef\xbb\xbf", 3) == 0;
    c->offset = marked ? 3 : 0;
    *size = (uint64_t)info.st_size - c->offset;
    return lseek(c->fd, (off_t)c->offset, SEEK_SET) < 0 ? dither_fail_errno(error, path, "read", errno) : DITHER_OK;
}

static void close_file(counter *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static dither_status sum_sizes(counter *c, uint64_t *bytes, dither_error *error)
{
    *bytes = 0;
    for (size_t i = 0; i < c->source->files->count; i++) {
        uint64_t size = 0;
        const dither_status status = open_file(c, c->source->files->paths[i], &size, error);
        close_file(c);
        if (status != DITHER_OK)
            return status;
        *bytes += size;
    }
    if (*bytes > 0)
        return DITHER_OK;
    return dither_fail(error, DITHER_E_FORMAT, c->source->files->count > 0 ? c->source->files->paths[0] : "data",
                       c->source->files->count > 1 ? "this file and all others are empty; text is needed"
                                                   : "the file is empty; text is needed");
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static bool open_counter(counter *c)
{
    const dither_word_source *source = c->source;
    c->margin = 4; /* a character */
    for (size_t i = 0; i < source->special_count; i++)
        c->margin = strlen(source->special[i]) > c->margin ? strlen(source->special[i]) : c->margin;
    c->batch = (size_t)c->threads < PIECES_MAX / PIECES_A_THREAD ? (size_t)c->threads * PIECES_A_THREAD : PIECES_MAX;
    c->capacity = (c->batch + DITHER_WORD_PIECE_LONGEST + 1) * source->piece + c->margin;
    c->buffer = malloc(c->capacity);
    c->workers = calloc((size_t)c->threads, sizeof *c->workers);
    for (int i = 0; i < c->threads && c->workers != NULL; i++) {
        c->workers[i].walk = dither_pretokenizer_walk_open(source->pretokenizer);
        if (c->workers[i].walk == NULL)
            return false;
    }
    return c->buffer != NULL && c->workers != NULL;
}

static void close_counter(counter *c)
{
    for (int i = 0; i < c->threads && c->workers != NULL; i++) {
        dither_words_close(&c->workers[i].words);
        dither_pretokenizer_walk_close(c->workers[i].walk);
    }
    free(c->workers);
    free(c->buffer);
    close_file(c);
}

dither_status dither_words_count(dither_words *words, const dither_word_source *source, uint64_t *bytes,
                                 dither_word_progress progress, void *context, dither_error *error)
{
    assert(source->piece >= 8 && source->threads > 0 && source->special_count <= DITHER_SPECIAL_MAX);
    counter c = {.source = source, .threads = source->threads, .fd = -1};
    uint64_t done = 0, size;
    dither_status status = sum_sizes(&c, bytes, error);
    if (status == DITHER_OK && !open_counter(&c))
        status = dither_fail(error, DITHER_E_MEMORY, "data", "no memory to read it");
    for (size_t i = 0; i < source->files->count && status == DITHER_OK; i++) {
        status = open_file(&c, source->files->paths[i], &size, error);
        while (status == DITHER_OK && !(c.ended && c.held == 0)) {
            const uint64_t from = c.offset;
            status = count_batch(&c, words, error);
            done += c.offset - from;
            if (status == DITHER_OK && progress != NULL && !progress(context, done, *bytes))
                status = DITHER_E_STOPPED;
        }
        close_file(&c);
    }
    close_counter(&c);
    return status;
}
