/* Numbers, sizes, names and UTF-8 in text: what is accepted, and what must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "comma_locale.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_u64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max, value;
    } good[] = {
        {"0", 0, 0},
        {"7", 7, 7},
        {"007", 7, 7},
        {"10", 10, 10},
        {"4294967295", UINT32_MAX, UINT32_MAX},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t value = 1234;
        assert_true(dither_text_u64(good[i].text, good[i].max, &value));
        assert_true(value == good[i].value);
    }
    static const struct {
        const char *text;
        uint64_t max;
    } bad[] = {
        {"", 10},  {" 1", 10},  {"1 ", 10}, {"+1", 10},  {"-1", UINT64_MAX}, {"0x1", 10}, {"1.0", 10}, {"8", 7},
        {"11", 10}, {"1", 0},   {"4294967296", UINT32_MAX}, {"18446744073709551616", UINT64_MAX},
        {"99999999999999999999999", UINT64_MAX},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t value = 1234;
        assert_false(dither_text_u64(bad[i].text, bad[i].max, &value));
        assert_true(value == 1234);
    }
}

static void test_f64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {
        {"0", 0},  {"1", 1},       {"-2.5", -2.5}, {"+3", 3},    {".5", .5},
        {"5.", 5}, {"1e-3", 1e-3}, {"1E+3", 1e3},  {"0.1", 0.1},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        double value = 1234;
        assert_true(dither_text_f64(good[i].text, &value));
        assert_true(value >= good[i].value && value <= good[i].value);
    }
    static const char *const bad[] = {"",   " 1",  "1 ", "nan", "NaN", "inf", "-inf",  "infinity", "0x1p3", "1,5",
                                      "1e", "1e+", "e5", ".",   "-",   "+",   "1.2.3", "1f",       "1e999", "--1"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        double value = 1234;
        assert_false(dither_text_f64(bad[i], &value));
        assert_true(value >= 1234 && value <= 1234);
    }
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"4096", 4096},
        {"1K", 1024},
        {"1KB", 1024},
        {"1KiB", 1024},
        {"512M", (uint64_t)512 << 20},
        {"1.5G", (uint64_t)3 << 29},
        {"0.5K", 512},
        {"2T", (uint64_t)2 << 40},
        {"16777215T", (uint64_t)16777215 << 40},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t bytes = 1234;
        assert_true(dither_text_size(good[i].text, &bytes));
        assert_true(bytes == good[i].bytes);
    }
    static const char *const bad[] = {"",     "K",   "-1K", "1 K",  "1X",   "1KK",  "1iB",       "1Ki",
                                      "1.2.3K", "1e3", "nan", ".",  ".K",   "1KBs", "16777216T", "16777216.0T",
                                      "99999999999999999999", "111111111111111111111111111111111111111111111111"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t bytes = 1234;
        assert_false(dither_text_size(bad[i], &bytes));
        assert_true(bytes == 1234);
    }
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"--steps", "--step-size", "--seed", "--batch", "int8", "int4", "weight-decay"};
    static const struct {
        const char *text, *nearest;
    } cases[] = {
        {"--steps", "--steps"},
        {"--stpes", "--steps"},
        {"--step", "--steps"},
        {"--sede", "--seed"},
        {"int9", "int8"},
        {"int44", "int4"},
        {"it4", "int4"},
        {"wieght-decya", "weight-decay"},
        {"weigth_decay", "weight-decay"},
        {"--something-else", NULL},
        {"xyz", NULL},
        {"q", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *found = dither_text_nearest(cases[i].text, names, COUNT(names));
        if (cases[i].nearest == NULL)
            assert_null(found);
        else
            assert_string_equal(found, cases[i].nearest);
    }
    static const char *const shorts[] = {"lr", "up"};
    assert_null(dither_text_nearest("xy", shorts, COUNT(shorts)));
    assert_string_equal(dither_text_nearest("rl", shorts, COUNT(shorts)), "lr");
    assert_null(dither_text_nearest("lr", shorts, 0));

    char endless[5000];
    memset(endless, 'x', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    assert_null(dither_text_nearest(endless, shorts, COUNT(shorts)));
}

/* Every code point encoded by the definition (RFC 3629), so that the table in text.c is checked in whole. */
static size_t encode(uint32_t point, unsigned char *out)
{
    if (point < 0x80) {
        out[0] = (unsigned char)point;
        return 1;
    }
    const size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length; i-- > 1; point >>= 6)
        out[i] = (unsigned char)(0x80 | (point & 0x3F));
    out[0] = (unsigned char)(lead[length] | point);
    return length;
}

static void test_utf8_code_points(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x120000; point++) {
        unsigned char text[4];
        const size_t length = encode(point, text);
        const int valid = point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
        if (dither_text_utf8(text, length) != (valid ? length : 0))
            fail_msg("code point %x", point);
        for (size_t cut = 1; cut < length; cut++)
            if (dither_text_utf8(text, cut) != 0)
                fail_msg("code point %x cut to %zu bytes", point, cut);
    }
}

static void test_utf8_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } cases[] = {
        {"plain", 5},       {"", 0},           {"a\x80", 1},         {"a\xC0\xAF", 1},     {"a\xC1\xBF", 1},
        {"\xE0\x80\xAF", 0}, {"\xF0\x8F\xBF\xBF", 0}, {"\xF5\x80\x80\x80", 0}, {"ok\xFF", 2}, {"\xC3\xA9\xC3", 2},
        {"\xE2\x82\x41", 0}, {"\xF0\x9F\x98\x41", 0}, {"\xED\xA0\x80", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(dither_text_utf8((const unsigned char *)cases[i].text, strlen(cases[i].text)), cases[i].valid);
    assert_int_equal(dither_text_utf8((const unsigned char *)"a\0b", 3), 3);
}

static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},           {999, "999 B"},         {1000, "1.0 kB"},        {1234567, "1.2 MB"},
        {999949, "999.9 kB"}, {999950, "1.0 MB"},     {1200000000, "1.2 GB"},  {UINT64_MAX, "18.4 EB"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[16];
        dither_text_bytes(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void expect_printed(void)
{
    static const struct {
        double value;
        int precision;
        const char *text;
    } cases[] = {
        {0, 9, "0"},           {-0.0, 9, "-0"},         {1.5, 9, "1.5"},          {-1234567.25, 9, "-1234567.25"},
        {1e300, 9, "1e+300"},  {1.5e-7, 9, "1.5e-07"},  {1.0 / 3, 3, "0.333"},    {12345, 2, "1.2e+04"},
        {0.1, 17, "0.10000000000000001"},               {-4.9406564584124654e-324, 17, "-4.9406564584124654e-324"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[32];
        dither_text_print_f64(cases[i].value, cases[i].precision, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_print(void **state)
{
    (void)state;
    expect_printed();
    char text[4];
    dither_text_print_f64(1.25, 9, text, sizeof text);
    assert_string_equal(text, "1.2");
}

static void test_decimal_comma(void **state)
{
    (void)state;
    if (!comma_locale_set())
        skip();
    expect_printed();
    double value = 0;
    const bool read = dither_text_f64("2.5", &value), comma = dither_text_f64("2,5", &value);
    (void)setlocale(LC_ALL, "C");
    assert_true(read && !comma && value == 2.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u64),     cmocka_unit_test(test_f64),
        cmocka_unit_test(test_size),    cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_utf8_code_points), cmocka_unit_test(test_utf8_prefix),
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_print),
        cmocka_unit_test(test_decimal_comma),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
