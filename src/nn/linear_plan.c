/* Which unit each of a scheme's products runs on. */
#include "kernel/quantize_pack.h"
#include "nn/linear_parts.h"

enum { GROUP_MOST = 8192 }; /* of a packed operand: longer ones are no gain over a whole row */

/* One side of a product: its quantizer, the axis of its scales, and the axis of the matrix that is the product's k. */
typedef struct side {
    const dither_quantizer *quantizer;
    dither_axis scales, k;
    bool bare;
} side;

static bool fits(const side *s, dither_element element, size_t *group)
{
    if (!dither_pack_fits(s->quantizer, s->scales, s->k, s->bare, element))
        return false;
    *group = dither_pack_group(s->quantizer, s->scales, s->k, s->bare, element);
    return *group <= GROUP_MOST;
}

static bool divides(size_t part, size_t whole)
{
    return part == 0 || whole == 0 || whole % part == 0;
}

static dither_linear_product product_of(const side *a, const side *b, uint32_t features)
{
    static const dither_element elements[] = {DITHER_ELEMENT_S8, DITHER_ELEMENT_BF16};
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        dither_linear_product product = {.kernel = NULL};
        if (!fits(a, elements[i], &product.a_group) || !fits(b, elements[i], &product.b_group))
            continue;
        const size_t a_group = product.a_group, b_group = product.b_group;
        const bool a_shorter = b_group == 0 || (a_group != 0 && a_group < b_group);
        const size_t shorter = a_shorter ? a_group : b_group, longer = a_shorter ? b_group : a_group;
        if (!divides(shorter, longer))
            continue;
        product.kernel = dither_gemm_select(elements[i], features, shorter);
        return product;
    }
    return (dither_linear_product){.kernel = NULL};
}

/* A role's matrix in a product along `k`; its scales lie along the axis of its own product. */
static side side_of(const dither_scheme *scheme, dither_role role, dither_axis k, bool bare)
{
    return (side){&scheme->role[role], dither_role_axis(role), k, bare};
}

/*
 * Folded scales are read off y's operand, which must have them beside its values: a bf16 operand has E8M0 and E4M3
 * scales inside. @param read_codes  they could also be read off codes, if y is computed in f32
 */
static bool can_fold(const dither_linear_product *y, const dither_quantizer *quantizer, bool read_codes)
{
    if (y->kernel == NULL)
        return read_codes;
    return y->kernel->element == DITHER_ELEMENT_S8 || quantizer->scale == DITHER_SCALE_F32;
}

bool dither_linear_plan_late(const dither_linear_plan *plan)
{
    return plan->scheme.same_weight && plan->dx.kernel && plan->dx.kernel->element == DITHER_ELEMENT_BF16;
}

dither_linear_plan dither_linear_plan_reference(const dither_scheme *scheme)
{
    return (dither_linear_plan){.scheme = *scheme};
}

dither_linear_plan dither_linear_plan_make(const dither_scheme *scheme, uint32_t features)
{
    dither_linear_plan plan = {.scheme = *scheme};
    const side x = side_of(scheme, DITHER_ROLE_ACT, DITHER_AXIS_COLS, false);
    const side w = side_of(scheme, DITHER_ROLE_WEIGHT, DITHER_AXIS_COLS, false);
    plan.y = product_of(&x, &w, features);
    const side dy = side_of(scheme, DITHER_ROLE_GOACT, DITHER_AXIS_COLS, false);
    const side bw = side_of(scheme, dither_role_dx(scheme), DITHER_AXIS_ROWS, dither_scheme_folds_weight(scheme));
    plan.dx = product_of(&dy, &bw, features);
    const bool folds_input = dither_scheme_folds_input(scheme);
    const side dy_w = side_of(scheme, dither_role_dw(scheme), DITHER_AXIS_ROWS, false);
    const side bx = side_of(scheme, dither_role_saved(scheme), DITHER_AXIS_ROWS, folds_input);
    plan.dw = product_of(&dy_w, &bx, features);
    if (folds_input && !can_fold(&plan.y, &scheme->role[DITHER_ROLE_ACT], false))
        plan.dw = (dither_linear_product){.kernel = NULL};
    if (dither_scheme_folds_weight(scheme) && !can_fold(&plan.y, &scheme->role[DITHER_ROLE_WEIGHT], true))
        plan.dx = (dither_linear_product){.kernel = NULL};
    return plan;
}

void dither_linear_plan_forward_only(dither_linear_plan *plan)
{
    plan->forward_only = true;
    plan->dx = (dither_linear_product){.kernel = NULL};
}
