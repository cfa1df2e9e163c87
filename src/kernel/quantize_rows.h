/*
 * The inner loops of quantize_pack.h: maxima, and blocks of rows to codes or bf16 values. One table entry an
 * instruction set; quantize_rows_ref.c is the definition in src/quant, row by row, and does every quantizer.
 */
#ifndef DITHER_KERNEL_QUANTIZE_ROWS_H
#define DITHER_KERNEL_QUANTIZE_ROWS_H

#include "dither/cpu.h"
#include "kernel/codes_pack.h"
#include "kernel/quantize_pack.h"
#include "quant/round.h"
#include "quant/variance.h"

enum {
    DITHER_ROWS_STEP = 64,  /* columns of a block are a multiple of it, and so may be read beyond the matrix */
    DITHER_SHIFT_WHOLE = 31 /* every column has the first scale */
};

/* What to do with a matrix: the same for all of its blocks. */
typedef struct dither_quantize_plan {
    const dither_quantizer *quantizer;
    const dither_draw *draw; /* SR only */
    dither_element element;
    bool inside; /* values are multiplied by what dither_quantize_block calls so */
    int fold;    /* divisors are scales times 2^-fold */
    dither_grid grid;
    dither_value_table values;
} dither_quantize_plan;

/* x' = x row_factor col_factor of a part of a matrix. */
typedef struct dither_quantize_source {
    const float *x; /* [rows][stride] */
    size_t stride, rows, cols;
    const float *row_factor, *col_factor; /* [rows], [cols] or NULL */
    size_t ahead; /* elements from those in use to those that kernels may fetch meanwhile; 0: none */
} dither_quantize_source;

/* A block: column j of row i has the scale scale[i * scale_step + (j >> shift)], and so divisor and inside. */
typedef struct dither_quantize_block {
    const dither_quantize_plan *plan;
    dither_quantize_source source; /* cols <= DITHER_PIECE_COLS, a multiple of DITHER_ROWS_STEP */
    size_t row0, col0;             /* in the matrix: where its draws are; col0 a multiple of DITHER_PIECE_COLS */
    const float *scale, *divisor, *inside;
    size_t scale_step;
    unsigned shift;
    void *values;     /* [rows][DITHER_PIECE_COLS] of int8_t or bf16 bits */
    uint64_t clipped; /* added to */
    bool bad;         /* set where an unscaled value is NaN or Inf */
} dither_quantize_block;

/* What scales come from beside magnitudes; dither_scale_store() says more. */
typedef struct dither_scale_job {
    dither_scale_type type;
    double max;   /* format->max, an f32 */
    float tensor; /* E4M3 */
} dither_scale_job;

typedef struct dither_quantize_rows {
    const char *isa;
    uint32_t needs;
    /* Whether `quantize` does this plan where every scale is within 2^-64 .. 2^64 or stands over zeros alone. */
    bool (*can)(const dither_quantize_plan *plan);
    void (*quantize)(dither_quantize_block *block);
    /* amax[i * step + g] = the larger of itself and the magnitudes (f32 bits) of the columns g width .. of row i */
    void (*amax_rows)(const dither_quantize_source *source, size_t width, uint32_t *amax, size_t step);
    /* amax[j] = the larger of itself and the magnitudes of column j */
    void (*amax_cols)(const dither_quantize_source *source, uint32_t *amax);
    /*
     * scale[i] = the value of the scale of a region whose largest magnitude, finite, has the bits amax[i]; under E4M3
     * inside[i] = that without the scale of the tensor. Returns false where it could not; dither_scale_store can.
     */
    bool (*scales)(const dither_scale_job *job, const uint32_t *amax, size_t count, float *scale, float *inside);
    /* dither_variance_span */
    dither_variance (*variance)(const dither_grid *grid, size_t count, const float *x, const float *scale);
} dither_quantize_rows;

extern const dither_quantize_rows dither_quantize_rows_ref;
#if defined(__x86_64__)
extern const dither_quantize_rows dither_quantize_rows_avx2, dither_quantize_rows_avx512;
#endif

/** The first of the table that runs with these features; the last one, ref, always does. */
const dither_quantize_rows *dither_quantize_rows_select(uint32_t features);

/** dither_quantize_pack() with these rows. */
DITHER_MUST_USE dither_status dither_quantize_pack_with(const dither_quantize_rows *kernels, const float *x,
                                                        size_t rows, size_t cols, const dither_pack_target *targets,
                                                        size_t count, void *scratch, dither_clips *clips, int threads);

/** All of them, fastest first. NULL past the end. */
const dither_quantize_rows *dither_quantize_rows_at(size_t index);

#endif
