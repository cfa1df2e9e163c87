/* What the two halves of the linear layer share: one call, and what a role means. */
#ifndef DITHER_NN_LINEAR_PARTS_H
#define DITHER_NN_LINEAR_PARTS_H

#include "nn/linear.h"
#include "quant/hadamard.h"
#include "quant/spec.h"

/* One call: what every step is handed. */
typedef struct dither_linear_call {
    const dither_context *context;
    const dither_linear *linear;
    const dither_scheme *scheme;
    uint32_t row0;
} dither_linear_call;

/* Data of a plain role enter products as they are. */
static inline bool dither_role_plain(const dither_scheme *scheme, dither_role role)
{
    const dither_quantizer plain = dither_quantizer_f32();
    return dither_quantizer_equal(&scheme->role[role], &plain);
}

static inline bool dither_role_rotated(const dither_scheme *scheme, dither_role role)
{
    return scheme->rht != 0 && (role == DITHER_ROLE_BACT || role == DITHER_ROLE_GOWEIGHT);
}

/* Rows of the matrix that a role quantizes, the padding of the transform included. */
static inline size_t dither_role_rows(const dither_scheme *scheme, dither_role role, size_t tokens)
{
    return dither_role_rotated(scheme, role) ? dither_hadamard_rows(tokens, scheme->rht) : tokens;
}

/* The axis that the product of a role reduces over. */
static inline dither_axis dither_role_axis(dither_role role)
{
    const bool rows = role == DITHER_ROLE_BACT || role == DITHER_ROLE_BWEIGHT || role == DITHER_ROLE_GOWEIGHT;
    return rows ? DITHER_AXIS_ROWS : DITHER_AXIS_COLS;
}

/* The role whose codes of x backward reads. */
static inline dither_role dither_role_saved(const dither_scheme *scheme)
{
    return scheme->same_input ? DITHER_ROLE_ACT : DITHER_ROLE_BACT;
}

/* The roles of dW's dy and of dx's W. */
static inline dither_role dither_role_dw(const dither_scheme *scheme)
{
    return scheme->same_grad ? DITHER_ROLE_GOACT : DITHER_ROLE_GOWEIGHT;
}

static inline dither_role dither_role_dx(const dither_scheme *scheme)
{
    return scheme->same_weight ? DITHER_ROLE_WEIGHT : DITHER_ROLE_BWEIGHT;
}

/* Whether scales of W on the reduction axis of dx, or of x on that of dW, go into dy before that is quantized. */
static inline bool dither_scheme_folds(const dither_scheme *scheme, bool shared_codes, dither_role codes,
                                       dither_role into)
{
    return shared_codes && !scheme->same_grad && scheme->role[codes].shape == DITHER_SCALE_ROW &&
           !dither_role_plain(scheme, into);
}

static inline bool dither_scheme_folds_weight(const dither_scheme *scheme)
{
    return dither_scheme_folds(scheme, scheme->same_weight, DITHER_ROLE_WEIGHT, DITHER_ROLE_GOACT);
}

static inline bool dither_scheme_folds_input(const dither_scheme *scheme)
{
    return dither_scheme_folds(scheme, scheme->same_input, DITHER_ROLE_ACT, DITHER_ROLE_GOWEIGHT);
}

/* The address of draws in this call. @param field  a dither_role, or DITHER_FIELD_HADAMARD */
dither_draw dither_linear_draw(const dither_linear_call *call, uint32_t field);

/* y = H D x of the call's step and micro-batch, the same D in every role. */
void dither_linear_rotate(const dither_linear_call *call, const float *x, size_t rows, size_t cols, float *y);

/* The row scales of codes as a vector in scratch, to be folded. */
const float *dither_linear_row_scales(const dither_linear_call *call, const dither_codes *codes);

#endif
