/**
 * What this machine can do, and what of it the products, the quantizers and whole training steps reach.
 *
 * Rates are medians over repetitions of about half a second in all, after one that is not counted. Every function
 * respects DITHER_CPU (cpu.h).
 */
#ifndef DITHER_BENCH_H
#define DITHER_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/speed.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Measure the peaks: about a second, and 256 to 512 MiB of memory, twice the last cache.
 * @param threads  0: all cores
 * @return DITHER_OK | DITHER_E_MEMORY | DITHER_E_USAGE (DITHER_CPU names no level)
 */
DITHER_API DITHER_MUST_USE dither_status dither_bench_peak(int threads, dither_peaks *peaks, dither_error *error);

/* ---- products --------------------------------------------------------------------------------------------- */

/* Elements of the operands and of C. */
typedef enum dither_bench_type {
    DITHER_BENCH_S8,
    DITHER_BENCH_BF16,
    DITHER_BENCH_F32,
    DITHER_BENCH_S32
} dither_bench_type;

/* c[m][n], k is reduced. */
typedef enum dither_bench_layout {
    DITHER_BENCH_NT, /* a[m][k], b[n][k]: y  = x W^T  */
    DITHER_BENCH_NN, /* a[m][k], b[k][n]: dx = dy W   */
    DITHER_BENCH_TN  /* a[k][m], b[k][n]: dW = dy^T x */
} dither_bench_layout;

/** Words of the two enums: "s8", "nt". NULL past the end. */
DITHER_API const char *dither_bench_type_name(int type);
DITHER_API const char *dither_bench_layout_name(int layout);

typedef struct dither_bench_gemm_request {
    dither_bench_type types;    /* of both operands: s8, bf16 or f32 */
    dither_bench_type out;      /* s8: s32, f32, bf16; bf16: f32, bf16; f32: f32 */
    dither_bench_layout layout;
    size_t m, n, k;
    int threads;                /* 0: all cores */
    bool verify;
} dither_bench_gemm_request;

typedef struct dither_bench_gemm_result {
    const char *isa;         /* of the kernel; f32 by the BLAS library: "blas" */
    int threads;
    double seconds;          /* of a product, median */
    double gops, best_gops;  /* 1e9 operations a second: median, best */
    double peak_gops, fraction; /* of the unit, with as many threads; gops / peak_gops */
    double pack_s;           /* packing both operands, once; 0 for f32, which is not packed beforehand */
    uint64_t verified;       /* elements of C that were compared: all of a small C, else a sample */
    double error;            /* the largest |c - exact| / (derived bound); s32 is compared exactly */
} dither_bench_gemm_result;

/**
 * Time one product of random operands that were packed beforehand.
 * @return DITHER_OK | DITHER_E_USAGE | DITHER_E_SHAPE | DITHER_E_MEMORY
 *       | DITHER_E_NUMERIC (verify: an element is wrong; error says which, result is filled all the same)
 */
DITHER_API DITHER_MUST_USE dither_status dither_bench_gemm(const dither_bench_gemm_request *request,
                                                           dither_bench_gemm_result *result, dither_error *error);

/* ---- quantizers ------------------------------------------------------------------------------------------- */

typedef struct dither_bench_quantize_request {
    const char *spec[2]; /* for the product along the columns, and along the rows; second NULL: the same quantizer */
    size_t rows, cols;
    int threads;         /* 0: all cores */
} dither_bench_quantize_request;

typedef struct dither_bench_quantize_result {
    const char *element[2]; /* what the codes are packed as: "s8" or "bf16" */
    const char *isa[2];     /* of the kernels that they are packed for */
    int threads;
    double seconds;         /* of a pass, median */
    double gelem_s;         /* 1e9 elements of the matrix a second, each quantized twice */
    double gb_s;            /* 1e9 bytes a second: the matrix read once, both operands written */
    double read_gb_s, fraction; /* this machine's read bandwidth with as many threads; gb_s / read_gb_s */
} dither_bench_quantize_result;

/**
 * Time one pass over an f32 matrix [rows][cols] that quantizes it twice, with independent draws: as the left operand of
 * a product along its columns (dx = dy W) and of one along its rows (dW = dy^T x), packed for both.
 * @return DITHER_OK | DITHER_E_USAGE (a bad spec, or one that no low-bit product takes) | DITHER_E_SHAPE
 *       | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_bench_quantize(const dither_bench_quantize_request *request,
                                                               dither_bench_quantize_result *result,
                                                               dither_error *error);

/* ---- training steps --------------------------------------------------------------------------------------- */

typedef struct dither_bench_step_request {
    const char *new_model; /* as dither_train_options.new_model */
    const char *scheme;
    uint64_t batch, seq;
    uint64_t steps;        /* measured ones; one more comes before them */
    int threads;           /* 0: all cores */
} dither_bench_step_request;

typedef struct dither_bench_step_result {
    uint64_t parameters, tokens; /* tokens of a step */
    int threads;
    double tokens_per_s;         /* median */
    double step_s;               /* median */
    double forward_s, backward_s, optimizer_s; /* of a step, mean */
    double loss;                 /* of the last step, nats a token */
    uint64_t peak_rss_bytes;
    dither_speed speed;
} dither_bench_step_result;

/**
 * Time training steps on random tokens with random weights: the code of dither_train, AdamW, gradient clipping.
 * @return DITHER_OK | DITHER_E_USAGE | DITHER_E_SHAPE | DITHER_E_MEMORY | DITHER_E_NUMERIC
 */
DITHER_API DITHER_MUST_USE dither_status dither_bench_step(const dither_bench_step_request *request,
                                                           dither_bench_step_result *result, dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
