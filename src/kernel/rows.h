/*
 * Everything that is not a product and not a quantizer, a row at a time: plain C loops (rows_body.h) that are compiled
 * once for every instruction set. Nothing contracts and every sum runs in the same lanes (lanes.h), so all of them give
 * the same bits.
 *
 * Pointers are to different memory unless said otherwise. Layers work row by row: several of these on one row, which
 * stays in the first cache, cost one pass over memory.
 */
#ifndef DITHER_KERNEL_ROWS_H
#define DITHER_KERNEL_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* An update of AdamW in f32; optim/optimizer.h has the formula. */
typedef struct dither_rows_adamw {
    float scale;                      /* of the gradient */
    float beta1, rest1, beta2, rest2; /* rest = 1 - beta */
    float decay;                      /* factor of w: 1 - lr * weight_decay */
    float rate;                       /* lr / (1 - beta1^t) */
    float correction;                 /* 1 / (1 - beta2^t) */
    float eps;
} dither_rows_adamw;

typedef struct dither_rows_sgd {
    float scale, lr, momentum, decay;
} dither_rows_sgd;

typedef struct dither_rows {
    const char *isa; /* as files are named */
    uint32_t needs;  /* DITHER_CPU_* */

    /*
     * The bf16 value nearest to each x[i], ties to even. What is finite stays finite, as codes do: beyond the largest
     * bf16 value its bits. Inf stays Inf and NaN NaN, so that they show behind.
     */
    void (*to_bf16)(size_t n, const float *x, uint16_t *y);
    void (*from_bf16)(size_t n, const uint16_t *x, float *y);

    void (*add)(size_t n, float *x, const float *y); /* x += y */
    void (*scale)(size_t n, float factor, float *x); /* x *= factor */
    float (*absmax)(size_t n, const float *x);       /* largest |x[i]|; NaN above all */
    double (*square_sum)(size_t n, const float *x);  /* sum of x[i]^2, in 16 lanes of double */
    void (*columns)(size_t rows, size_t cols, size_t stride, const float *x, double *sum); /* sum[j] += x[i][j] */

    /* RMSNorm: y = x / sqrt(mean(x^2) + eps) * w; y may be x */
    void (*norm)(size_t dim, float eps, const float *x, const float *w, float *y);
    /* dx += its gradient, dw += the row's part of w's */
    void (*norm_back)(size_t dim, float eps, const float *x, const float *w, const float *dy, float *dx, float *dw);
    void (*norm_back_bf16)(size_t dim, float eps, const uint16_t *x, const float *w, const float *dy, float *dx,
                           float *dw);

    /* LayerNorm: y = (x - mean) / sqrt(mean((x - mean)^2) + eps) * w + b; y may be x */
    void (*layer_norm)(size_t dim, float eps, const float *x, const float *w, const float *b, float *y);
    /* dx += its gradient, dw and db += the row's part of theirs */
    void (*layer_norm_back)(size_t dim, float eps, const float *x, const float *w, const float *dy, float *dx,
                            float *dw, float *db);
    void (*layer_norm_back_bf16)(size_t dim, float eps, const uint16_t *x, const float *w, const float *dy, float *dx,
                                 float *dw, float *db);

    /* gu: g and u, [ffn] each. a = g / (1 + exp(-g)) * u */
    void (*swiglu)(size_t ffn, const float *gu, float *a);
    void (*swiglu_back)(size_t ffn, const float *gu, const float *da, float *dgu);
    void (*swiglu_back_bf16)(size_t ffn, const uint16_t *gu, const float *da, float *dgu);

    /* The same with gelu in the place of silu; and alone: a = gelu(u). nn/activation.h has the formula. */
    void (*geglu)(size_t ffn, const float *gu, float *a);
    void (*geglu_back)(size_t ffn, const float *gu, const float *da, float *dgu);
    void (*geglu_back_bf16)(size_t ffn, const uint16_t *gu, const float *da, float *dgu);
    void (*gelu)(size_t ffn, const float *u, float *a);
    void (*gelu_back)(size_t ffn, const float *u, const float *da, float *du);
    void (*gelu_back_bf16)(size_t ffn, const uint16_t *u, const float *da, float *du);

    /* Element i of each head turned with element i + half. table: [half] cosines, [half] sines; sign: 1, or -1: back */
    void (*rope)(size_t heads, size_t half, const float *table, float sign, float *x);

    float (*largest)(size_t n, const float *x); /* -Inf for none; NaN is passed over */
    /* x = exp(x - shift). @return the sum of what was written */
    float (*exp_sum)(size_t n, float shift, float *x);

    void (*adamw)(size_t n, const dither_rows_adamw *rates, float *w, float *m, float *v, const float *g);
    void (*sgd)(size_t n, const dither_rows_sgd *rates, float *w, const float *g);
    void (*sgd_momentum)(size_t n, const dither_rows_sgd *rates, float *w, float *m, const float *g);
} dither_rows;

/** The fastest rows that run on a processor with these features. */
const dither_rows *dither_rows_select(uint32_t features);

/** Those of this processor, as DITHER_CPU lowers it. */
const dither_rows *dither_rows_active(void);

/** All rows this program was built with, fastest first, portable C last. NULL past the end. */
const dither_rows *dither_rows_at(size_t index);

#endif
