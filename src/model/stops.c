/* Stop texts, by the automaton of Knuth, Morris and Pratt (1977) for each: bytes come once and are never read again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "dither/generate.h"

typedef struct pattern {
    char *text;
    size_t length;
    size_t *back;   /* [length] how much of the text its first i + 1 bytes end with, but for themselves */
    size_t matched; /* how much of the text the bytes so far end with */
} pattern;

struct dither_stops {
    pattern *patterns; /* [count] */
    size_t count;
    char *held; /* [longest + 1] the end of the bytes so far, not shown yet */
    size_t held_count, longest;
    bool stopped;
};

static void find_back(pattern *p)
{
    size_t matched = 0;
    for (size_t i = 1; i < p->length; i++) {
        while (matched && p->text[i] != p->text[matched])
            matched = p->back[matched - 1];
        matched += p->text[i] == p->text[matched];
        p->back[i] = matched;
    }
}

dither_status dither_stops_open(dither_stops **stops, const char *const *texts, size_t count, dither_error *error)
{
    *stops = NULL;
    for (size_t i = 0; i < count; i++)
        if (!texts[i][0])
            return dither_fail(error, DITHER_E_USAGE, "stop", "an empty text would stop at once");
    dither_stops *opened = calloc(1, sizeof *opened);
    bool whole = opened && (opened->patterns = calloc(count + 1, sizeof *opened->patterns));
    for (size_t i = 0; whole && i < count; i++) {
        pattern *p = &opened->patterns[opened->count++];
        p->length = strlen(texts[i]);
        p->text = malloc(p->length);
        p->back = calloc(p->length, sizeof *p->back);
        whole = p->text && p->back;
        if (whole) {
            memcpy(p->text, texts[i], p->length);
            find_back(p);
        }
        opened->longest = p->length > opened->longest ? p->length : opened->longest;
    }
    whole = whole && (opened->held = malloc(opened->longest + 1));
    if (!whole) {
        dither_stops_close(opened);
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory for the stop texts");
    }
    *stops = opened;
    return DITHER_OK;
}

void dither_stops_close(dither_stops *stops)
{
    if (!stops)
        return;
    for (size_t i = 0; i < stops->count; i++) {
        free(stops->patterns[i].text);
        free(stops->patterns[i].back);
    }
    free(stops->patterns);
    free(stops->held);
    free(stops);
}

/* @return whether the pattern is complete with this byte */
static bool step(pattern *p, char byte)
{
    while (p->matched && p->text[p->matched] != byte)
        p->matched = p->back[p->matched - 1];
    p->matched += p->text[p->matched] == byte;
    return p->matched == p->length;
}

static void show_front(dither_stops *stops, size_t count, void (*show)(void *context, const char *bytes, size_t length),
                       void *context)
{
    if (!count)
        return;
    show(context, stops->held, count);
    stops->held_count -= count;
    memmove(stops->held, stops->held + count, stops->held_count);
}

bool dither_stops_add(dither_stops *stops, const char *bytes, size_t length,
                      void (*show)(void *context, const char *bytes, size_t length), void *context)
{
    for (size_t i = 0; i < length && !stops->stopped; i++) {
        size_t needed = 0, complete = 0; /* of what is held */
        stops->held[stops->held_count++] = bytes[i];
        for (size_t k = 0; k < stops->count; k++) {
            pattern *p = &stops->patterns[k];
            if (step(p, bytes[i]) && p->length > complete)
                complete = p->length;
            needed = p->matched > needed ? p->matched : needed;
        }
        if (complete) {
            show_front(stops, stops->held_count - complete, show, context);
            stops->stopped = true;
        } else if (stops->held_count > needed) {
            show_front(stops, stops->held_count - needed, show, context);
        }
    }
    return stops->stopped;
}

void dither_stops_end(dither_stops *stops, void (*show)(void *context, const char *bytes, size_t length), void *context)
{
    if (!stops->stopped)
        show_front(stops, stops->held_count, show, context);
    stops->held_count = 0;
    stops->stopped = false;
    for (size_t k = 0; k < stops->count; k++)
        stops->patterns[k].matched = 0;
}
