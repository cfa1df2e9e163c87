/* The curve of the progress line: what each of its columns stands for, however many values went by. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../cli/sparkline.c" /* of the program, not of the library */

static const char *draw(const dither_sparkline *line, size_t columns)
{
    static char text[SPARKLINE_TEXT];
    memset(text, 'x', sizeof text - 1);
    const size_t drawn = dither_sparkline_draw(line, columns, text);
    assert_int_equal(strlen(text), 3 * drawn);
    return text;
}

static void heights(void **state)
{
    (void)state;
    dither_sparkline line = {.points = 0};
    assert_string_equal(draw(&line, 10), "");
    dither_sparkline_add(&line, 7);
    assert_string_equal(draw(&line, 10), "");
    for (int i = 6; i >= 0; i--)
        dither_sparkline_add(&line, i);
    assert_string_equal(draw(&line, 10), "█▇▆▅▄▃▂▁");
    assert_string_equal(draw(&line, 8), "█▇▆▅▄▃▂▁");
    assert_string_equal(draw(&line, 2), "█▁");
    assert_string_equal(draw(&line, 1), "");
    assert_string_equal(draw(&line, 0), "");
    dither_sparkline_add(&line, NAN);
    dither_sparkline_add(&line, INFINITY);
    assert_string_equal(draw(&line, 10), "█▇▆▅▄▃▂▁");
}

static void level(void **state)
{
    (void)state;
    dither_sparkline line = {.points = 0};
    for (int i = 0; i < 3; i++)
        dither_sparkline_add(&line, 2.5);
    assert_string_equal(draw(&line, 5), "▁▁▁");
}

/* Every count of values: no column is empty, a falling line falls, and the means are those of the values. */
static void any_number_of_values(void **state)
{
    (void)state;
    dither_sparkline line = {.points = 0};
    double sum = 0;
    for (int n = 1; n <= 3000; n++) {
        const double value = 3000 - n;
        dither_sparkline_add(&line, value);
        sum += value;
        double kept = 0;
        size_t count = 0;
        for (size_t i = 0; i < line.points; i++) {
            kept += line.sum[i];
            count += i + 1 < line.points ? line.stretch : line.last;
        }
        assert_true(line.points <= SPARKLINE_POINTS && count == (size_t)n && fabs(kept - sum) < 1e-6 * sum + 1e-9);
        if (n < 200)
            continue;
        const char *text = draw(&line, 100);
        assert_int_equal(strlen(text), 3 * SPARKLINE_WIDEST);
        for (size_t c = 0; c + 1 < SPARKLINE_WIDEST; c++)
            assert_true(text[3 * c + 2] >= text[3 * c + 5]);
        assert_true(!strncmp(text, "█", 3) && !strcmp(text + 3 * (SPARKLINE_WIDEST - 1), "▁"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heights),
        cmocka_unit_test(level),
        cmocka_unit_test(any_number_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
