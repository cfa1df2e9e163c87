/* Which unit each product of a scheme runs on, and over which groups; restated from linear_plan.c's promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nn/linear.h"

typedef enum unit { NONE, S8, BF16 } unit;

typedef struct wanted {
    unit unit;
    size_t a_group, b_group;
} wanted;

static void check_product(const char *scheme, const char *what, const dither_linear_product *product, wanted want,
                          uint32_t features)
{
    const unit got = product->kernel == NULL ? NONE : product->kernel->element == DITHER_ELEMENT_S8 ? S8 : BF16;
    if (got != want.unit)
        fail_msg("%s: %s runs on unit %d, not %d", scheme, what, (int)got, (int)want.unit);
    if (got == NONE)
        return;
    if (product->a_group != want.a_group || product->b_group != want.b_group)
        fail_msg("%s: %s has groups of %zu and %zu, not %zu and %zu", scheme, what, product->a_group,
                 product->b_group, want.a_group, want.b_group);
    /* The fastest kernel whose steps divide both groups; 0 is all of k. */
    const size_t a = want.a_group, b = want.b_group, shorter = a == 0 ? b : b == 0 || a < b ? a : b;
    if (product->kernel != dither_gemm_select(product->kernel->element, features, shorter))
        fail_msg("%s: %s runs on %s", scheme, what, product->kernel->isa);
    assert_int_equal(a % product->kernel->k_step, 0);
    assert_int_equal(b % product->kernel->k_step, 0);
}

static const struct {
    const char *scheme;
    wanted y, dx, dw;
} cases[] = {
    {"f32", {NONE, 0, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"bf16", {BF16, 0, 0}, {BF16, 0, 0}, {BF16, 0, 0}},
    {"paper-int8", {BF16, 0, 0}, {S8, 0, 0}, {S8, 0, 0}},
    {"paper-e4m3", {BF16, 0, 0}, {BF16, 0, 0}, {BF16, 0, 0}},
    {"int8", {S8, 0, 0}, {S8, 128, 0}, {S8, 128, 128}},
    {"int4", {S8, 0, 32}, {S8, 32, 32}, {S8, 32, 32}},
    {"mxfp4", {BF16, 0, 0}, {BF16, 0, 0}, {BF16, 0, 0}},
    {"nvfp4", {BF16, 0, 0}, {BF16, 0, 0}, {BF16, 0, 0}},
    /* Groups: one of them divides the other, or there is no common step. Groups need not divide a kernel's step. */
    {"act=int8/g32,weight=int8/row", {S8, 32, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/row,weight=int8/g32", {S8, 0, 32}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/g128,weight=int8/g32", {S8, 128, 32}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/g32,weight=int8/g128", {S8, 32, 128}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/g64,weight=int8/g64", {S8, 64, 64}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/g12,weight=int8/g8", {NONE, 0, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/g8,weight=int8/g12", {NONE, 0, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/g8192,weight=int8/row", {S8, 8192, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/g8196,weight=int8/row", {NONE, 0, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
    /* W's row scales lie across dx, x's across dw: only folded, into dy that is quantized, do the codes fit. */
    {"weight=int8/row,goact=int8/row:sr,same_weight", {NONE, 0, 0}, {S8, 0, 0}, {NONE, 0, 0}},
    {"weight=int8/row,goact=int8/row:sr", {NONE, 0, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"weight=int8/row,goact=int8/row:sr,same_weight,same_grad", {NONE, 0, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
    {"act=int8/row,weight=int8/row,goweight=int8/row:sr,same_input", {S8, 0, 0}, {NONE, 0, 0}, {S8, 0, 0}},
    /* The scales of x are read off y's operand, or not at all. */
    {"act=int8/row,goweight=int8/row:sr,same_input", {NONE, 0, 0}, {NONE, 0, 0}, {NONE, 0, 0}},
};

static void units_and_groups(void **state)
{
    (void)state;
    const uint32_t features[] = {0, UINT32_MAX, dither_cpu_active()->features};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t f = 0; f < sizeof features / sizeof features[0]; f++) {
            dither_scheme scheme;
            assert_int_equal(dither_scheme_parse(cases[i].scheme, &scheme, NULL), DITHER_OK);
            const dither_linear_plan plan = dither_linear_plan_make(&scheme, features[f]);
            check_product(cases[i].scheme, "y", &plan.y, cases[i].y, features[f]);
            check_product(cases[i].scheme, "dx", &plan.dx, cases[i].dx, features[f]);
            check_product(cases[i].scheme, "dw", &plan.dw, cases[i].dw, features[f]);
        }
}

static void the_reference_packs_nothing(void **state)
{
    (void)state;
    dither_scheme scheme;
    assert_int_equal(dither_scheme_parse("int8", &scheme, NULL), DITHER_OK);
    const dither_linear_plan plan = dither_linear_plan_reference(&scheme);
    assert_true(plan.y.kernel == NULL && plan.dx.kernel == NULL && plan.dw.kernel == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_and_groups),
        cmocka_unit_test(the_reference_packs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
