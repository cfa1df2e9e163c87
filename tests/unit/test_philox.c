/* Philox4x32-10 against published vectors, and the addresses of dither_draw against their definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"

/* The known-answer vectors that Random123 publishes for philox4x32 with 10 rounds. */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
        {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
         {UINT32_MAX, UINT32_MAX},
         {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
        {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
         {0xa4093822u, 0x299f31d0u},
         {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t out[4];
        dither_philox(vectors[i].key, vectors[i].counter, out);
        for (int word = 0; word < 4; word++)
            assert_int_equal(out[word], vectors[i].out[word]);
    }
}

/* One element's draw, restated from the comments of philox.h and tensor.h, bit by bit. */
static uint32_t draw_by_definition(const dither_draw *draw, uint32_t row, size_t column, int bits)
{
    const size_t width = bits <= 8 ? 8 : bits <= 16 ? 16 : 32;
    const size_t length = 16 * 128 / width;
    const size_t c = column % length;
    const size_t block = c % 16, lane = c / 16;
    const uint32_t key[2] = {(uint32_t)(draw->seed & UINT32_MAX), (uint32_t)(draw->seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)(column / length * 16 + block), draw->row0 + row,
                                 draw->tensor * 65536u + draw->role * 4096u + draw->microbatch, draw->step};
    uint32_t words[4];
    dither_philox(key, counter, words);
    uint32_t value = 0;
    for (size_t bit = 0; bit < (size_t)bits; bit++) {
        const size_t at = lane * width + bit;
        value |= (words[at / 32] >> (at % 32) & 1u) << bit;
    }
    return value;
}

static const dither_draw sample = {
    .seed = 0x0123456789abcdefu, .step = 77, .microbatch = 4095, .tensor = 65535, .role = 5, .row0 = 1000};

static void test_fill_is_its_definition(void **state)
{
    (void)state;
    enum { MOST = 700 };
    static const size_t firsts[] = {0, 1, 15, 16, 63, 64, 127, 128, 255, 256, 257, 1000003};
    static const size_t counts[] = {0, 1, 16, 63, 64, 129, 256, 513, MOST};
    uint32_t out[MOST + 1];
    for (int bits = 1; bits <= 32; bits++) {
        for (size_t f = 0; f < sizeof firsts / sizeof firsts[0]; f++) {
            for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++) {
                out[counts[n]] = 0xDEADBEEFu;
                dither_draw_fill(&sample, 3, firsts[f], counts[n], bits, out);
                for (size_t i = 0; i < counts[n]; i++)
                    assert_int_equal(out[i], draw_by_definition(&sample, 3, firsts[f] + i, bits));
                assert_int_equal(out[counts[n]], 0xDEADBEEFu);
            }
        }
    }
}

static void test_single_draw_is_the_filled_one(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    uint32_t out[COUNT];
    dither_draw_fill(&sample, 9, 0, COUNT, 32, out);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(dither_draw_u32(&sample, 9, i), out[i]);
}

/* A matrix handed over in parts draws as if it were whole. */
static void test_row0_continues_rows(void **state)
{
    (void)state;
    dither_draw lower = sample;
    lower.row0 += 5;
    assert_int_equal(dither_draw_u32(&lower, 2, 11), dither_draw_u32(&sample, 7, 11));
}

/* Every part of the address reaches the draw: changing any one changes a 32-bit draw (fixed inputs, so no chance). */
static void test_every_field_matters(void **state)
{
    (void)state;
    dither_draw other[6] = {sample, sample, sample, sample, sample, sample};
    other[0].seed ^= 1;
    other[1].seed ^= (uint64_t)1 << 40;
    other[2].step ^= 1;
    other[3].microbatch ^= 1;
    other[4].tensor ^= 1;
    other[5].role ^= 1;
    const uint32_t reference = dither_draw_u32(&sample, 0, 0);
    for (int i = 0; i < 6; i++)
        assert_int_not_equal(dither_draw_u32(&other[i], 0, 0), reference);
    assert_int_not_equal(dither_draw_u32(&sample, 1, 0), reference);
    assert_int_not_equal(dither_draw_u32(&sample, 0, 1), reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_fill_is_its_definition),
        cmocka_unit_test(test_single_draw_is_the_filled_one),
        cmocka_unit_test(test_row0_continues_rows),
        cmocka_unit_test(test_every_field_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
