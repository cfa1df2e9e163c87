/**
 * Quantized matrices: packed codes with their scales, and where their randomness comes from.
 */
#ifndef DITHER_TENSOR_H
#define DITHER_TENSOR_H

#include "dither/format.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Where in the random field a matrix lives. Randomness is addressed, never streamed: an element's bits are
 *
 *     philox4x32-10(key = seed; counter = (column block, row0 + row, tensor << 16 | role << 12 | microbatch, step))
 *
 * so they depend on nothing but this address: not on threads, tiles, CPU, or on having resumed. docs/numerics.md gives
 * the lane of a block that an element reads.
 */
typedef struct dither_draw {
    uint64_t seed;
    uint32_t step;
    uint32_t microbatch; /* < 4096 */
    uint32_t tensor;     /* < 65536 */
    uint32_t role;       /* < 16: a dither_role, or one of the fields named in src/base/philox.h */
    uint32_t row0;       /* added to the row: a matrix handed over in parts draws as if it were whole */
} dither_draw;

/* The axis of the stored matrix along which the product that the codes serve reduces. */
typedef enum dither_axis {
    DITHER_AXIS_COLS, /* over columns: x and W in y = x W^T, dy in dx = dy W */
    DITHER_AXIS_ROWS  /* over rows:    x and dy in dW = dy^T x */
} dither_axis;

/* A quantized [rows][cols] matrix in memory that the caller owns. */
typedef struct dither_codes {
    dither_quantizer quantizer;
    dither_axis axis;
    size_t rows, cols;
    size_t row_bytes;     /* packed bytes of a row; rows start on bytes */
    size_t scales;        /* how many scales there are */
    uint8_t *packed;      /* [rows][row_bytes] */
    uint8_t *scale;       /* [scales] of f32 (4 bytes, native order), E8M0 or E4M3 (1 byte) */
    float tensor_scale;   /* second-level scale of DITHER_SCALE_E4M3; else 1 */
} dither_codes;

/** Bytes that codes of this shape take, 64-byte aligned parts. 0 where rows*cols overflows. */
DITHER_API size_t dither_codes_bytes(const dither_quantizer *quantizer, dither_axis axis, size_t rows, size_t cols);

/**
 * Lay codes out on `memory`.
 * @param memory  dither_codes_bytes() bytes, 64-byte aligned; NULL lays out a dry run whose pointers must not be
 * followed
 * @return DITHER_OK | DITHER_E_SHAPE
 */
DITHER_API DITHER_MUST_USE dither_status dither_codes_init(dither_codes *codes, const dither_quantizer *quantizer,
                                                           dither_axis axis, size_t rows, size_t cols, void *memory);

/* What a quantization saw. Added to, never cleared. */
typedef struct dither_clips {
    uint64_t elements;
    uint64_t clipped; /* |x/scale| > format->max: a bias, never hidden */
    /* Under SR, both estimated from one row in 256, which is addressed as draws are. */
    double variance;  /* sum of D^2 f(1-f): what rounding adds to x', f the fraction of a step D */
    double square;    /* sum of x'^2 */
} dither_clips;

/**
 * Quantize a row-major matrix.
 *
 *     s       = max over the scale's elements of |x'| / format->max, rounded up in the scale's type
 *     code    = round(x'[i][j] / s)             the division in f32, the rounding exact
 *     x'[i][j] = x[i][j] * row_factor[i] * col_factor[j]
 *
 * @param codes       laid out for [rows][cols]; written whole
 * @param x           [rows][cols] contiguous; may not overlap codes
 * @param row_factor  [rows] or NULL (all 1): scales folded in
 * @param col_factor  [cols] or NULL
 * @param draw        read only under SR
 * @param clips       added to; may be NULL
 * @param threads     at least 1; the result does not depend on it
 * @return DITHER_OK | DITHER_E_NUMERIC (x' holds NaN or Inf; codes unspecified)
 *
 * An all-zero group has scale 0 and codes 0 (E8M0, which has no zero: scale 2^-127, and a -0 keeps its sign).
 */
DITHER_API DITHER_MUST_USE dither_status dither_quantize(dither_codes *codes, const float *x, const float *row_factor,
                                                         const float *col_factor, const dither_draw *draw,
                                                         dither_clips *clips, int threads);

/** y[i][j] = code * scale, rounded to f32. @param y [rows][cols] */
DITHER_API void dither_dequantize(const dither_codes *codes, float *y, int threads);

/** y[i][j] = code alone, without its scale: for products whose scale was folded into the other operand. */
DITHER_API void dither_codes_values(const dither_codes *codes, float *y, int threads);

/** The scale of element (i, j), in f32. */
DITHER_API float dither_codes_scale(const dither_codes *codes, size_t i, size_t j);

/** The code of element (i, j), in the low bits. */
DITHER_API uint32_t dither_codes_get(const dither_codes *codes, size_t i, size_t j);

#ifdef __cplusplus
}
#endif
#endif
