/* Memory between two pages that fault: what reads or writes past its ends dies. */
#ifndef DITHER_TESTS_GUARDED_H
#define DITHER_TESTS_GUARDED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct guarded {
    unsigned char *map;
    size_t bytes, page;
} guarded;

static inline guarded guarded_new(size_t bytes)
{
    guarded g = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    g.bytes = (bytes + g.page - 1) / g.page * g.page;
    g.map = mmap(NULL, g.bytes + 2 * g.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map, g.page, PROT_NONE), 0);
    assert_int_equal(mprotect(g.map + g.page + g.bytes, g.page, PROT_NONE), 0);
    return g;
}

/* `bytes` that begin behind the first page or end at the second one. */
static inline void *guarded_at(const guarded *g, size_t bytes, bool at_end)
{
    assert_true(bytes <= g->bytes);
    return g->map + g->page + (at_end ? g->bytes - bytes : 0);
}

static inline void guarded_free(guarded *g)
{
    assert_int_equal(munmap(g->map, g->bytes + 2 * g->page), 0);
}

#endif
