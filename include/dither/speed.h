/**
 * How fast: what the units of this machine can do, and where the time of training steps went.
 */
#ifndef DITHER_SPEED_H
#define DITHER_SPEED_H

#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A rate, by one thread and by all that were asked for. */
typedef struct dither_peak {
    const char *isa; /* whose instructions: "avx512vnni"; NULL for memory */
    double one, all; /* operations or bytes a second */
} dither_peak;

/* What can be reached at most, as dither_bench_peak measures it. */
typedef struct dither_peaks {
    int threads;               /* of `all` */
    dither_peak s8, bf16, f32; /* products out of registers alone; multiplications and additions are counted each */
    dither_peak read, copy;    /* memory far larger than the caches; a copied byte counts twice */
} dither_peaks;

/* One kind of operation over all measured steps. */
typedef struct dither_op_speed {
    const char *name;      /* "gemm_y", "head_gemm_dw", "adamw"; the last row is "other" */
    uint64_t calls;
    double seconds, share; /* share of all seconds */
    double gflops;         /* 1e9 operations a second, whatever their type; 0: not counted */
    double gb_s;           /* 1e9 bytes a second, each operand counted once; 0: not counted */
    double fraction;       /* the seconds that the peaks allow / seconds; above 1 where caches help; 0: not known */
} dither_op_speed;

enum { DITHER_SPEED_OPS = 40 };

typedef struct dither_speed {
    uint64_t steps;
    double seconds;                         /* of all steps */
    double forward_s, backward_s, optimizer_s; /* of all steps */
    dither_op_speed op[DITHER_SPEED_OPS];   /* largest first */
    size_t count;
} dither_speed;

#ifdef __cplusplus
}
#endif
#endif
