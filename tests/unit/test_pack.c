/* Packing: every width, every length, not a byte beyond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dither/format.h"
#include "quant/pack.h"

enum { LONGEST = 131, GUARD = 16, BYTES = 4 * LONGEST + 2 * GUARD };

static dither_format find(const char *name)
{
    dither_format format;
    assert_int_equal(dither_format_find(name, &format, NULL), DITHER_OK);
    return format;
}

static uint32_t lcg(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state ^ *state >> 15;
}

static uint32_t random_code(const dither_format *f, uint32_t *seed)
{
    static const uint32_t digits[] = {3, 0, 1};
    const uint32_t mask = f->bits == 32 ? 0xffffffffu : (1u << f->bits) - 1;
    return f->group_codes == 5 ? digits[lcg(seed) % 3] : lcg(seed) & mask;
}

static void round_trip(const dither_format *f)
{
    uint32_t codes[LONGEST], back[LONGEST + 1], seed = 9;
    uint8_t bytes[BYTES];
    for (size_t count = 0; count <= LONGEST; count++) {
        for (size_t i = 0; i < count; i++) {
            codes[i] = random_code(f, &seed);
        }
        const size_t size = dither_pack_bytes(f, count);
        memset(bytes, 0xcd, sizeof bytes);
        dither_pack(f, codes, count, bytes + GUARD);
        for (size_t i = 0; i < sizeof bytes; i++) {
            assert_true((i >= GUARD && i < GUARD + size) || bytes[i] == 0xcd);
        }
        for (size_t first = 0; first <= count; first += 3 * (size_t)f->group_codes) {
            back[count - first] = 0x5a5a5a5au;
            dither_unpack(f, bytes + GUARD, first, count - first, back);
            assert_memory_equal(back, codes + first, (count - first) * sizeof *codes);
            assert_int_equal(back[count - first], 0x5a5a5a5au);
        }
    }
}

static void every_format_round_trips(void **state)
{
    (void)state;
    for (size_t i = 0; i < dither_format_count(); i++) {
        round_trip(dither_format_at(i));
    }
    const dither_format fixed = find("fx4");
    round_trip(&fixed);
}

static void sizes_are_the_fewest_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < dither_format_count(); i++) {
        const dither_format *f = dither_format_at(i);
        for (size_t count = 0; count < 100; count++) {
            const size_t expected = f->group_codes == 5 ? (count + 4) / 5 : (count * (size_t)f->bits + 7) / 8;
            assert_true(dither_pack_bytes(f, count) == expected);
        }
        const size_t group = (size_t)f->group_codes;
        assert_true(dither_pack_bytes(f, group) == (size_t)f->group_bytes);
    }
    const dither_format wide = find("f32");
    assert_true(dither_pack_bytes(&wide, SIZE_MAX / 16) == SIZE_MAX);
}

static void layouts_are_as_documented(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t codes[8];
        size_t count;
        uint8_t bytes[8];
        size_t size;
    } cases[] = {
        {"int4", {1, 2, 3}, 3, {0x21, 0x03}, 2},
        {"int2", {1, 3, 0, 3, 1}, 5, {0xcd, 0x01}, 2},
        {"int3", {1, 2, 3, 4, 5, 6, 7, 1}, 8, {0xd1, 0x58, 0x3f}, 3},
        {"int5", {31, 0, 31}, 3, {0x1f, 0x7c}, 2},
        {"e2m3", {1, 2, 3, 4}, 4, {0x81, 0x30, 0x10}, 3},
        {"int7", {127, 0, 1}, 3, {0x7f, 0x40, 0x00}, 3},
        {"int8", {0x81, 0x7f}, 2, {0x81, 0x7f}, 2},
        {"ternary", {3, 0, 1, 3, 0}, 5, {0 + 3 * 1 + 9 * 2 + 27 * 0 + 81 * 1}, 1},
        {"ternary", {1}, 1, {2 + 3 + 9 + 27 + 81}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dither_format f = find(cases[i].name);
        uint8_t bytes[8] = {0};
        assert_true(dither_pack_bytes(&f, cases[i].count) == cases[i].size);
        dither_pack(&f, cases[i].codes, cases[i].count, bytes);
        assert_memory_equal(bytes, cases[i].bytes, sizeof bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_round_trips),
        cmocka_unit_test(sizes_are_the_fewest_bytes),
        cmocka_unit_test(layouts_are_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
