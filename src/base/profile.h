/*
 * Where the time of a step goes: seconds, arithmetic and bytes of every kind of operation.
 *
 *     const int64_t begun = dither_profile_begin(context->profile);
 *     ...
 *     dither_profile_end(context->profile, DITHER_OP_GEMM_Y, begun,
 *                        dither_work_product(DITHER_UNIT_S8, m, n, k, bytes));
 *
 * A NULL profile is off and costs one comparison. Spans do not nest: only leaves are measured, so that all of them
 * together are at most the time of the step. To be called by the thread that runs the step, never inside a loop's body.
 */
#ifndef DITHER_BASE_PROFILE_H
#define DITHER_BASE_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include "dither/speed.h"

typedef enum dither_op {
    DITHER_OP_EMBEDDING,
    DITHER_OP_NORM,
    DITHER_OP_ROPE,
    DITHER_OP_ATTENTION,
    DITHER_OP_ACTIVATION,
    DITHER_OP_ADD,      /* of the residual stream, of biases */
    DITHER_OP_QUANTIZE, /* f32 into packed operands or into codes */
    DITHER_OP_SAVE,     /* activations into what is kept for backward, and out of it */
    DITHER_OP_GEMM_Y,
    DITHER_OP_GEMM_DX,
    DITHER_OP_GEMM_DW,
    DITHER_OP_CROSS_ENTROPY,
    DITHER_OP_ZERO, /* of gradients */
    DITHER_OP_GRAD_NORM,
    DITHER_OP_ADAMW,
    DITHER_OP_SGD,
    DITHER_OP_WEIGHT_CODES, /* weights into the next step's packed operands */
    DITHER_OPS
} dither_op;

/* Which arithmetic a product runs on, and so which peak it is measured against. */
typedef enum dither_unit { DITHER_UNIT_F32, DITHER_UNIT_BF16, DITHER_UNIT_S8, DITHER_UNITS } dither_unit;

/* The head's operations are rows of their own: "head_gemm_y". */
typedef enum dither_place { DITHER_PLACE_LAYERS, DITHER_PLACE_HEAD, DITHER_PLACES } dither_place;

typedef enum dither_phase {
    DITHER_PHASE_NONE,
    DITHER_PHASE_FORWARD,
    DITHER_PHASE_BACKWARD,
    DITHER_PHASE_OPTIMIZER, /* gradient norm, update, weight codes */
    DITHER_PHASES
} dither_phase;

typedef struct dither_profile_row {
    uint64_t calls;
    int64_t ns;
    double ops[DITHER_UNITS]; /* multiplications and additions */
    double bytes;             /* read and written, each operand once */
} dither_profile_row;

typedef struct dither_profile {
    dither_profile_row row[DITHER_PLACES][DITHER_OPS];
    int64_t phase_ns[DITHER_PHASES];
    dither_place place;
    dither_phase phase;
    int64_t phase_begun;
} dither_profile;

/* What a span did. */
typedef struct dither_work {
    dither_unit unit;
    double ops, bytes;
} dither_work;

static inline dither_work dither_work_product(dither_unit unit, size_t m, size_t n, size_t k, double bytes)
{
    return (dither_work){unit, 2.0 * (double)m * (double)n * (double)k, bytes};
}

/** A pass over memory, its arithmetic not worth counting. */
static inline dither_work dither_work_pass(double bytes)
{
    return (dither_work){DITHER_UNIT_F32, 0, bytes};
}

/** Nanoseconds of the monotonic clock. */
int64_t dither_profile_now(void);

static inline int64_t dither_profile_begin(const dither_profile *profile)
{
    return profile ? dither_profile_now() : 0;
}

void dither_profile_add(dither_profile *profile, dither_op op, int64_t ns, dither_work work);

static inline void dither_profile_end(dither_profile *profile, dither_op op, int64_t begun, dither_work work)
{
    if (profile)
        dither_profile_add(profile, op, dither_profile_now() - begun, work);
}

/** What follows belongs there; back to DITHER_PLACE_LAYERS afterwards. */
static inline void dither_profile_place(dither_profile *profile, dither_place place)
{
    if (profile)
        profile->place = place;
}

void dither_profile_switch(dither_profile *profile, dither_phase phase);

/** The phase that begins now. What is fused goes to and fro: the head switches once a chunk and direction. */
static inline void dither_profile_phase(dither_profile *profile, dither_phase phase)
{
    if (profile && profile->phase != phase)
        dither_profile_switch(profile, phase);
}

/** Name of a row: "gemm_y", "head_gemm_y". */
const char *dither_profile_name(dither_place place, dither_op op);

/**
 * What was measured, as rates and shares, largest first, with a row for the rest.
 * @param peaks    to say what fraction of them each row reached; may be NULL
 * @param seconds  that the steps took
 */
void dither_profile_report(const dither_profile *profile, const dither_peaks *peaks, uint64_t steps, double seconds,
                           dither_speed *speed);

#endif
