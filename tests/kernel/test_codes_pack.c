/* Which quantizers an operand can carry, and codes that are already there into operands. */
#include "pack_fixture.h"

static void what_fits(void **state)
{
    (void)state;
    static const struct {
        const char *quantizer;
        bool s8[2], bf16[2]; /* along the axis of its scales, along the other */
    } cases[] = {
        {"int8/row", {true, false}, {true, false}},       {"int8", {true, true}, {true, true}},
        {"int8/g128", {true, false}, {false, false}},     {"int8/g10", {false, false}, {false, false}},
        {"int8/t32", {true, true}, {false, false}},       {"int8/g32e8m0", {true, false}, {true, true}},
        {"int8/g16e4m3", {true, false}, {false, false}},  {"int5/g16e4m3", {true, false}, {true, true}},
        {"e4m3/g32e8m0", {false, false}, {true, true}},   {"e2m1/g16e4m3", {false, false}, {true, true}},
        {"e4m4/g16e4m3", {false, false}, {false, false}}, {"e4m4/tensore4m3", {false, false}, {true, true}},
        {"e8m3/g16e4m3", {false, false}, {false, false}}, {"e4m3/g32", {false, false}, {false, false}},
        {"e4m3/row", {false, false}, {true, false}},      {"bf16", {false, false}, {true, true}},
        {"e5m7", {false, false}, {true, true}},           {"f16", {false, false}, {false, false}},
        {"f32", {false, false}, {false, false}},          {"fx3", {false, false}, {false, false}},
    };
    for (size_t c = 0; c < COUNT(cases); c++)
        for (int scale_axis = 0; scale_axis < 2; scale_axis++)
            for (int other = 0; other < 2; other++) {
                const dither_quantizer q = parse(cases[c].quantizer);
                const dither_axis axis = (dither_axis)(other ? 1 - scale_axis : scale_axis);
                const bool s8 = dither_pack_fits(&q, (dither_axis)scale_axis, axis, false, DITHER_ELEMENT_S8);
                const bool bf16 = dither_pack_fits(&q, (dither_axis)scale_axis, axis, false, DITHER_ELEMENT_BF16);
                if (s8 != cases[c].s8[other] || bf16 != cases[c].bf16[other])
                    fail_msg("%s along the %s axis: s8 %d, bf16 %d", cases[c].quantizer, other ? "other" : "same", s8,
                             bf16);
                if (q.format.kind == DITHER_KIND_INT) {
                    assert_true(dither_pack_fits(&q, (dither_axis)scale_axis, axis, true, DITHER_ELEMENT_S8));
                    assert_true(dither_pack_fits(&q, (dither_axis)scale_axis, axis, true, DITHER_ELEMENT_BF16));
                }
            }
}

static void codes_into_operands(void **state)
{
    (void)state;
    size_t n = 0;
    for (size_t f = 0; f < COUNT(formats); f++)
        for (size_t s = 0; s < COUNT(scales); s++, n++) {
            char text[DITHER_QUANTIZER_TEXT];
            snprintf(text, sizeof text, "%s%s", formats[f], scales[s]);
            const example e = {.quantizer = text,
                               .axis = n % 2 == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS,
                               .rows = shapes[n % COUNT(shapes)][0],
                               .cols = shapes[n % COUNT(shapes)][1],
                               .magnitude = 1.0f};
            const dither_quantizer q = parse(text);
            float *x = guarded_last(x_room, e.rows * e.cols * sizeof *x);
            make_x(&e, x);
            expectation want;
            assert_int_equal(expect(&e, &q, x, NULL, NULL, &want), DITHER_OK);
            for (int axis = 0; axis < 2; axis++) {
                dither_operand operand;
                dither_pack_target target = {0};
                if (!add_operand(&q, &target, 0, &e, (dither_axis)axis, false, n, &operand, operand_room[0]))
                    continue;
                dither_codes_pack(&want.codes, (dither_axis)axis, false, &operand, 2);
                check_operand(&want, &operand, (dither_axis)axis, false, text);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits),
        cmocka_unit_test(codes_into_operands),
    };
    return cmocka_run_group_tests(tests, open_rooms, NULL);
}
