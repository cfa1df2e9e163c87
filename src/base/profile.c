#include "base/profile.h"

#include <time.h>

int64_t dither_profile_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void dither_profile_add(dither_profile *profile, dither_op op, int64_t ns, dither_work work)
{
    dither_profile_row *row = &profile->row[profile->place][op];
    row->calls++;
    row->ns += ns;
    row->ops[work.unit] += work.ops;
    row->bytes += work.bytes;
}

void dither_profile_switch(dither_profile *profile, dither_phase phase)
{
    const int64_t now = dither_profile_now();
    profile->phase_ns[profile->phase] += now - profile->phase_begun;
    profile->phase = phase;
    profile->phase_begun = now;
}

const char *dither_profile_name(dither_place place, dither_op op)
{
#define OP(name) {name, "head_" name}
    static const char *const names[DITHER_OPS][DITHER_PLACES] = {
        [DITHER_OP_EMBEDDING] = OP("embedding"),
        [DITHER_OP_NORM] = OP("norm"),
        [DITHER_OP_ROPE] = OP("rope"),
        [DITHER_OP_ATTENTION] = OP("attention"),
        [DITHER_OP_SWIGLU] = OP("swiglu"),
        [DITHER_OP_ADD] = OP("add"),
        [DITHER_OP_QUANTIZE] = OP("quantize"),
        [DITHER_OP_SAVE] = OP("save"),
        [DITHER_OP_GEMM_Y] = OP("gemm_y"),
        [DITHER_OP_GEMM_DX] = OP("gemm_dx"),
        [DITHER_OP_GEMM_DW] = OP("gemm_dw"),
        [DITHER_OP_CROSS_ENTROPY] = {"cross_entropy", "cross_entropy"},
        [DITHER_OP_ZERO] = OP("zero"),
        [DITHER_OP_GRAD_NORM] = OP("grad_norm"),
        [DITHER_OP_ADAMW] = OP("adamw"),
        [DITHER_OP_SGD] = OP("sgd"),
        [DITHER_OP_WEIGHT_CODES] = OP("weight_codes"),
    };
#undef OP
    return names[op][place];
}
