/*
 * The quantized linear layer: Algorithms 1 and 2 of Liu et al. 2025 (arXiv 2511.00874).
 *
 *     forward    y  = Qact(x) Qweight(W)^T + bias          keeps Qbact(x)
 *     backward   dx = Qgoact(dy) Qbweight(W)
 *                dW = Qgoweight(dy)^T Qbact(x)
 *                db = sum over tokens of dy                 dy not quantized
 *
 * W is quantized once an optimizer step (dither_linear_refresh) and the codes serve every token, and under same_weight
 * both passes. dy is quantized twice with independent draws, unless same_grad.
 *
 * Scales that would lie on a product's reduction axis are folded into the other operand before that is quantized:
 *     same_weight and weight FORMAT/row:  goact quantizes dy[t][o] * s_W[o], and dx takes W's codes without scales
 *     same_input  and act    FORMAT/row:  goweight quantizes dy[t][o] * s_x[t], and dW takes x's codes without scales
 * so that each product needs no scale inside its sum. Under same_grad nothing is folded: one set of codes serves both.
 * Into a role that is f32 nothing is folded either: its data enter the product as they are.
 *
 * With scheme->rht = N, bact and goweight quantize H D x and H D dy, the same signs D for both (src/quant/hadamard.h).
 *
 * A product whose two operands fit a low-bit unit without loss runs there on packed codes (linear_packed.h); every
 * other one runs in f32 on dequantized codes (linear.c), which is also the definition that the packed path agrees with.
 */
#ifndef DITHER_NN_LINEAR_H
#define DITHER_NN_LINEAR_H

#include "dither/tensor.h"
#include "kernel/operand.h"
#include "nn/context.h"
#include "quant/stored_rows.h"

/* How one of the three products is computed. */
typedef struct dither_linear_product {
    const dither_gemm_kernel *kernel; /* NULL: in f32 on dequantized codes */
    size_t a_group, b_group;          /* of its packed operands */
} dither_linear_product;

/* A scheme, and how the products of every layer under it are computed. */
typedef struct dither_linear_plan {
    dither_scheme scheme;
    dither_linear_product y, dx, dw;
    bool packs_late; /* backward packs W for dx when it comes to it, from w: no operand of dx outlives its product */
    bool forward_only; /* no codes of W are kept for dx */
} dither_linear_plan;

/** Each product on the fastest unit that carries its operands exactly; features: dither_cpu's. */
dither_linear_plan dither_linear_plan_make(const dither_scheme *scheme, uint32_t features);

/**
 * Whether to pack W for dx late: where one set of codes serves both passes and dx's operand has 16 bits an element, a
 * second pass over w costs less than keeping the operand. Not for a layer whose backward comes in many parts.
 */
bool dither_linear_plan_late(const dither_linear_plan *plan);

/** Every product in f32 on dequantized codes: the definition. */
dither_linear_plan dither_linear_plan_reference(const dither_scheme *scheme);

/** Of a model that will only compute y. */
void dither_linear_plan_forward_only(dither_linear_plan *plan);

typedef struct dither_linear {
    size_t in, out;
    uint32_t tensor; /* the address of its randomness; unique in a model */
    const dither_linear_plan *plan;
    const float *w;    /* [out][in] master weights; NULL: parts */
    const dither_stored *parts; /* W as a file has it, in matrices that follow one another; for forward alone */
    size_t part_count;
    const float *bias; /* [out] or NULL */
    /* W of this step. Codes, [out][in], for products in f32; packed == NULL where the role is f32 (w itself is used) or
     * no such product wants them. Operands for packed products. */
    dither_codes weight, bweight;
    dither_operand weight_y, weight_dx;
} dither_linear;

/* What forward keeps of x for dW: its packed operand, or its codes where dW is computed in f32. */
typedef struct dither_linear_saved {
    dither_operand operand;
    float *row_scale; /* [tokens] scales of x that are folded into dy; NULL: none, or the codes have them */
    dither_codes codes;
} dither_linear_saved;

/** Bytes of W's codes and operands that a step keeps; 0 for f32. */
size_t dither_linear_weight_bytes(const dither_linear_plan *plan, size_t in, size_t out);

/** @param memory  dither_linear_weight_bytes() bytes, 64-byte aligned; NULL in a dry run or where they are 0 */
DITHER_MUST_USE dither_status dither_linear_init(dither_linear *linear, const dither_linear_plan *plan, size_t in,
                                                 size_t out, uint32_t tensor, const float *w, const float *bias,
                                                 void *memory);

/** W stays where a file has it. @param parts  [count], `out` rows in all of `in` values; must outlive the layer */
void dither_linear_stored(dither_linear *linear, const dither_stored *parts, size_t count);

/**
 * Quantize W for this step; the draws do not depend on the micro-batch.
 * @return DITHER_OK | DITHER_E_NUMERIC (W holds NaN or Inf)
 */
DITHER_MUST_USE dither_status dither_linear_refresh(const dither_context *context, dither_linear *linear);

/** Bytes of what forward keeps for backward: x under bact (act under same_input), rht padding included. */
size_t dither_linear_saved_bytes(const dither_linear_plan *plan, size_t in, size_t tokens);

/** Lay it out. @param memory  dither_linear_saved_bytes() bytes, 64-byte aligned; NULL in a dry run */
DITHER_MUST_USE dither_status dither_linear_saved_init(dither_linear_saved *saved, const dither_linear_plan *plan,
                                                       size_t in, size_t tokens, void *memory);

/**
 * @param row0   number of x's first row in the whole micro-batch, for addressing draws where it comes in parts; with
 *               rht, parts but the last hold whole blocks, or the padding draws what the next part's rows draw
 * @param x      [tokens][in]
 * @param y      [tokens][out], written
 * @param saved  laid out for [tokens][in]; NULL where no backward follows
 * @return DITHER_OK | DITHER_E_NUMERIC
 */
DITHER_MUST_USE dither_status dither_linear_forward(const dither_context *context, const dither_linear *linear,
                                                    size_t tokens, size_t row0, const float *x, float *y,
                                                    dither_linear_saved *saved);

/**
 * What dither_linear_forward keeps of x, without y: for an x that is computed again before backward.
 * @return DITHER_OK | DITHER_E_NUMERIC
 */
DITHER_MUST_USE dither_status dither_linear_keep(const dither_context *context, const dither_linear *linear,
                                                 size_t tokens, size_t row0, const float *x,
                                                 dither_linear_saved *saved);

/** y = x W^T + bias in f32 with the master or stored weights: evaluation of what is stored, whatever the scheme. */
void dither_linear_forward_exact(const dither_context *context, const dither_linear *linear, size_t tokens,
                                 const float *x, float *y);

/**
 * @param saved  what forward kept
 * @param dy     [tokens][out]
 * @param dx     [tokens][in], written; NULL: not wanted (a dry run counts what all of them take)
 * @param dw     [out][in], added to, or written where context->fresh; NULL: not wanted
 * @param db     [out], added to; NULL: not wanted
 * @return DITHER_OK | DITHER_E_NUMERIC
 */
DITHER_MUST_USE dither_status dither_linear_backward(const dither_context *context, const dither_linear *linear,
                                                     size_t tokens, size_t row0, const dither_linear_saved *saved,
                                                     const float *dy, float *dx, float *dw, float *db);

#endif
