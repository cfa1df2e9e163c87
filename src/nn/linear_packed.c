#include "nn/linear_packed.h"

#include <assert.h>
#include <string.h>

#include "kernel/gemm.h"
#include "kernel/quantize_pack.h"

/* An operand of this call, in scratch. */
static dither_operand take_operand(const dither_linear_call *c, const dither_linear_product *product, size_t rows,
                                   size_t k)
{
    dither_operand operand;
    const size_t bytes = dither_operand_bytes(product->kernel, DITHER_SIDE_A, rows, k, product->a_group);
    void *memory = dither_arena_take(c->context->scratch, bytes, 1);
    dither_operand_init(&operand, product->kernel, DITHER_SIDE_A, rows, k, product->a_group, memory);
    return operand;
}

static dither_unit unit_of(const dither_gemm_kernel *kernel)
{
    return kernel->element == DITHER_ELEMENT_S8 ? DITHER_UNIT_S8 : DITHER_UNIT_BF16;
}

static double operand_traffic(const dither_operand *operand)
{
    const double bytes = operand->kernel->element == DITHER_ELEMENT_S8 ? 1 : 2;
    return bytes * (double)operand->rows * (double)operand->k;
}

static void multiply(const dither_linear_call *c, dither_op op, const dither_operand *a, const dither_operand *b,
                     float *out, bool accumulate, const float *bias)
{
    if (c->context->dry)
        return;
    const int64_t begun = dither_profile_begin(c->context->profile);
    const dither_gemm_out target = {
        .type = DITHER_GEMM_F32, .c = out, .stride = b->rows, .accumulate = accumulate, .bias = bias};
    dither_gemm(a, b, &target, c->context->threads);
    const double bytes = operand_traffic(a) + operand_traffic(b) +
                         (accumulate ? 8.0 : 4.0) * (double)a->rows * (double)b->rows;
    dither_profile_end(c->context->profile, op, begun,
                       dither_work_product(unit_of(a->kernel), a->rows, b->rows, a->k, bytes));
}

/* Quantize and pack a matrix for all its targets. */
static dither_status pack(const dither_linear_call *c, dither_op op, const float *x, size_t rows, size_t cols,
                          const dither_pack_target *targets, size_t count)
{
    if (count == 0)
        return DITHER_OK;
    dither_arena *scratch = c->context->scratch;
    const size_t mark = dither_arena_mark(scratch);
    const size_t bytes = dither_quantize_pack_bytes(targets, count, rows, cols, c->context->threads);
    void *memory = dither_arena_take(scratch, bytes, 1);
    dither_status status = DITHER_OK;
    if (!c->context->dry) {
        const int64_t begun = dither_profile_begin(c->context->profile);
        status = dither_quantize_pack(x, rows, cols, targets, count, memory, c->context->clips, c->context->threads);
        double traffic = sizeof(float) * (double)rows * (double)cols;
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < DITHER_PACK_OPERANDS; k++)
                traffic += targets[i].operand[k] != NULL ? operand_traffic(targets[i].operand[k]) : 0;
        dither_profile_end(c->context->profile, op, begun, dither_work_pass(traffic));
    }
    dither_arena_rewind(scratch, mark);
    return status;
}

static dither_pack_target target_of(const dither_linear_call *c, dither_role role, dither_draw *draw)
{
    *draw = dither_linear_draw(c, role);
    return (dither_pack_target){
        .quantizer = &c->scheme->role[role],
        .axis = dither_role_axis(role),
        .draw = draw,
        .clips = c->context->roles != NULL ? &c->context->roles[role] : NULL,
    };
}

static void add_operand(dither_pack_target *target, dither_operand *operand, dither_axis axis, bool bare)
{
    const size_t at = target->operand[0] != NULL ? 1 : 0;
    target->operand[at] = operand;
    target->operand_axis[at] = axis;
    target->bare[at] = bare;
}

/* One target of a matrix that is transformed first: dW's side of x or dy. */
static dither_status pack_rotated(const dither_linear_call *c, dither_role role, const float *x, size_t rows,
                                  size_t cols, const dither_pack_target *target)
{
    dither_arena *scratch = c->context->scratch;
    const size_t mark = dither_arena_mark(scratch), padded = dither_role_rows(c->scheme, role, rows);
    float *rotated = dither_arena_take(scratch, dither_multiply(padded, cols), sizeof(float));
    const int64_t begun = dither_profile_begin(c->context->profile);
    dither_linear_rotate(c, x, rows, cols, rotated);
    if (!c->context->dry)
        dither_profile_end(c->context->profile, DITHER_OP_QUANTIZE, begun,
                           dither_work_pass(2 * sizeof(float) * (double)rows * (double)cols));
    const dither_status status = pack(c, DITHER_OP_QUANTIZE, rotated, padded, cols, target, 1);
    dither_arena_rewind(scratch, mark);
    return status;
}

/* ---- the weights ------------------------------------------------------------------------------------------ */

/* Whether a step keeps W as dx reads it. */
static bool keeps_dx(const dither_linear_plan *plan)
{
    return plan->dx.kernel != NULL && !plan->packs_late;
}

static size_t weight_y_bytes(const dither_linear_plan *plan, size_t in, size_t out)
{
    return plan->y.kernel == NULL ? 0 : dither_operand_bytes(plan->y.kernel, DITHER_SIDE_B, out, in, plan->y.b_group);
}

size_t dither_linear_packed_bytes(const dither_linear_plan *plan, size_t in, size_t out)
{
    size_t bytes = weight_y_bytes(plan, in, out);
    if (keeps_dx(plan))
        bytes += dither_operand_bytes(plan->dx.kernel, DITHER_SIDE_B, in, out, plan->dx.b_group);
    return bytes;
}

void dither_linear_packed_init(dither_linear *linear, void *memory)
{
    const dither_linear_plan *plan = linear->plan;
    const size_t in = linear->in, out = linear->out;
    unsigned char *bytes = memory;
    if (plan->y.kernel != NULL)
        dither_operand_init(&linear->weight_y, plan->y.kernel, DITHER_SIDE_B, out, in, plan->y.b_group, bytes);
    if (keeps_dx(plan))
        dither_operand_init(&linear->weight_dx, plan->dx.kernel, DITHER_SIDE_B, in, out, plan->dx.b_group,
                            bytes != NULL ? bytes + weight_y_bytes(plan, in, out) : NULL);
}

dither_status dither_linear_packed_refresh(const dither_linear_call *c, dither_linear *linear)
{
    const dither_linear_plan *plan = linear->plan;
    dither_draw draws[2];
    dither_pack_target targets[2];
    size_t count = 0;
    if (plan->y.kernel != NULL) {
        targets[count] = target_of(c, DITHER_ROLE_WEIGHT, &draws[count]);
        add_operand(&targets[count++], &linear->weight_y, DITHER_AXIS_COLS, false);
    }
    if (keeps_dx(plan)) {
        const bool shared = plan->scheme.same_weight && count > 0;
        if (!shared) {
            targets[count] = target_of(c, dither_role_dx(&plan->scheme), &draws[count]);
            count++;
        }
        add_operand(&targets[count - 1], &linear->weight_dx, DITHER_AXIS_ROWS,
                    dither_scheme_folds_weight(&plan->scheme));
    }
    return pack(c, DITHER_OP_WEIGHT_CODES, linear->w, linear->out, linear->in, targets, count);
}

/* The same codes once more, as dx reads them, into scratch; what they saturate is counted already. */
static dither_status pack_late(const dither_linear_call *c, dither_operand *operand)
{
    const dither_linear *linear = c->linear;
    const dither_linear_product *dx = &linear->plan->dx;
    dither_context context = *c->context;
    context.clips = context.roles = NULL;
    context.microbatch = 0; /* the draws of dither_linear_refresh */
    dither_linear_call call = *c;
    call.context = &context;
    const size_t bytes = dither_operand_bytes(dx->kernel, DITHER_SIDE_B, linear->in, linear->out, dx->b_group);
    void *memory = dither_arena_take(context.scratch, bytes, 1);
    dither_operand_init(operand, dx->kernel, DITHER_SIDE_B, linear->in, linear->out, dx->b_group, memory);
    dither_draw draw;
    dither_pack_target target = target_of(&call, DITHER_ROLE_WEIGHT, &draw);
    add_operand(&target, operand, DITHER_AXIS_ROWS, dither_scheme_folds_weight(c->scheme));
    return pack(&call, DITHER_OP_WEIGHT_CODES, linear->w, linear->out, linear->in, &target, 1);
}

/* dx = a W, W packed now or once a step. */
static dither_status multiply_dx(const dither_linear_call *c, const dither_operand *a, float *dx)
{
    const size_t mark = dither_arena_mark(c->context->scratch);
    dither_operand late;
    const bool packs = c->linear->plan->packs_late;
    const dither_status status = packs ? pack_late(c, &late) : DITHER_OK;
    if (status == DITHER_OK)
        multiply(c, DITHER_OP_GEMM_DX, a, packs ? &late : &c->linear->weight_dx, dx, false, NULL);
    dither_arena_rewind(c->context->scratch, mark);
    return status;
}

/* The scales of W that dy is multiplied by, [out]; NULL: none are folded. */
static const float *folded_weight_scales(const dither_linear_call *c)
{
    const dither_linear *linear = c->linear;
    if (!dither_scheme_folds_weight(c->scheme))
        return NULL;
    return linear->plan->y.kernel != NULL ? linear->weight_y.scale : dither_linear_row_scales(c, &linear->weight);
}

/* ---- forward ---------------------------------------------------------------------------------------------- */

/* Of the scales of x that are folded into dy, [tokens]. */
static size_t folded_input_bytes(const dither_linear_plan *plan, size_t tokens)
{
    return dither_scheme_folds_input(&plan->scheme) ? dither_align_up(tokens * sizeof(float)) : 0;
}

size_t dither_linear_packed_saved_bytes(const dither_linear_plan *plan, size_t in, size_t tokens)
{
    const size_t k = dither_role_rows(&plan->scheme, dither_role_saved(&plan->scheme), tokens);
    return dither_operand_bytes(plan->dw.kernel, DITHER_SIDE_B, in, k, plan->dw.b_group) +
           folded_input_bytes(plan, tokens);
}

void dither_linear_packed_saved_init(dither_linear_saved *saved, const dither_linear_plan *plan, size_t in,
                                     size_t tokens, void *memory)
{
    const size_t k = dither_role_rows(&plan->scheme, dither_role_saved(&plan->scheme), tokens);
    const size_t scales = folded_input_bytes(plan, tokens);
    unsigned char *bytes = memory;
    void *row_scale = scales > 0 ? bytes : NULL;
    saved->row_scale = row_scale;
    dither_operand_init(&saved->operand, plan->dw.kernel, DITHER_SIDE_B, in, k, plan->dw.b_group,
                        bytes != NULL ? bytes + scales : NULL);
}

/* The target that fills what dW reads, in one pass with x's others unless it is transformed first. */
static dither_status add_saved(const dither_linear_call *c, size_t tokens, const float *x, dither_pack_target *target,
                               dither_linear_saved *saved, bool *pending)
{
    const dither_role kept = dither_role_saved(c->scheme);
    add_operand(target, &saved->operand, DITHER_AXIS_ROWS, dither_scheme_folds_input(c->scheme));
    *pending = !dither_role_rotated(c->scheme, kept);
    return *pending ? DITHER_OK : pack_rotated(c, kept, x, tokens, c->linear->in, target);
}

dither_status dither_linear_packed_keep(const dither_linear_call *c, size_t tokens, const float *x,
                                        dither_linear_saved *saved)
{
    assert(saved->row_scale == NULL);
    dither_draw draw;
    bool pending;
    dither_pack_target target = target_of(c, dither_role_saved(c->scheme), &draw);
    const dither_status status = add_saved(c, tokens, x, &target, saved, &pending);
    return status == DITHER_OK ? pack(c, DITHER_OP_QUANTIZE, x, tokens, c->linear->in, &target, pending ? 1 : 0)
                               : status;
}

dither_status dither_linear_packed_forward(const dither_linear_call *c, size_t tokens, const float *x, float *y,
                                           dither_linear_saved *saved)
{
    const dither_linear *linear = c->linear;
    const dither_linear_plan *plan = linear->plan;
    const dither_role kept = dither_role_saved(c->scheme);
    const bool keeps = saved != NULL && plan->dw.kernel != NULL;
    const size_t mark = dither_arena_mark(c->context->scratch);
    dither_draw draws[2];
    dither_pack_target targets[2];
    dither_operand a = {.kernel = NULL};
    size_t count = 0;
    dither_status status = DITHER_OK;
    if (plan->y.kernel != NULL) {
        a = take_operand(c, &plan->y, tokens, linear->in);
        targets[count] = target_of(c, DITHER_ROLE_ACT, &draws[count]);
        add_operand(&targets[count++], &a, DITHER_AXIS_COLS, false);
    }
    if (keeps) {
        const bool shared = count > 0 && kept == DITHER_ROLE_ACT;
        dither_pack_target *target = &targets[shared ? 0 : count];
        if (!shared)
            *target = target_of(c, kept, &draws[count]);
        bool pending;
        status = add_saved(c, tokens, x, target, saved, &pending);
        count += pending && !shared ? 1 : 0;
    }
    if (status == DITHER_OK)
        status = pack(c, DITHER_OP_QUANTIZE, x, tokens, linear->in, targets, count);
    if (status == DITHER_OK && keeps && saved->row_scale != NULL && !c->context->dry)
        memcpy(saved->row_scale, a.scale, tokens * sizeof(float));
    if (status == DITHER_OK && plan->y.kernel != NULL)
        multiply(c, DITHER_OP_GEMM_Y, &a, &linear->weight_y, y, false, linear->bias);
    dither_arena_rewind(c->context->scratch, mark);
    return status;
}

/* ---- backward --------------------------------------------------------------------------------------------- */

dither_status dither_linear_packed_backward(const dither_linear_call *c, size_t tokens,
                                            const dither_linear_saved *saved, const float *dy, float *dx, float *dw)
{
    const dither_linear *linear = c->linear;
    const dither_linear_plan *plan = linear->plan;
    const size_t out = linear->out, mark = dither_arena_mark(c->context->scratch);
    /* A dry run's pointers say nothing about what the real one will want: it counts everything. */
    const bool wants_dx = plan->dx.kernel != NULL && (dx != NULL || c->context->dry);
    const bool wants_dw = plan->dw.kernel != NULL && (dw != NULL || c->context->dry);
    dither_draw draws[2];
    dither_pack_target targets[2];
    dither_operand a_dx = {.kernel = NULL}, a_dw = {.kernel = NULL};
    size_t count = 0;
    dither_status status = DITHER_OK;
    if (wants_dx) {
        a_dx = take_operand(c, &plan->dx, tokens, out);
        targets[count] = target_of(c, DITHER_ROLE_GOACT, &draws[count]);
        targets[count].col_factor = folded_weight_scales(c);
        add_operand(&targets[count++], &a_dx, DITHER_AXIS_COLS, false);
    }
    if (wants_dw) {
        const dither_role role = dither_role_dw(c->scheme);
        const bool shared = count > 0 && role == DITHER_ROLE_GOACT;
        a_dw = take_operand(c, &plan->dw, out, dither_role_rows(c->scheme, role, tokens));
        dither_pack_target *target = &targets[shared ? 0 : count];
        if (!shared) {
            *target = target_of(c, role, &draws[count]);
            target->row_factor = saved->row_scale;
        }
        add_operand(target, &a_dw, DITHER_AXIS_ROWS, false);
        if (dither_role_rotated(c->scheme, role))
            status = pack_rotated(c, role, dy, tokens, out, target);
        else
            count += shared ? 0 : 1;
    }
    if (status == DITHER_OK)
        status = pack(c, DITHER_OP_QUANTIZE, dy, tokens, out, targets, count);
    if (status == DITHER_OK && wants_dx)
        status = multiply_dx(c, &a_dx, dx);
    if (status == DITHER_OK && wants_dw) {
        assert(c->context->dry || saved->operand.k == a_dw.k);
        multiply(c, DITHER_OP_GEMM_DW, &a_dw, &saved->operand, dw, !c->context->fresh, NULL);
    }
    dither_arena_rewind(c->context->scratch, mark);
    return status;
}
