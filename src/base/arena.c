#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

size_t dither_align_up(size_t n)
{
    const size_t mask = DITHER_ALIGN - 1;
    return n > SIZE_MAX - mask ? SIZE_MAX : (n + mask) & ~mask;
}

size_t dither_multiply(size_t a, size_t b)
{
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

dither_arena dither_arena_dry(void)
{
    return (dither_arena){.size = SIZE_MAX};
}

dither_status dither_arena_open(dither_arena *arena, size_t size)
{
    *arena = (dither_arena){0};
    const size_t whole = dither_align_up(size > 0 ? size : 1);
    if (whole == SIZE_MAX)
        return DITHER_E_MEMORY;
    void *base = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return DITHER_E_MEMORY;
    arena->base = base;
    arena->size = whole;
    return DITHER_OK;
}

void dither_arena_close(dither_arena *arena)
{
    if (arena->base != NULL)
        munmap(arena->base, arena->size);
    *arena = (dither_arena){0};
}

void *dither_arena_take(dither_arena *arena, size_t count, size_t size)
{
    const size_t bytes = dither_align_up(dither_multiply(count, size));
    const size_t start = arena->used;
    if (arena->base == NULL) {
        /* SIZE_MAX stands for "more than there can be" and stays. */
        arena->used = bytes > SIZE_MAX - start ? SIZE_MAX : start + bytes;
    } else {
        assert(bytes <= arena->size - start);
        if (bytes > arena->size - start)
            return NULL; /* without asserts: a clean fault beats overwritten memory */
        arena->used = start + bytes;
    }
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    return arena->base == NULL ? NULL : arena->base + start;
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
