/*
 * One block of memory, handed out from the front in 64-byte steps. On a null base it only counts: the code that lays
 * memory out for a run is the code that says beforehand how much the run will take.
 */
#ifndef DITHER_BASE_ARENA_H
#define DITHER_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/status.h"

typedef struct dither_arena {
    unsigned char *base; /* NULL: a dry run */
    size_t size;         /* bytes at base; SIZE_MAX in a dry run */
    size_t used;
    size_t peak;         /* largest `used` ever: what a dry run is asked for */
} dither_arena;

enum { DITHER_ALIGN = 64 };

/** n rounded up to a multiple of DITHER_ALIGN. */
size_t dither_align_up(size_t n);

/** a*b or SIZE_MAX where it overflows; SIZE_MAX never fits an arena. */
size_t dither_multiply(size_t a, size_t b);

/** An arena that only counts. */
dither_arena dither_arena_dry(void);

/** Take `size` bytes from the operating system, zeroed, 64-byte aligned. @return DITHER_OK | DITHER_E_MEMORY */
DITHER_MUST_USE dither_status dither_arena_open(dither_arena *arena, size_t size);
void dither_arena_close(dither_arena *arena);

/**
 * Take count*size bytes, aligned. In a dry run the pointer is NULL and only the counters move.
 * Running over a real arena is our own mistake (the dry run counted wrongly): an assert.
 */
void *dither_arena_take(dither_arena *arena, size_t count, size_t size);

/** Scratch: `mark` before, `rewind` after; what was taken between is free again. */
size_t dither_arena_mark(const dither_arena *arena);
void dither_arena_rewind(dither_arena *arena, size_t mark);

#endif
