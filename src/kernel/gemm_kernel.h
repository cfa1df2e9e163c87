/*
 * What a microkernel of the low-bit products is. One kernel multiplies panels that were packed for it into one tile of
 * C; everything around it (packing, blocking, threads, edges, output formats) is common code (operand.h, gemm.h).
 *
 * A kernel lives in gemm_<element>_<isa>.c, and the table in gemm_table.c names all of them, fastest first.
 */
#ifndef DITHER_KERNEL_GEMM_KERNEL_H
#define DITHER_KERNEL_GEMM_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/cpu.h"

typedef enum dither_element {
    DITHER_ELEMENT_S8,  /* s8 x s8 -> s32, exact; codes are within +-127 */
    DITHER_ELEMENT_BF16 /* bf16 x bf16 -> f32 */
} dither_element;

/*
 * Where element (row, k) of a packed operand lies, in elements: panels of `panel` rows, in a panel units of `unit` k's,
 * in a unit row after row:
 *
 *     (row / panel) * panel * padded_k + (k / unit) * panel * unit + (row % panel) * unit + k % unit
 */
typedef struct dither_packing {
    size_t panel, unit;
    uint8_t flip; /* s8: every byte is stored xor flip; 0x80 makes code + 128 of a code, for units that want unsigned */
} dither_packing;

/*
 * One tile: c[i][j] over i < kernel->m, j < kernel->n, always whole (edges go through a tile of scratch).
 *
 *     s32   c[i][j] = (accumulate ? c[i][j] : 0) + sum_k a[i][k] b[j][k]
 *     f32   c[i][j] = (accumulate ? c[i][j] : 0) + (float)(sum_k a[i][k] b[j][k]) * (a_scale[i] * b_scale[j])
 *
 * In f32, without accumulate the product is stored as it is; products and sum round one by one (no fused multiply-add),
 * so that the integer kernels agree to the bit.
 */
typedef struct dither_tile {
    size_t k;             /* a multiple of kernel->k_step, > 0 */
    const void *a, *b;    /* panels of A and B, at the first k */
    const int32_t *sums;  /* [n] of B's panel over these k's, made by kernel->sum; NULL where kernel->sums is false */
    const float *a_scale; /* [m]; read in f32 only */
    const float *b_scale; /* [n] */
    void *c;              /* f32 or s32; no alignment */
    size_t stride;        /* elements from a row of C to the next */
    bool accumulate;
} dither_tile;

typedef struct dither_gemm_kernel {
    const char *isa;        /* as files are named: "avx512vnni" */
    uint32_t needs;         /* DITHER_CPU_* */
    dither_element element;
    size_t m, n;            /* of a tile; at most DITHER_TILE_M, DITHER_TILE_N */
    size_t k_step;          /* k of a tile is a multiple of it, and of both units */
    dither_packing a, b;    /* a.panel == m, b.panel == n */
    bool sums;              /* s8: wants `sums` (units whose A is unsigned, or the like) */
    void (*f32)(const dither_tile *tile);
    void (*s32)(const dither_tile *tile); /* s8 only; else NULL */
    /* With `sums`: sums[j] of one panel of B, a sum over k of what the kernel wants of b[j][k]; else NULL */
    void (*sum)(size_t k, const void *b, int32_t *sums);
} dither_gemm_kernel;

enum {
    DITHER_TILE_M = 32,
    DITHER_TILE_N = 64,
    DITHER_K_STEP = 64,          /* every k_step divides it */
    DITHER_S8_K_MAX = 133 * 1000 /* 127 * 127 * k stays below 2^31 */
};

/**
 * The first kernel of the table that runs on a processor with these features and whose k_step divides `group`.
 * The last one of each element is portable C with k_step 1: there always is one.
 */
const dither_gemm_kernel *dither_gemm_select(dither_element element, uint32_t features, size_t group);

/** All kernels this program was built with, fastest first. NULL past the end. */
const dither_gemm_kernel *dither_gemm_kernel_at(size_t index);

#endif
