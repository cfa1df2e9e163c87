/* Schemes: the presets are canonical text, printing and parsing are inverse, contradictions are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quant/spec.h"

static bool equal(const dither_scheme *a, const dither_scheme *b)
{
    for (size_t role = 0; role < DITHER_ROLES; role++) {
        if (!dither_quantizer_equal(&a->role[role], &b->role[role]) ||
            !dither_quantizer_equal(&a->head[role], &b->head[role])) {
            return false;
        }
    }
    return a->same_input == b->same_input && a->same_weight == b->same_weight && a->same_grad == b->same_grad &&
           a->rht == b->rht;
}

static dither_scheme parse(const char *text)
{
    dither_scheme scheme;
    dither_error error = {.text = ""};
    if (dither_scheme_parse(text, &scheme, &error) != DITHER_OK) {
        fail_msg("%s: %s: %s", text, error.where, error.text);
    }
    return scheme;
}

static void check_canonical(const char *text, const char *canonical)
{
    char printed[DITHER_SCHEME_TEXT];
    const dither_scheme scheme = parse(text);
    dither_scheme_print(&scheme, printed);
    assert_string_equal(printed, canonical);
    const dither_scheme again = parse(printed);
    assert_true(equal(&scheme, &again));
}

static void presets_are_canonical_text(void **state)
{
    (void)state;
    size_t count = 0;
    for (; dither_preset_name(count) != NULL; count++) {
        const char *name = dither_preset_name(count), *text = dither_preset_text(count);
        check_canonical(text, text);
        check_canonical(name, text);
    }
    assert_int_equal(count, 11);
    assert_null(dither_preset_text(count));
}

static void presets_say_what_the_design_says(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } expected[] = {
        {"f32", "f32"},
        {"bf16", "act=bf16,weight=bf16,bact=bf16,goact=bf16,goweight=bf16,same_weight"},
        {"paper-e4m3",
         "act=bf16,weight=e4m3/row,bact=e4m3/row:sr,goact=e4m3/row:sr,goweight=e4m3/row:sr,same_weight"},
        {"paper-e4m1",
         "act=bf16,weight=e4m1/row,bact=e4m1/row:sr,goact=e4m1/row:sr,goweight=e4m1/row:sr,same_weight"},
        {"paper-int8",
         "act=bf16,weight=int8/row,bact=int8/row:sr,goact=int8/row:sr,goweight=int8/row:sr,same_weight"},
        {"paper-int4",
         "act=bf16,weight=int8/row,bact=int4/row:sr,goact=int4/row:sr,goweight=int4/row:sr,same_weight"},
        {"int8", "act=int8/row,weight=int8/row,bact=int8/g128:sr8,goact=int8/g128:sr8,goweight=int8/g128:sr8,"
                 "same_weight"},
        {"int4", "act=int8/row,weight=int4/t32,bact=int4/g32:sr8,goact=int4/g32:sr8,goweight=int4/g32:sr8,same_weight"},
        {"mxfp8", "act=e4m3/g32e8m0,weight=e4m3/g32e8m0,bact=e4m3/g32e8m0:sr,goact=e4m3/g32e8m0:sr,"
                  "goweight=e4m3/g32e8m0:sr,same_weight"},
        {"mxfp4", "act=bf16,weight=e2m1/g32e8m0,bact=e2m1/g32e8m0:sr,goact=e2m1/g32e8m0:sr,goweight=e2m1/g32e8m0:sr,"
                  "same_weight,rht=32"},
        {"nvfp4", "act=bf16,weight=e2m1/g16e4m3,bact=e2m1/g16e4m3:sr,goact=e2m1/g16e4m3:sr,goweight=e2m1/g16e4m3:sr,"
                  "same_weight,rht=16"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_string_equal(dither_preset_name(i), expected[i].name);
        assert_string_equal(dither_preset_text(i), expected[i].text);
    }
}

static void texts_become_canonical(void **state)
{
    (void)state;
    check_canonical("f32", "f32");
    check_canonical("act=f32", "f32");
    check_canonical("rht=0", "f32");
    check_canonical("same_weight", "same_weight");
    check_canonical("rht=2,same_weight,goweight=s8/row:sr32,act=fp16:rne",
                    "act=f16,goweight=int8/row:sr,same_weight,rht=2");
    check_canonical("same_grad,goact=fx3:sr,bact=fx3:sr", "bact=fx3:sr,goact=fx3:sr,same_grad");
    check_canonical("same_input,same_weight,same_grad,act=e2m1/g65536e8m0:sr31,weight=ternary/t65536e4m3:sr31,"
                    "goact=e5m10/t65536e4m3:down",
                    "act=e2m1/g65536e8m0:sr31,weight=ternary/t65536e4m3:sr31,goact=e5m10/t65536e4m3:down,"
                    "same_input,same_weight,same_grad");
    check_canonical("act=ternary/t65536e8m0:down,weight=ternary/t65536e8m0:down,bact=ternary/t65536e8m0:down,"
                    "bweight=ternary/t65536e8m0:down,goact=ternary/t65536e8m0:down,"
                    "goweight=ternary/t65536e8m0:down,rht=4096",
                    "act=ternary/t65536e8m0:down,weight=ternary/t65536e8m0:down,bact=ternary/t65536e8m0:down,"
                    "bweight=ternary/t65536e8m0:down,goact=ternary/t65536e8m0:down,"
                    "goweight=ternary/t65536e8m0:down,rht=4096");
}

/* A preset's name first, then what differs from it; head.ROLE is for the output head alone. */
static void presets_are_changed_by_what_follows(void **state)
{
    (void)state;
    check_canonical("paper-int8,goact=bf16",
                    "act=bf16,weight=int8/row,bact=int8/row:sr,goact=bf16,goweight=int8/row:sr,"
                    "same_weight");
    check_canonical("f32,weight=int8/row", "weight=int8/row");
    check_canonical("bf16,head.goact=f32", "act=bf16,weight=bf16,bact=bf16,goact=bf16,goweight=bf16,head.goact=f32,"
                                           "same_weight");
    check_canonical("goact=int4/row:sr,head.goact=int4/row:sr", "goact=int4/row:sr");
    const dither_scheme scheme = parse("paper-int8,head.weight=bf16,head.goact=int8/g64:sr");
    const dither_scheme head = dither_scheme_of_head(&scheme), same = parse("paper-int8,weight=bf16,goact=int8/g64:sr");
    for (size_t role = 0; role < DITHER_ROLES; role++) {
        assert_true(dither_quantizer_equal(&head.role[role], &same.role[role]));
    }
    assert_true(dither_quantizer_equal(&scheme.role[DITHER_ROLE_BWEIGHT], &scheme.role[DITHER_ROLE_WEIGHT]));
    dither_scheme refused;
    assert_int_equal(dither_scheme_parse("paper-int8,head.bweight=bf16", &refused, NULL), DITHER_E_USAGE);
    assert_int_equal(dither_scheme_parse("head.act=bf16,head.act=f32", &refused, NULL), DITHER_E_USAGE);
    assert_int_equal(dither_scheme_parse("head.foo=bf16", &refused, NULL), DITHER_E_USAGE);
    assert_int_equal(dither_scheme_parse("paper-int8,", &refused, NULL), DITHER_E_USAGE);
}

static void a_reused_role_has_its_sources_quantizer(void **state)
{
    (void)state;
    const dither_scheme s = parse("act=bf16,weight=int8/row,goact=int4/row:sr,same_input,same_weight,same_grad");
    assert_true(dither_quantizer_equal(&s.role[DITHER_ROLE_BACT], &s.role[DITHER_ROLE_ACT]));
    assert_true(dither_quantizer_equal(&s.role[DITHER_ROLE_BWEIGHT], &s.role[DITHER_ROLE_WEIGHT]));
    assert_true(dither_quantizer_equal(&s.role[DITHER_ROLE_GOWEIGHT], &s.role[DITHER_ROLE_GOACT]));
    assert_string_equal(s.role[DITHER_ROLE_BWEIGHT].format.name, "int8");
    assert_true(s.same_input && s.same_weight && s.same_grad && s.rht == 0);
}

static void wrong_schemes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where, *says;
    } cases[] = {
        {"", "", "a scheme has no \"\""},
        {"paper-in8", "", "a scheme has no \"paper-in8\"; did you mean paper-int8?"},
        {"wieght=int8", "", "a scheme has no \"wieght\"; did you mean weight?"},
        {"same_wieght", "", "a scheme has no \"same_wieght\"; did you mean same_weight?"},
        {"paper_int8", "", "a scheme has no \"paper_int8\"; did you mean paper-int8?"},
        {"MXFP4", "", "a scheme has no \"MXFP4\"; did you mean mxfp4?"},
        {"fp8", "", "a scheme has no \"fp8\"; did you mean mxfp8?"},
        {"int8/row:sr", "", "\"int8/row:sr\" is a quantizer, and a scheme gives one to each role, as weight=int8/row"},
        {"e4m3", "", "\"e4m3\" is a quantizer, and a scheme gives one to each role"},
        {"act=fx3/row", "act", "fx3 has an absolute step and takes no scale"},
        {"act=int9", "act", "no format \"int9\"; did you mean int8?"},
        {"act=bf16,bact=e4m3/row:st", "bact", "no rounding \"st\"; one of rne"},
        {"act", "act", "a value is missing; write act=QUANTIZER"},
        {"rht", "rht", "a value is missing; write rht=N"},
        {"act=", "act", "no format \"\""},
        {"act=bf16,", "", "a scheme has no \"\""},
        {",act=bf16", "", "a scheme has no \"\""},
        {"act=bf16,act=bf16", "", "\"act\" is given twice"},
        {"same_grad,same_grad", "", "\"same_grad\" is given twice"},
        {"rht=2,rht=2", "", "\"rht\" is given twice"},
        {"same_grad=1", "same_grad", "a flag takes no value"},
        {"rht=3", "rht", "\"3\" is not a power of two from 2 to 4096"},
        {"rht=1", "rht", "\"1\" is not"},
        {"rht=8192", "rht", "\"8192\" is not"},
        {"rht=-2", "rht", "\"-2\" is not"},
        {"same_weight,bweight=f32", "bweight", "same_weight reuses the codes of weight for bweight"},
        {"same_input,bact=f32", "bact", "same_input reuses the codes of act for bact"},
        {"same_grad,goweight=f32", "goweight", "same_grad reuses the codes of goact for goweight"},
        {"same_grad,rht=16", "rht", "the transform is on bact and goweight only"},
        {"same_input,rht=16", "rht", "the transform is on bact and goweight only"},
        {"act=int8/g11111111111111111111111111111111111111111111111111111111111111111111111111111111", "act", "\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dither_scheme scheme;
        dither_error error = {.status = DITHER_OK};
        assert_int_equal(dither_scheme_parse(cases[i].text, &scheme, &error), DITHER_E_USAGE);
        if (strcmp(error.where, cases[i].where) != 0 ||
            strncmp(error.text, cases[i].says, strlen(cases[i].says)) != 0) {
            fail_msg("%s: \"%s\": \"%s\", not \"%s\"", cases[i].text, error.where, error.text, cases[i].says);
        }
    }
}

static void roles_have_names(void **state)
{
    (void)state;
    assert_string_equal(dither_role_name(DITHER_ROLE_ACT), "act");
    assert_string_equal(dither_role_name(DITHER_ROLE_GOWEIGHT), "goweight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_are_canonical_text),
        cmocka_unit_test(presets_say_what_the_design_says),
        cmocka_unit_test(texts_become_canonical),
        cmocka_unit_test(presets_are_changed_by_what_follows),
        cmocka_unit_test(a_reused_role_has_its_sources_quantizer),
        cmocka_unit_test(wrong_schemes_are_refused),
        cmocka_unit_test(roles_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
