/* FORMAT[/SCALE][:ROUNDING]: print(parse(text)) is canonical, parse(print(x)) is x, and errors say which part is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "quant/spec.h"

static void check_canonical(const char *text, const char *canonical)
{
    dither_quantizer q, again;
    dither_error error = {.text = ""};
    char printed[DITHER_QUANTIZER_TEXT];
    if (dither_quantizer_parse(text, &q, &error) != DITHER_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    dither_quantizer_print(&q, printed);
    assert_string_equal(printed, canonical);
    assert_int_equal(dither_quantizer_parse(printed, &again, &error), DITHER_OK);
    assert_true(dither_quantizer_equal(&q, &again));
    assert_string_equal(q.format.name, again.format.name);
}

static void every_combination_round_trips(void **state)
{
    (void)state;
    static const char *const scales[] = {"",         "/tensor", "/row",        "/g1",    "/g128",      "/t32",
                                         "/g65536",  "/rowe8m0", "/tensore4m3", "/g32e8m0", "/g16e4m3", "/t16e4m3"};
    static const char *const roundings[] = {"", ":sr", ":sr1", ":sr8", ":sr31", ":up", ":down", ":zero"};
    for (size_t i = 0; i < dither_format_count() + 32; i++) {
        char name[16];
        const dither_format *row = i < dither_format_count() ? dither_format_at(i) : NULL;
        if (row != NULL && row->kind == DITHER_KIND_SCALE) {
            continue;
        }
        snprintf(name, sizeof name, "fx%d", (int)(i - dither_format_count()));
        const size_t count = row != NULL ? sizeof scales / sizeof scales[0] : 1; /* fixed point takes no scale */
        for (size_t s = 0; s < count; s++) {
            for (size_t r = 0; r < sizeof roundings / sizeof roundings[0]; r++) {
                char text[64];
                snprintf(text, sizeof text, "%s%s%s", row != NULL ? row->name : name, scales[s], roundings[r]);
                check_canonical(text, text);
            }
        }
    }
}

static void other_spellings_become_canonical(void **state)
{
    (void)state;
    check_canonical("int8/row:rne", "int8/row");
    check_canonical("s8/rowf32:sr32", "int8/row:sr");
    check_canonical("e8m7", "bf16");
    check_canonical("fp32:rne", "f32");
    check_canonical("half/g32f32:sr8", "f16/g32:sr8");
}

static void the_fields_are_what_the_text_says(void **state)
{
    (void)state;
    dither_quantizer q;
    assert_int_equal(dither_quantizer_parse("e2m1/g16e4m3:sr8", &q, NULL), DITHER_OK);
    assert_string_equal(q.format.name, "e2m1");
    assert_int_equal(q.shape, DITHER_SCALE_GROUP);
    assert_int_equal(q.size, 16);
    assert_int_equal(q.scale, DITHER_SCALE_E4M3);
    assert_int_equal(q.rounding.mode, DITHER_ROUND_SR);
    assert_int_equal(q.rounding.bits, 8);
    assert_int_equal(dither_quantizer_parse("int4/t32", &q, NULL), DITHER_OK);
    assert_int_equal(q.shape, DITHER_SCALE_TILE);
    assert_int_equal(q.size, 32);
    assert_int_equal(q.scale, DITHER_SCALE_F32);
    assert_int_equal(q.rounding.mode, DITHER_ROUND_RNE);
    assert_int_equal(q.rounding.bits, 0);
    assert_int_equal(dither_quantizer_parse("fx3:sr", &q, NULL), DITHER_OK);
    assert_int_equal(q.shape, DITHER_SCALE_NONE);
    assert_int_equal(q.rounding.bits, 32);
}

static void errors_name_the_wrong_part(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"int9", "no format \"int9\"; did you mean int8?"},
        {"e4m3/row:st", "no rounding \"st\"; one of rne, sr, sr1..sr32, up, down, zero; did you mean sr?"},
        {"e4m3/row:", "no rounding \"\"; one of"},
        {"e4m3:sr0", "no rounding \"sr0\""},
        {"e4m3:sr33", "no rounding \"sr33\""},
        {"e4m3:sr08", "no rounding \"sr08\""},
        {"e4m3/roww", "no scale \"roww\"; one of tensor, row, gN, tN (N 1..65536), each with nothing, e8m0 or e4m3 "
                      "after it; did you mean row"},
        {"e4m3/", "no scale \"\""},
        {"int8/g0", "no scale \"g0\""},
        {"int8/g65537", "no scale \"g65537\""},
        {"int8/g032", "no scale \"g032\""},
        {"int8/g", "no scale \"g\""},
        {"int8/g32e5m2", "no scale \"g32e5m2\""},
        {"int8/row16", "no scale \"row16\""},
        {"int8/row/row", "no scale \"row/row\""},
        {"", "no format \"\""},
        {"int8 ", "no format \"int8 \"; did you mean int8?"},
        {"INT8/row", "no format \"INT8\"; did you mean int8?"},
        {"FP8", "no format \"FP8\"; did you mean e4m3 or e5m2?"},
        {"float8/row", "no format \"float8\"; did you mean e4m3 or e5m2?"},
        {"fp4", "no format \"fp4\"; did you mean e2m1?"},
        {"int16", "no format \"int16\"; integers are int2 to int8"},
        {"int1", "no format \"int1\"; integers are int2 to int8"},
        {"uint8", "no format \"uint8\"; integers are int2 to int8"},
        {"fx32", "no format \"fx32\"; fixed point is fx0 to fx31, fxN with step 2^-N"},
        {"e4m11", "no format \"e4m11\"; in eXmY X is 2 to 8 and Y 0 to 10"},
        {"e9m1", "no format \"e9m1\"; in eXmY X is 2 to 8 and Y 0 to 10"},
        {"E4M3FN", "no format \"E4M3FN\"; did you mean e4m3?"},
        {"mxfp4/row", "no format \"mxfp4\"; mxfp4 is a preset, which stands for a whole scheme"},
        {"e4m3:rtn", "no rounding \"rtn\"; one of rne, sr, sr1..sr32, up, down, zero; did you mean rne?"},
        {"e4m3:nearest", "no rounding \"nearest\"; one of rne, sr, sr1..sr32, up, down, zero; did you mean rne?"},
        {"e4m3:stochastic", "no rounding \"stochastic\"; one of rne, sr, sr1..sr32, up, down, zero; did you mean sr?"},
        {"e4m3:SR", "no rounding \"SR\"; one of rne, sr, sr1..sr32, up, down, zero; did you mean sr?"},
        {"e4m3:", "no rounding \"\"; one of rne, sr, sr1..sr32, up, down, zero"},
        {"fx3/row", "fx3 has an absolute step and takes no scale"},
        {"fx31/g32e8m0:sr", "fx31 has an absolute step and takes no scale"},
        {"ue8m0", "\"ue8m0\" has no sign and no zero and is only ever a scale"},
        {"int8/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "no scale"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "no format"},
        {"int8:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "no rounding"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dither_quantizer q;
        dither_error error = {.status = DITHER_OK};
        assert_int_equal(dither_quantizer_parse(cases[i].text, &q, &error), DITHER_E_USAGE);
        assert_int_equal(error.status, DITHER_E_USAGE);
        if (strncmp(error.text, cases[i].says, strlen(cases[i].says)) != 0) {
            fail_msg("%s: \"%s\", not \"%s\"", cases[i].text, error.text, cases[i].says);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_round_trips),
        cmocka_unit_test(other_spellings_become_canonical),
        cmocka_unit_test(the_fields_are_what_the_text_says),
        cmocka_unit_test(errors_name_the_wrong_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
