#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

size_t dither_align_up(size_t n)
{
    return n > SIZE_MAX - DITHER_ALIGN ? SIZE_MAX : (n + DITHER_ALIGN - 1) / DITHER_ALIGN * DITHER_ALIGN;
}

size_t dither_multiply(size_t a, size_t b)
{
    return b && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

dither_arena dither_arena_dry(void)
{
    return (dither_arena){.size = SIZE_MAX};
}

dither_status dither_arena_open(dither_arena *arena, size_t size)
{
    *arena = (dither_arena){0};
    if (!size || size == SIZE_MAX)
        return DITHER_E_MEMORY;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return DITHER_E_MEMORY;
    arena->base = base;
    arena->size = size;
    return DITHER_OK;
}

void dither_arena_close(dither_arena *arena)
{
    if (arena->base)
        (void)munmap(arena->base, arena->size);
    *arena = (dither_arena){0};
}

void *dither_arena_take(dither_arena *arena, size_t count, size_t size)
{
    const size_t bytes = dither_align_up(dither_multiply(count, size));
    if (bytes > arena->size - arena->used) {
        /* A dry run that overflows stays full: its total says "more than there can be". */
        assert(!arena->base && "the dry run counted less than the run takes");
        arena->used = arena->peak = arena->size;
        return NULL;
    }
    void *memory = arena->base ? arena->base + arena->used : NULL;
    arena->used += bytes;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    return memory;
}

size_t dither_arena_mark(const dither_arena *arena)
{
    return arena->used;
}

void dither_arena_rewind(dither_arena *arena, size_t mark)
{
    assert(mark <= arena->used);
    arena->used = mark;
}
