/* The arena: what a dry run counts is what a real run takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void test_align_and_multiply(void **state)
{
    (void)state;
    assert_int_equal(dither_align_up(0), 0);
    assert_int_equal(dither_align_up(1), 64);
    assert_int_equal(dither_align_up(64), 64);
    assert_int_equal(dither_align_up(65), 128);
    assert_true(dither_align_up(SIZE_MAX - 63) == SIZE_MAX - 63);
    assert_true(dither_align_up(SIZE_MAX - 62) == SIZE_MAX);
    assert_true(dither_align_up(SIZE_MAX) == SIZE_MAX);
    assert_int_equal(dither_multiply(6, 7), 42);
    assert_int_equal(dither_multiply(0, SIZE_MAX), 0);
    assert_true(dither_multiply(SIZE_MAX / 2, 2) == SIZE_MAX - 1);
    assert_true(dither_multiply(SIZE_MAX / 2 + 1, 2) == SIZE_MAX);
}

/* One layout, run dry and then over memory. */
static void lay_out(dither_arena *arena, unsigned char *parts[3])
{
    parts[0] = dither_arena_take(arena, 10, 4);
    const size_t mark = dither_arena_mark(arena);
    parts[1] = dither_arena_take(arena, 1000, 8);
    dither_arena_rewind(arena, mark);
    parts[2] = dither_arena_take(arena, 65, 1);
}

static void test_dry_run_tells_the_size(void **state)
{
    (void)state;
    unsigned char *parts[3];
    dither_arena dry = dither_arena_dry();
    lay_out(&dry, parts);
    for (int i = 0; i < 3; i++)
        assert_null(parts[i]);
    assert_int_equal(dry.used, 64 + 128);
    assert_int_equal(dry.peak, 64 + 8000);

    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, dry.peak), DITHER_OK);
    lay_out(&arena, parts);
    assert_int_equal(arena.used, dry.used);
    assert_int_equal(arena.peak, dry.peak);
    assert_true(arena.peak <= arena.size);
    for (int i = 0; i < 3; i++)
        assert_int_equal((uintptr_t)parts[i] % DITHER_ALIGN, 0);
    assert_true(parts[1] == parts[0] + 64);
    assert_true(parts[2] == parts[1]);
    for (size_t i = 0; i < arena.size; i++)
        assert_int_equal(arena.base[i], 0);
    memset(parts[1], 0xAA, 8000);
    dither_arena_close(&arena);
    assert_null(arena.base);
    dither_arena_close(&arena);
}

/* A size that overflows never looks small: it sticks at SIZE_MAX, which no arena can be opened with. */
static void test_overflow_sticks(void **state)
{
    (void)state;
    dither_arena dry = dither_arena_dry();
    dither_arena_take(&dry, SIZE_MAX / 2, 3);
    assert_true(dry.used == SIZE_MAX);
    dither_arena_take(&dry, 1, 64);
    assert_true(dry.used == SIZE_MAX && dry.peak == SIZE_MAX);

    dither_arena sum = dither_arena_dry();
    dither_arena_take(&sum, SIZE_MAX - 200, 1);
    dither_arena_take(&sum, 256, 1);
    assert_true(sum.peak == SIZE_MAX);

    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, dry.peak), DITHER_E_MEMORY);
    assert_int_equal(dither_arena_open(&arena, (size_t)1 << 60), DITHER_E_MEMORY);
    assert_null(arena.base);
}

static void test_empty_parts(void **state)
{
    (void)state;
    dither_arena arena;
    assert_int_equal(dither_arena_open(&arena, 0), DITHER_OK);
    assert_non_null(dither_arena_take(&arena, 0, 8));
    assert_int_equal(arena.used, 0);
    dither_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_align_and_multiply),
        cmocka_unit_test(test_dry_run_tells_the_size),
        cmocka_unit_test(test_overflow_sticks),
        cmocka_unit_test(test_empty_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
