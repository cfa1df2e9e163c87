/* Parts of schemes, by their canonical text; what is random in them; where the theory does not hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "study/scheme_part.h"

static dither_scheme parsed(const char *text)
{
    dither_scheme scheme;
    assert_int_equal(dither_scheme_parse(text, &scheme, NULL), DITHER_OK);
    return scheme;
}

static void test_parts(void **state)
{
    (void)state;
    static const struct {
        const char *scheme;
        size_t part;
        const char *want;
        bool random;
    } cases[] = {
        {"bf16", 0, "act=bf16,weight=bf16,bact=bf16,goact=bf16,goweight=bf16,same_weight", false},
        {"paper-int4", 1 + DITHER_ROLE_ACT, "act=bf16", false},
        {"paper-int4", 1 + DITHER_ROLE_WEIGHT, "weight=int8/row", false},
        {"paper-int4", 1 + DITHER_ROLE_BWEIGHT, "bweight=int8/row", false},
        {"paper-int4", 1 + DITHER_ROLE_BACT, "bact=int4/row:sr", true},
        {"paper-int4,head.goact=bf16", 1 + DITHER_ROLE_GOACT, "goact=int4/row:sr,head.goact=bf16", true},
        {"head.goweight=int8/row:sr", 1 + DITHER_ROLE_GOWEIGHT, "head.goweight=int8/row:sr", true},
        {"act=int8/row,goact=int4/row:sr,same_input,same_grad", 1 + DITHER_ROLE_BACT, "bact=int8/row", false},
        {"act=int8/row,goact=int4/row:sr,same_input,same_grad", 1 + DITHER_ROLE_GOWEIGHT, "goweight=int4/row:sr", true},
        {"nvfp4", 1 + DITHER_ROLE_BACT, "bact=e2m1/g16e4m3:sr,rht=16", true},
        {"nvfp4", 1 + DITHER_ROLE_GOACT, "goact=e2m1/g16e4m3:sr", true},
        {"bact=int4/row,goweight=int4/row,rht=32", 0, "bact=int4/row,goweight=int4/row,rht=32", true},
        {"goweight=int4/row,rht=32", 1 + DITHER_ROLE_BACT, "f32", false},
        {"weight=int8/row:sr", 0, "weight=int8/row:sr", false}, /* once for all draws */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dither_scheme scheme = parsed(cases[i].scheme), part = dither_scheme_part(&scheme, cases[i].part);
        char text[DITHER_SCHEME_TEXT];
        dither_scheme_print(&part, text);
        assert_string_equal(text, cases[i].want);
        assert_int_equal(dither_scheme_random(&part), cases[i].random);
        assert_int_equal(dither_scheme_plain(&part), cases[i].want[1] == '3');
    }
}

static void test_caveats(void **state)
{
    (void)state;
    char text[DITHER_NOISE_CAVEAT];
    const dither_scheme holds = parsed("bact=int4/row:sr,goact=int4/row:sr,goweight=int4/row:sr");
    assert_false(dither_noise_caveat(&holds, 0, text));
    const dither_scheme scheme = parsed("act=int8/row:sr,weight=int8/row:sr,head.goact=bf16,same_weight");
    assert_true(dither_noise_caveat(&scheme, 0, text));
    assert_string_equal(text, "act=int8/row:sr quantizes the forward pass: the gradient of another function, a bias "
                              "that does not fall with the batch");
    assert_true(dither_noise_caveat(&scheme, 1, text));
    assert_string_equal(text, "weight=int8/row:sr is one draw for the whole batch: an error that only bits lower");
    assert_true(dither_noise_caveat(&scheme, 2, text)); /* bweight is the same codes: said already */
    assert_string_equal(text, "head.goact=bf16 rounds to nearest in the backward pass: a bias that does not fall with "
                              "the batch");
    assert_false(dither_noise_caveat(&scheme, 3, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts), cmocka_unit_test(test_caveats)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
