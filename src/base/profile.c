#include "base/profile.h"

#include <stdlib.h>
#include <time.h>

_Static_assert(DITHER_PLACES * DITHER_OPS + 1 <= DITHER_SPEED_OPS, "every row has its place");

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
        [DITHER_OP_ACTIVATION] = OP("activation"),
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

/* The seconds that the peaks allow: units one after the other, memory beside them. */
static double bound_of(const dither_profile_row *row, const dither_peaks *peaks)
{
    const double memory = peaks->read.all > peaks->copy.all ? peaks->read.all : peaks->copy.all;
    const double compute = row->ops[DITHER_UNIT_F32] / peaks->f32.all + row->ops[DITHER_UNIT_BF16] / peaks->bf16.all +
                           row->ops[DITHER_UNIT_S8] / peaks->s8.all;
    const double traffic = row->bytes / memory;
    return compute > traffic ? compute : traffic;
}

static int by_seconds(const void *a, const void *b)
{
    const dither_op_speed *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static dither_op_speed speed_of(const dither_profile_row *row, const dither_peaks *peaks, double all)
{
    const double seconds = (double)row->ns / 1e9;
    dither_op_speed speed = {.calls = row->calls, .seconds = seconds, .share = all > 0 ? seconds / all : 0};
    if (seconds > 0) {
        const double ops = row->ops[DITHER_UNIT_F32] + row->ops[DITHER_UNIT_BF16] + row->ops[DITHER_UNIT_S8];
        speed.gflops = ops / 1e9 / seconds;
        speed.gb_s = row->bytes / 1e9 / seconds;
        speed.fraction = peaks ? bound_of(row, peaks) / seconds : 0;
    }
    return speed;
}

void dither_profile_report(const dither_profile *profile, const dither_peaks *peaks, uint64_t steps, double seconds,
                           dither_speed *speed)
{
    double rest = seconds;
    *speed = (dither_speed){
        .steps = steps,
        .seconds = seconds,
        .forward_s = (double)profile->phase_ns[DITHER_PHASE_FORWARD] / 1e9,
        .backward_s = (double)profile->phase_ns[DITHER_PHASE_BACKWARD] / 1e9,
        .optimizer_s = (double)profile->phase_ns[DITHER_PHASE_OPTIMIZER] / 1e9,
    };
    for (int place = 0; place < DITHER_PLACES; place++)
        for (int op = 0; op < DITHER_OPS; op++) {
            const dither_profile_row *row = &profile->row[place][op];
            if (!row->calls)
                continue;
            dither_op_speed *to = &speed->op[speed->count++];
            *to = speed_of(row, peaks, seconds);
            to->name = dither_profile_name((dither_place)place, (dither_op)op);
            rest -= to->seconds;
        }
    qsort(speed->op, speed->count, sizeof speed->op[0], by_seconds);
    rest = rest > 0 ? rest : 0;
    speed->op[speed->count++] =
        (dither_op_speed){.name = "other", .seconds = rest, .share = seconds > 0 ? rest / seconds : 0};
}
