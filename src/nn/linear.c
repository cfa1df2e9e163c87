#include "nn/linear.h"

#include <assert.h>

#include "base/parallel.h"
#include "base/philox.h"
#include "kernel/gemm_f32.h"
#include "nn/linear_packed.h"
#include "nn/linear_stored.h"

enum {
    BIAS_ROWS = 16,  /* rows that a task adds the bias to */
    BIAS_STRIP = 64  /* columns that a task sums over all tokens */
};

typedef dither_linear_call call;

/* A matrix on its way to a quantizer, and the scales to fold into it; under f32 nothing is folded. */
typedef struct matrix {
    const float *x;
    size_t rows, cols;
    const float *row_factor, *col_factor;
} matrix;

static call make_call(const dither_context *context, const dither_linear *linear, size_t row0)
{
    assert(row0 <= UINT32_MAX);
    return (call){.context = context, .linear = linear, .scheme = &linear->plan->scheme, .row0 = (uint32_t)row0};
}

static bool is_plain(const dither_quantizer *quantizer)
{
    const dither_quantizer plain = dither_quantizer_f32();
    return dither_quantizer_equal(quantizer, &plain);
}

static float *take(const call *c, size_t rows, size_t cols)
{
    return dither_arena_take(c->context->scratch, dither_multiply(rows, cols), sizeof(float));
}

dither_draw dither_linear_draw(const call *c, uint32_t field)
{
    dither_draw draw = dither_context_draw(c->context, c->linear->tensor, field);
    draw.row0 = c->row0;
    return draw;
}

void dither_linear_rotate(const call *c, const float *x, size_t rows, size_t cols, float *y)
{
    if (!c->context->dry) {
        const dither_draw draw = dither_linear_draw(c, DITHER_FIELD_HADAMARD);
        dither_hadamard(x, rows, cols, c->scheme->rht, &draw, y, c->context->threads);
    }
}

static void add_seen(dither_clips *to, const dither_clips *seen)
{
    to->elements += seen->elements;
    to->clipped += seen->clipped;
    to->variance += seen->variance;
    to->square += seen->square;
}

/* codes = Q(x) as `role` says, with that role's draws. */
static dither_status encode(const call *c, dither_role role, const matrix *m, dither_codes *codes)
{
    dither_arena *scratch = c->context->scratch;
    const size_t mark = dither_arena_mark(scratch);
    const float *x = m->x;
    if (dither_role_rotated(c->scheme, role)) {
        assert(m->row_factor == NULL);
        float *rotated = take(c, dither_role_rows(c->scheme, role, m->rows), m->cols);
        dither_linear_rotate(c, m->x, m->rows, m->cols, rotated);
        x = rotated;
    }
    dither_status status = DITHER_OK;
    if (!c->context->dry) {
        const dither_draw draw = dither_linear_draw(c, role);
        dither_clips seen = {0};
        const bool counts = !is_plain(&codes->quantizer) && (c->context->clips != NULL || c->context->roles != NULL);
        status = dither_quantize(codes, x, m->row_factor, m->col_factor, &draw, counts ? &seen : NULL,
                                 c->context->threads);
        if (c->context->clips != NULL)
            add_seen(c->context->clips, &seen);
        if (c->context->roles != NULL)
            add_seen(&c->context->roles[role], &seen);
    }
    dither_arena_rewind(scratch, mark);
    return status;
}

/* The values of codes, in scratch; without their scales where those are folded into the other operand. */
static const float *decoded(const call *c, const dither_codes *codes, bool folded)
{
    if (is_plain(&codes->quantizer)) {
        const void *stored = codes->packed;
        return stored;
    }
    float *values = take(c, codes->rows, codes->cols);
    if (c->context->dry) {
        return values;
    }
    if (folded) {
        dither_codes_values(codes, values, c->context->threads);
    } else {
        dither_dequantize(codes, values, c->context->threads);
    }
    return values;
}

/* x as `role` hands it to a product: in scratch, unless it enters as it is. */
static dither_status operand(const call *c, dither_role role, const matrix *m, const float **values)
{
    const dither_quantizer *quantizer = &c->scheme->role[role];
    const bool plain = is_plain(quantizer);
    if (plain && !dither_role_rotated(c->scheme, role)) {
        *values = m->x;
        return DITHER_OK;
    }
    const size_t rows = dither_role_rows(c->scheme, role, m->rows);
    float *y = take(c, rows, m->cols);
    *values = y;
    if (plain) {
        dither_linear_rotate(c, m->x, m->rows, m->cols, y);
        return DITHER_OK;
    }
    dither_arena *scratch = c->context->scratch;
    const size_t mark = dither_arena_mark(scratch);
    dither_codes codes;
    void *memory = dither_arena_take(scratch, dither_codes_bytes(quantizer, dither_role_axis(role), rows, m->cols), 1);
    dither_status status = dither_codes_init(&codes, quantizer, dither_role_axis(role), rows, m->cols, memory);
    if (status == DITHER_OK) {
        status = encode(c, role, m, &codes);
    }
    if (status == DITHER_OK && !c->context->dry) {
        dither_dequantize(&codes, y, c->context->threads);
    }
    dither_arena_rewind(scratch, mark);
    return status;
}

const float *dither_linear_row_scales(const call *c, const dither_codes *codes)
{
    float *scales = take(c, codes->rows, 1);
    for (size_t i = 0; !c->context->dry && i < codes->rows; i++) {
        scales[i] = dither_codes_scale(codes, i, 0);
    }
    return scales;
}

/* One product in f32, measured. */
static void multiply(const dither_context *context, dither_op op, dither_gemm_layout layout, size_t m, size_t n,
                     size_t k, const float *a, const float *b, float *c, bool accumulate)
{
    const int64_t begun = dither_profile_begin(context->profile);
    dither_gemm_f32(layout, m, n, k, a, b, c, accumulate, context->threads);
    const double elements = (double)(m * k) + (double)(n * k) + (accumulate ? 2.0 : 1.0) * (double)(m * n);
    dither_profile_end(context->profile, op, begun,
                       dither_work_product(DITHER_UNIT_F32, m, n, k, sizeof(float) * elements));
}

/* ---- the weights ------------------------------------------------------------------------------------------ */

/* Codes of W are kept where a product in f32 reads them. */
static bool keeps_codes(const dither_linear_plan *plan, dither_role role)
{
    if (dither_role_plain(&plan->scheme, role))
        return false;
    const bool y = role == DITHER_ROLE_WEIGHT && plan->y.kernel == NULL;
    return y || (!plan->forward_only && role == dither_role_dx(&plan->scheme) && plan->dx.kernel == NULL);
}

static size_t codes_bytes(const dither_linear_plan *plan, dither_role role, size_t in, size_t out)
{
    return keeps_codes(plan, role) ? dither_codes_bytes(&plan->scheme.role[role], dither_role_axis(role), out, in) : 0;
}

size_t dither_linear_weight_bytes(const dither_linear_plan *plan, size_t in, size_t out)
{
    size_t bytes = dither_linear_packed_bytes(plan, in, out) + codes_bytes(plan, DITHER_ROLE_WEIGHT, in, out);
    if (!plan->scheme.same_weight)
        bytes += codes_bytes(plan, DITHER_ROLE_BWEIGHT, in, out);
    return bytes;
}

static dither_status weight_init(dither_codes *codes, const dither_linear *linear, dither_role role, void *memory)
{
    const dither_quantizer *quantizer = &linear->plan->scheme.role[role];
    return dither_codes_init(codes, quantizer, dither_role_axis(role), linear->out, linear->in,
                             keeps_codes(linear->plan, role) ? memory : NULL);
}

dither_status dither_linear_init(dither_linear *linear, const dither_linear_plan *plan, size_t in, size_t out,
                                 uint32_t tensor, const float *w, const float *bias, void *memory)
{
    assert(plan->scheme.rht == 0 || (!plan->scheme.same_input && !plan->scheme.same_grad));
    *linear = (dither_linear){.in = in, .out = out, .tensor = tensor, .plan = plan, .w = w, .bias = bias};
    dither_linear_packed_init(linear, memory);
    unsigned char *codes = memory;
    if (codes != NULL)
        codes += dither_linear_packed_bytes(plan, in, out);
    dither_status status = weight_init(&linear->weight, linear, DITHER_ROLE_WEIGHT, codes);
    if (status == DITHER_OK && !plan->scheme.same_weight) {
        if (codes != NULL)
            codes += codes_bytes(plan, DITHER_ROLE_WEIGHT, in, out);
        status = weight_init(&linear->bweight, linear, DITHER_ROLE_BWEIGHT, codes);
    }
    return status;
}

void dither_linear_stored(dither_linear *linear, const dither_stored *parts, size_t count)
{
    assert(linear->w == NULL);
    linear->parts = parts;
    linear->part_count = count;
}

static dither_status refresh_role(const call *c, dither_role role, dither_codes *codes)
{
    const matrix m = {.x = c->linear->w, .rows = c->linear->out, .cols = c->linear->in};
    return keeps_codes(c->linear->plan, role) ? encode(c, role, &m, codes) : DITHER_OK;
}

dither_status dither_linear_refresh(const dither_context *context, dither_linear *linear)
{
    /* The codes serve every micro-batch of the step, so that none of them may show in the draw. */
    dither_context step = *context;
    step.microbatch = 0;
    const call c = make_call(&step, linear, 0);
    const size_t mark = dither_arena_mark(context->scratch);
    const bool stored = linear->parts != NULL && dither_linear_weight_bytes(linear->plan, linear->in, linear->out) > 0;
    if (stored) {
        float *w = take(&c, linear->out, linear->in);
        if (!context->dry)
            dither_linear_stored_decode(context, linear, w);
        linear->w = w;
    }
    dither_status status = dither_linear_packed_refresh(&c, linear);
    if (status == DITHER_OK)
        status = refresh_role(&c, DITHER_ROLE_WEIGHT, &linear->weight);
    if (status == DITHER_OK && !c.scheme->same_weight)
        status = refresh_role(&c, DITHER_ROLE_BWEIGHT, &linear->bweight);
    if (stored)
        linear->w = NULL;
    dither_arena_rewind(context->scratch, mark);
    return status;
}

static const float *weight_operand(const call *c, const dither_codes *codes, bool folded)
{
    return is_plain(&codes->quantizer) ? c->linear->w : decoded(c, codes, folded);
}

/* ---- forward ---------------------------------------------------------------------------------------------- */

size_t dither_linear_saved_bytes(const dither_linear_plan *plan, size_t in, size_t tokens)
{
    const dither_scheme *scheme = &plan->scheme;
    const dither_role role = dither_role_saved(scheme);
    if (plan->dw.kernel != NULL)
        return dither_linear_packed_saved_bytes(plan, in, tokens);
    return dither_codes_bytes(&scheme->role[role], dither_role_axis(role), dither_role_rows(scheme, role, tokens), in);
}

dither_status dither_linear_saved_init(dither_linear_saved *saved, const dither_linear_plan *plan, size_t in,
                                       size_t tokens, void *memory)
{
    const dither_scheme *scheme = &plan->scheme;
    const dither_role role = dither_role_saved(scheme);
    *saved = (dither_linear_saved){.row_scale = NULL};
    if (plan->dw.kernel != NULL) {
        dither_linear_packed_saved_init(saved, plan, in, tokens, memory);
        return DITHER_OK;
    }
    return dither_codes_init(&saved->codes, &scheme->role[role], dither_role_axis(role),
                             dither_role_rows(scheme, role, tokens), in, memory);
}

typedef struct bias_job {
    const float *bias;
    size_t rows, cols;
    float *y;
} bias_job;

static void add_bias_task(void *context, size_t index, int thread)
{
    (void)thread;
    const bias_job *job = context;
    const size_t end = job->rows - index * BIAS_ROWS < BIAS_ROWS ? job->rows : (index + 1) * BIAS_ROWS;
    for (size_t i = index * BIAS_ROWS; i < end; i++) {
        for (size_t j = 0; j < job->cols; j++) {
            job->y[i * job->cols + j] += job->bias[j];
        }
    }
}

static dither_work stored_work(const dither_linear *linear, size_t tokens)
{
    double bytes = sizeof(float) * (double)tokens * (double)(linear->in + linear->out);
    for (size_t i = 0; i < linear->part_count; i++)
        bytes += (double)linear->parts[i].rows * (double)linear->parts[i].stride;
    return dither_work_product(DITHER_UNIT_F32, tokens, linear->out, linear->in, bytes);
}

/* y = x W^T + bias; w NULL: W as a file has it */
static void product_forward(const dither_context *context, const dither_linear *linear, size_t tokens, const float *x,
                            const float *w, float *y)
{
    if (w == NULL && linear->parts != NULL) {
        const int64_t begun = dither_profile_begin(context->profile);
        dither_linear_stored_forward(context, linear, tokens, x, y);
        dither_profile_end(context->profile, DITHER_OP_GEMM_Y, begun, stored_work(linear, tokens));
    } else if (!context->dry) {
        multiply(context, DITHER_OP_GEMM_Y, DITHER_GEMM_NT, tokens, linear->out, linear->in, x, w, y, false);
    }
    if (linear->bias != NULL && !context->dry) {
        bias_job job = {.bias = linear->bias, .rows = tokens, .cols = linear->out, .y = y};
        dither_parallel_for(context->threads, (tokens + BIAS_ROWS - 1) / BIAS_ROWS, add_bias_task, &job);
    }
}

/* What dW keeps of x, where it is computed in f32. */
static dither_status keep(const call *c, const matrix *x, dither_codes *saved)
{
    const dither_role role = dither_role_saved(c->scheme);
    assert(saved->rows == dither_role_rows(c->scheme, role, x->rows) && saved->cols == x->cols);
    return encode(c, role, x, saved);
}

/* What forward multiplies x as. @param saved  its codes where they are there already */
static dither_status forward_operand(const call *c, const matrix *x, const dither_codes *saved, const float **values)
{
    if (saved != NULL && c->scheme->same_input) {
        *values = decoded(c, saved, false);
        return DITHER_OK;
    }
    return operand(c, DITHER_ROLE_ACT, x, values);
}

dither_status dither_linear_forward(const dither_context *context, const dither_linear *linear, size_t tokens,
                                    size_t row0, const float *x, float *y, dither_linear_saved *saved)
{
    const call c = make_call(context, linear, row0);
    const size_t mark = dither_arena_mark(context->scratch);
    const matrix input = {.x = x, .rows = tokens, .cols = linear->in};
    dither_codes *codes = saved != NULL && linear->plan->dw.kernel == NULL ? &saved->codes : NULL;
    dither_status status = dither_linear_packed_forward(&c, tokens, x, y, saved);
    if (status == DITHER_OK && codes != NULL)
        status = keep(&c, &input, codes);
    if (status == DITHER_OK && linear->plan->y.kernel == NULL) {
        const float *a = NULL;
        status = forward_operand(&c, &input, codes, &a);
        if (status == DITHER_OK)
            product_forward(context, linear, tokens, a, weight_operand(&c, &linear->weight, false), y);
    }
    dither_arena_rewind(context->scratch, mark);
    return status;
}

dither_status dither_linear_keep(const dither_context *context, const dither_linear *linear, size_t tokens, size_t row0,
                                 const float *x, dither_linear_saved *saved)
{
    const call c = make_call(context, linear, row0);
    if (linear->plan->dw.kernel != NULL)
        return dither_linear_packed_keep(&c, tokens, x, saved);
    const matrix input = {.x = x, .rows = tokens, .cols = linear->in};
    return keep(&c, &input, &saved->codes);
}

void dither_linear_forward_exact(const dither_context *context, const dither_linear *linear, size_t tokens,
                                 const float *x, float *y)
{
    product_forward(context, linear, tokens, x, linear->w, y);
}

/* ---- backward --------------------------------------------------------------------------------------------- */

/* dx = Q(dy) Q(W). @param shared  the operand of dy under same_grad, else NULL */
static dither_status gradient_of_x(const call *c, const matrix *dy, const float *shared, float *dx)
{
    const dither_linear *linear = c->linear;
    const dither_codes *codes = c->scheme->same_weight ? &linear->weight : &linear->bweight;
    const bool folded = dither_scheme_folds_weight(c->scheme);
    matrix gradient = *dy;
    gradient.col_factor = folded ? dither_linear_row_scales(c, codes) : NULL;
    const float *g = shared;
    if (!c->scheme->same_grad) {
        const dither_status status = operand(c, DITHER_ROLE_GOACT, &gradient, &g);
        if (status != DITHER_OK) {
            return status;
        }
    }
    const float *w = weight_operand(c, codes, folded);
    if (!c->context->dry) {
        multiply(c->context, DITHER_OP_GEMM_DX, DITHER_GEMM_NN, dy->rows, linear->in, linear->out, g, w, dx, false);
    }
    return DITHER_OK;
}

/* dw = Q(dy)^T Q(x), added to what is there unless the gradient is fresh. */
static dither_status gradient_of_w(const call *c, const matrix *dy, const float *shared, const dither_codes *saved,
                                   float *dw)
{
    const dither_linear *linear = c->linear;
    assert(saved->rows == dither_role_rows(c->scheme, dither_role_saved(c->scheme), dy->rows));
    const bool folded = dither_scheme_folds_input(c->scheme);
    matrix gradient = *dy;
    gradient.row_factor = folded ? dither_linear_row_scales(c, saved) : NULL;
    const float *g = shared;
    if (!c->scheme->same_grad) {
        const dither_status status = operand(c, DITHER_ROLE_GOWEIGHT, &gradient, &g);
        if (status != DITHER_OK) {
            return status;
        }
    }
    const float *x = decoded(c, saved, folded);
    if (!c->context->dry) {
        multiply(c->context, DITHER_OP_GEMM_DW, DITHER_GEMM_TN, linear->out, linear->in, saved->rows, g, x, dw,
                 !c->context->fresh);
    }
    return DITHER_OK;
}

typedef struct sum_job {
    const float *dy;
    size_t rows, cols;
    float *db;
} sum_job;

/* Tokens in order, in double: the sum depends on neither threads nor strips. */
static void sum_task(void *context, size_t index, int thread)
{
    (void)thread;
    const sum_job *job = context;
    const size_t first = index * BIAS_STRIP;
    const size_t count = job->cols - first < BIAS_STRIP ? job->cols - first : BIAS_STRIP;
    double sum[BIAS_STRIP] = {0.0};
    for (size_t i = 0; i < job->rows; i++) {
        for (size_t j = 0; j < count; j++) {
            sum[j] += (double)job->dy[i * job->cols + first + j];
        }
    }
    for (size_t j = 0; j < count; j++) {
        job->db[first + j] += (float)sum[j];
    }
}

static void gradient_of_bias(const call *c, const matrix *dy, float *db)
{
    if (!c->context->dry) {
        sum_job job = {.dy = dy->x, .rows = dy->rows, .cols = dy->cols, .db = db};
        dither_parallel_for(c->context->threads, (dy->cols + BIAS_STRIP - 1) / BIAS_STRIP, sum_task, &job);
    }
}

/* The products that the plan computes in f32. */
static dither_status backward_f32(const call *c, const matrix *dy, const dither_codes *saved, float *dx, float *dw)
{
    const dither_linear_plan *plan = c->linear->plan;
    const bool wants_dx = plan->dx.kernel == NULL && (dx != NULL || c->context->dry);
    const bool wants_dw = plan->dw.kernel == NULL && (dw != NULL || c->context->dry);
    const float *shared = NULL;
    dither_status status = DITHER_OK;
    if (c->scheme->same_grad && (wants_dx || wants_dw))
        status = operand(c, DITHER_ROLE_GOACT, dy, &shared);
    const size_t between = dither_arena_mark(c->context->scratch);
    if (status == DITHER_OK && wants_dx) {
        status = gradient_of_x(c, dy, shared, dx);
        dither_arena_rewind(c->context->scratch, between);
    }
    if (status == DITHER_OK && wants_dw)
        status = gradient_of_w(c, dy, shared, saved, dw);
    return status;
}

dither_status dither_linear_backward(const dither_context *context, const dither_linear *linear, size_t tokens,
                                     size_t row0, const dither_linear_saved *saved, const float *dy, float *dx,
                                     float *dw, float *db)
{
    const call c = make_call(context, linear, row0);
    const matrix gradient = {.x = dy, .rows = tokens, .cols = linear->out};
    const size_t mark = dither_arena_mark(context->scratch);
    dither_status status = dither_linear_packed_backward(&c, tokens, saved, dy, dx, dw);
    if (status == DITHER_OK)
        status = backward_f32(&c, &gradient, &saved->codes, dx, dw);
    if (status == DITHER_OK && db != NULL)
        gradient_of_bias(&c, &gradient, db);
    dither_arena_rewind(context->scratch, mark);
    return status;
}
