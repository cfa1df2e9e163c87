#include "nn/linear.h"

#include <assert.h>

#include "base/parallel.h"
#include "kernel/gemm_f32.h"
#include "quant/hadamard.h"
#include "quant/spec.h"

enum {
    BIAS_ROWS = 16,  /* rows that a task adds the bias to */
    BIAS_STRIP = 64  /* columns that a task sums over all tokens */
};

/* One call: what every step below is handed. */
typedef struct call {
    const dither_context *context;
    const dither_linear *linear;
    const dither_scheme *scheme;
    uint32_t row0;
} call;

/* A matrix on its way to a quantizer, and the scales to fold into it; under f32 nothing is folded. */
typedef struct matrix {
    const float *x;
    size_t rows, cols;
    const float *row_factor, *col_factor;
} matrix;

static call make_call(const dither_context *context, const dither_linear *linear, size_t row0)
{
    assert(row0 <= UINT32_MAX);
    return (call){.context = context, .linear = linear, .scheme = linear->scheme, .row0 = (uint32_t)row0};
}

/* Data of a plain role enter products as they are. */
static bool is_plain(const dither_quantizer *quantizer)
{
    const dither_quantizer plain = dither_quantizer_f32();
    return dither_quantizer_equal(quantizer, &plain);
}

static bool is_rotated(const dither_scheme *scheme, dither_role role)
{
    return scheme->rht != 0 && (role == DITHER_ROLE_BACT || role == DITHER_ROLE_GOWEIGHT);
}

static size_t rows_of(const dither_scheme *scheme, dither_role role, size_t tokens)
{
    return is_rotated(scheme, role) ? dither_hadamard_rows(tokens, scheme->rht) : tokens;
}

static dither_axis axis_of(dither_role role)
{
    const bool rows = role == DITHER_ROLE_BACT || role == DITHER_ROLE_BWEIGHT || role == DITHER_ROLE_GOWEIGHT;
    return rows ? DITHER_AXIS_ROWS : DITHER_AXIS_COLS;
}

static float *take(const call *c, size_t rows, size_t cols)
{
    return dither_arena_take(c->context->scratch, dither_multiply(rows, cols), sizeof(float));
}

static dither_draw draw_of(const call *c, dither_role role)
{
    dither_draw draw = dither_context_draw(c->context, c->linear->tensor, (uint32_t)role);
    draw.row0 = c->row0;
    return draw;
}

/* y = H D x, the same D in every role that is rotated. */
static void rotate(const call *c, dither_role role, const matrix *m, float *y)
{
    if (!c->context->dry) {
        const dither_draw draw = draw_of(c, role);
        dither_hadamard(m->x, m->rows, m->cols, c->scheme->rht, &draw, y, c->context->threads);
    }
}

/* codes = Q(x) as `role` says, with that role's draws. */
static dither_status encode(const call *c, dither_role role, const matrix *m, dither_codes *codes)
{
    dither_arena *scratch = c->context->scratch;
    const size_t mark = dither_arena_mark(scratch);
    const float *x = m->x;
    if (is_rotated(c->scheme, role)) {
        assert(m->row_factor == NULL);
        float *rotated = take(c, rows_of(c->scheme, role, m->rows), m->cols);
        rotate(c, role, m, rotated);
        x = rotated;
    }
    dither_status status = DITHER_OK;
    if (!c->context->dry) {
        const dither_draw draw = draw_of(c, role);
        dither_clips *clips = is_plain(&codes->quantizer) ? NULL : c->context->clips;
        status = dither_quantize(codes, x, m->row_factor, m->col_factor, &draw, clips, c->context->threads);
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
    if (plain && !is_rotated(c->scheme, role)) {
        *values = m->x;
        return DITHER_OK;
    }
    const size_t rows = rows_of(c->scheme, role, m->rows);
    float *y = take(c, rows, m->cols);
    *values = y;
    if (plain) {
        rotate(c, role, m, y);
        return DITHER_OK;
    }
    dither_arena *scratch = c->context->scratch;
    const size_t mark = dither_arena_mark(scratch);
    dither_codes codes;
    void *memory = dither_arena_take(scratch, dither_codes_bytes(quantizer, axis_of(role), rows, m->cols), 1);
    dither_status status = dither_codes_init(&codes, quantizer, axis_of(role), rows, m->cols, memory);
    if (status == DITHER_OK) {
        status = encode(c, role, m, &codes);
    }
    if (status == DITHER_OK && !c->context->dry) {
        dither_dequantize(&codes, y, c->context->threads);
    }
    dither_arena_rewind(scratch, mark);
    return status;
}

/* Row scales as a vector, to be folded. */
static const float *row_scales(const call *c, const dither_codes *codes)
{
    float *scales = take(c, codes->rows, 1);
    for (size_t i = 0; !c->context->dry && i < codes->rows; i++) {
        scales[i] = dither_codes_scale(codes, i, 0);
    }
    return scales;
}

/* ---- the weights ------------------------------------------------------------------------------------------ */

static size_t role_bytes(const dither_scheme *scheme, dither_role role, size_t rows, size_t cols)
{
    const dither_quantizer *quantizer = &scheme->role[role];
    return is_plain(quantizer) ? 0 : dither_codes_bytes(quantizer, axis_of(role), rows, cols);
}

static size_t bweight_bytes(const dither_scheme *scheme, size_t in, size_t out)
{
    return scheme->same_weight ? 0 : role_bytes(scheme, DITHER_ROLE_BWEIGHT, out, in);
}

size_t dither_linear_weight_bytes(const dither_scheme *scheme, size_t in, size_t out)
{
    return role_bytes(scheme, DITHER_ROLE_WEIGHT, out, in) + bweight_bytes(scheme, in, out);
}

static dither_status weight_init(dither_codes *codes, const dither_linear *linear, dither_role role, void *memory)
{
    const dither_quantizer *quantizer = &linear->scheme->role[role];
    return dither_codes_init(codes, quantizer, axis_of(role), linear->out, linear->in,
                             is_plain(quantizer) ? NULL : memory);
}

dither_status dither_linear_init(dither_linear *linear, const dither_scheme *scheme, size_t in, size_t out,
                                 uint32_t tensor, const float *w, const float *bias, void *memory)
{
    assert(scheme->rht == 0 || (!scheme->same_input && !scheme->same_grad));
    *linear = (dither_linear){.in = in, .out = out, .tensor = tensor, .scheme = scheme, .w = w, .bias = bias};
    unsigned char *bytes = memory;
    dither_status status = weight_init(&linear->weight, linear, DITHER_ROLE_WEIGHT, bytes);
    if (status == DITHER_OK && !scheme->same_weight) {
        unsigned char *second = bytes != NULL ? bytes + role_bytes(scheme, DITHER_ROLE_WEIGHT, out, in) : NULL;
        status = weight_init(&linear->bweight, linear, DITHER_ROLE_BWEIGHT, second);
    }
    return status;
}

static dither_status refresh_role(const call *c, dither_role role, dither_codes *codes)
{
    const matrix m = {.x = c->linear->w, .rows = c->linear->out, .cols = c->linear->in};
    return is_plain(&c->scheme->role[role]) ? DITHER_OK : encode(c, role, &m, codes);
}

dither_status dither_linear_refresh(const dither_context *context, dither_linear *linear)
{
    /* The codes serve every micro-batch of the step, so that none of them may show in the draw. */
    dither_context step = *context;
    step.microbatch = 0;
    const call c = make_call(&step, linear, 0);
    dither_status status = refresh_role(&c, DITHER_ROLE_WEIGHT, &linear->weight);
    if (status == DITHER_OK && !linear->scheme->same_weight) {
        status = refresh_role(&c, DITHER_ROLE_BWEIGHT, &linear->bweight);
    }
    return status;
}

static const float *weight_operand(const call *c, const dither_codes *codes, bool folded)
{
    return is_plain(&codes->quantizer) ? c->linear->w : decoded(c, codes, folded);
}

/* ---- forward ---------------------------------------------------------------------------------------------- */

/* The role whose codes of x backward reads. */
static dither_role saved_role(const dither_scheme *scheme)
{
    return scheme->same_input ? DITHER_ROLE_ACT : DITHER_ROLE_BACT;
}

size_t dither_linear_saved_bytes(const dither_scheme *scheme, size_t in, size_t tokens)
{
    const dither_role role = saved_role(scheme);
    return dither_codes_bytes(&scheme->role[role], axis_of(role), rows_of(scheme, role, tokens), in);
}

dither_status dither_linear_saved_init(dither_codes *saved, const dither_scheme *scheme, size_t in, size_t tokens,
                                       void *memory)
{
    const dither_role role = saved_role(scheme);
    return dither_codes_init(saved, &scheme->role[role], axis_of(role), rows_of(scheme, role, tokens), in, memory);
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

/* y = x W^T + bias */
static void product_forward(const dither_context *context, const dither_linear *linear, size_t tokens, const float *x,
                            const float *w, float *y)
{
    if (context->dry) {
        return;
    }
    dither_gemm_f32(DITHER_GEMM_NT, tokens, linear->out, linear->in, x, w, y, false, context->threads);
    if (linear->bias != NULL) {
        bias_job job = {.bias = linear->bias, .rows = tokens, .cols = linear->out, .y = y};
        dither_parallel_for(context->threads, (tokens + BIAS_ROWS - 1) / BIAS_ROWS, add_bias_task, &job);
    }
}

/* What forward multiplies x as, and what it keeps of x. */
static dither_status forward_operand(const call *c, const matrix *x, dither_codes *saved, const float **values)
{
    dither_status status = DITHER_OK;
    if (saved != NULL) {
        const dither_role role = saved_role(c->scheme);
        assert(saved->rows == rows_of(c->scheme, role, x->rows) && saved->cols == x->cols);
        status = encode(c, role, x, saved);
    }
    if (status != DITHER_OK) {
        return status;
    }
    if (saved != NULL && c->scheme->same_input) {
        *values = decoded(c, saved, false);
        return DITHER_OK;
    }
    return operand(c, DITHER_ROLE_ACT, x, values);
}

dither_status dither_linear_forward(const dither_context *context, const dither_linear *linear, size_t tokens,
                                    size_t row0, const float *x, float *y, dither_codes *saved)
{
    const call c = make_call(context, linear, row0);
    const size_t mark = dither_arena_mark(context->scratch);
    const matrix input = {.x = x, .rows = tokens, .cols = linear->in};
    const float *a = NULL;
    const dither_status status = forward_operand(&c, &input, saved, &a);
    if (status == DITHER_OK) {
        product_forward(context, linear, tokens, a, weight_operand(&c, &linear->weight, false), y);
    }
    dither_arena_rewind(context->scratch, mark);
    return status;
}

void dither_linear_forward_exact(const dither_context *context, const dither_linear *linear, size_t tokens,
                                 const float *x, float *y)
{
    product_forward(context, linear, tokens, x, linear->w, y);
}

/* ---- backward --------------------------------------------------------------------------------------------- */

/* Whether scales of `quantizer` on the reduction axis go into dy, in `role`, before that is quantized. */
static bool folds(const call *c, bool shared_codes, const dither_quantizer *quantizer, dither_role role)
{
    return shared_codes && !c->scheme->same_grad && quantizer->shape == DITHER_SCALE_ROW &&
           !is_plain(&c->scheme->role[role]);
}

/* dx = Q(dy) Q(W). @param shared  the operand of dy under same_grad, else NULL */
static dither_status gradient_of_x(const call *c, const matrix *dy, const float *shared, float *dx)
{
    const dither_linear *linear = c->linear;
    const dither_codes *codes = c->scheme->same_weight ? &linear->weight : &linear->bweight;
    const bool folded = folds(c, c->scheme->same_weight, &codes->quantizer, DITHER_ROLE_GOACT);
    matrix gradient = *dy;
    gradient.col_factor = folded ? row_scales(c, codes) : NULL;
    const float *g = shared;
    if (!c->scheme->same_grad) {
        const dither_status status = operand(c, DITHER_ROLE_GOACT, &gradient, &g);
        if (status != DITHER_OK) {
            return status;
        }
    }
    const float *w = weight_operand(c, codes, folded);
    if (!c->context->dry) {
        dither_gemm_f32(DITHER_GEMM_NN, dy->rows, linear->in, linear->out, g, w, dx, false, c->context->threads);
    }
    return DITHER_OK;
}

/* dw += Q(dy)^T Q(x) */
static dither_status gradient_of_w(const call *c, const matrix *dy, const float *shared, const dither_codes *saved,
                                   float *dw)
{
    const dither_linear *linear = c->linear;
    assert(saved->rows == rows_of(c->scheme, saved_role(c->scheme), dy->rows));
    const bool folded = folds(c, c->scheme->same_input, &saved->quantizer, DITHER_ROLE_GOWEIGHT);
    matrix gradient = *dy;
    gradient.row_factor = folded ? row_scales(c, saved) : NULL;
    const float *g = shared;
    if (!c->scheme->same_grad) {
        const dither_status status = operand(c, DITHER_ROLE_GOWEIGHT, &gradient, &g);
        if (status != DITHER_OK) {
            return status;
        }
    }
    const float *x = decoded(c, saved, folded);
    if (!c->context->dry) {
        dither_gemm_f32(DITHER_GEMM_TN, linear->out, linear->in, saved->rows, g, x, dw, true, c->context->threads);
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

dither_status dither_linear_backward(const dither_context *context, const dither_linear *linear, size_t tokens,
                                     size_t row0, const dither_codes *saved, const float *dy, float *dx, float *dw,
                                     float *db)
{
    const call c = make_call(context, linear, row0);
    const matrix gradient = {.x = dy, .rows = tokens, .cols = linear->out};
    const size_t mark = dither_arena_mark(context->scratch);
    const float *shared = NULL;
    dither_status status = DITHER_OK;
    if (linear->scheme->same_grad) {
        status = operand(&c, DITHER_ROLE_GOACT, &gradient, &shared);
    }
    const size_t between = dither_arena_mark(context->scratch);
    /* A dry run's pointers say nothing about what the real one will want: it counts everything. */
    if (status == DITHER_OK && (dx != NULL || context->dry)) {
        status = gradient_of_x(&c, &gradient, shared, dx);
        dither_arena_rewind(context->scratch, between);
    }
    if (status == DITHER_OK && (dw != NULL || context->dry)) {
        status = gradient_of_w(&c, &gradient, shared, saved, dw);
    }
    if (status == DITHER_OK && db != NULL) {
        gradient_of_bias(&c, &gradient, db);
    }
    dither_arena_rewind(context->scratch, mark);
    return status;
}
