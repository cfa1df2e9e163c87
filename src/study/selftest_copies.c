/*
 * The two copies of dy, as a linear layer makes them: with W and x unit matrices dx is dy rounded by goact, and dW its
 * transpose rounded by goweight. Their errors e and e' must be uncorrelated.
 *
 * Given e, the sum of e e' is one of independent terms of mean 0, each of which takes two values |e| D' apart, D' the
 * step of that copy: Hoeffding's bound, P(|sum| >= t) <= 2 exp(-2 t^2 / sum of (e D')^2). Elements are multiples of
 * 2^-8 steps, so that 8 random bits round them without bias. A unit that the quantizers of W and x miss by 2^-24 moves
 * the sum by less than a thousandth of its standard deviation.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dither/cpu.h"
#include "nn/linear.h"
#include "study/limits.h"
#include "study/selftest_run.h"

enum { DIM = 128, TENSOR = 5 };

typedef struct layer {
    dither_linear_plan plan;
    dither_linear linear;
    dither_linear_saved saved;
    dither_arena store, scratch;
    dither_context context;
    float *unit, *y, *dy, *dx, *dw;
} layer;

/* Lays the layer out and runs it; in a dry run only the arenas count. */
static dither_status run_layer(layer *l)
{
    float **const parts[] = {&l->unit, &l->y, &l->dy, &l->dx, &l->dw};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        *parts[i] = dither_arena_take(&l->store, (size_t)DIM * DIM, sizeof(float));
    void *weights = dither_arena_take(&l->store, dither_linear_weight_bytes(&l->plan, DIM, DIM), 1);
    void *kept = dither_arena_take(&l->store, dither_linear_saved_bytes(&l->plan, DIM, DIM), 1);
    dither_status status = dither_linear_init(&l->linear, &l->plan, DIM, DIM, TENSOR, l->unit, NULL, weights);
    if (status == DITHER_OK)
        status = dither_linear_saved_init(&l->saved, &l->plan, DIM, DIM, kept);
    if (status == DITHER_OK && !l->context.dry)
        for (size_t i = 0; i < (size_t)DIM * DIM; i++) {
            /* Largest in every row and column: 127 on the diagonal. Elsewhere up to 126 and a multiple of 2^-8. */
            const uint32_t place = (uint32_t)(i * 2654435761u + l->context.seed * 40503u) >> 8;
            const double steps = (double)(place % (126 * 256)) / 256.0;
            l->unit[i] = i % (DIM + 1) == 0 ? 1.0f : 0.0f;
            l->dy[i] = i % (DIM + 1) == 0 ? 127.0f : (float)(place >> 20 & 1 ? -steps : steps);
        }
    if (status == DITHER_OK)
        status = dither_linear_refresh(&l->context, &l->linear);
    if (status == DITHER_OK)
        status = dither_linear_forward(&l->context, &l->linear, DIM, 0, l->unit, l->y, &l->saved);
    if (status == DITHER_OK)
        status = dither_linear_backward(&l->context, &l->linear, DIM, 0, &l->saved, l->dy, l->dx, l->dw, NULL);
    return status;
}

/* The largest step of a format whose largest value stands for 127. */
static double step_of(const dither_format *format)
{
    return format->kind == DITHER_KIND_FLOAT ? ldexp(127.0 / format->max, ilogb(format->max) - format->mantissa_bits)
                                             : 127.0 / format->max;
}

static double correlation_score(const layer *l)
{
    const double step = step_of(&l->plan.scheme.role[DITHER_ROLE_GOWEIGHT].format) * (1.0 + 0x1p-10);
    double sum = 0.0, squares = 0.0;
    for (size_t t = 0; t < DIM; t++)
        for (size_t o = 0; o < DIM; o++) {
            const double dy = (double)l->dy[t * DIM + o];
            const double e = (double)l->dx[t * DIM + o] - dy, other = (double)l->dw[o * DIM + t] - dy;
            sum += e * other;
            squares += e * e * step * step;
        }
    return squares > 0.0 ? 2.0 * fabs(sum) / sqrt(squares) : dither_limit() * 2.0; /* nothing was rounded at all */
}

static dither_status layer_score(const dither_selftest_run *run, const dither_scheme *scheme, uint32_t step,
                                 double *score)
{
    layer l = {.plan = dither_linear_plan_make(scheme, dither_cpu_active()->features),
               .store = dither_arena_dry(),
               .scratch = dither_arena_dry()};
    l.context = (dither_context){.scratch = &l.scratch, .threads = run->options.threads, .dry = true};
    dither_status status = run_layer(&l);
    const size_t store = l.store.peak, scratch = dither_align_up(l.scratch.peak + DITHER_ALIGN);
    if (status == DITHER_OK)
        status = dither_arena_open(&l.store, store);
    if (status != DITHER_OK)
        return status;
    status = dither_arena_open(&l.scratch, scratch);
    if (status == DITHER_OK) {
        l.context = (dither_context){.scratch = &l.scratch,
                                     .seed = run->options.seed,
                                     .step = step,
                                     .threads = run->options.threads,
                                     .fresh = true};
        status = run_layer(&l);
        *score = correlation_score(&l);
        dither_arena_close(&l.scratch);
    }
    dither_arena_close(&l.store);
    return status;
}

dither_status dither_selftest_copies(dither_selftest_run *run)
{
    static const char *const schemes[] = {"int8", "paper-int8", "paper-e4m3"};
    enum { STEPS = 4 };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        dither_scheme scheme;
        dither_status status = dither_scheme_parse(schemes[i], &scheme, NULL);
        dither_selftest_tally tally = {0};
        for (uint32_t step = 0; step < STEPS && status == DITHER_OK; step++) {
            double score = 0.0;
            status = layer_score(run, &scheme, step, &score);
            dither_tally_score(&tally, score);
        }
        if (status != DITHER_OK)
            return status;
        char name[64];
        snprintf(name, sizeof name, "copies %s", schemes[i]);
        dither_selftest_say(run, name, "errors of the two dy of a layer's backward are uncorrelated",
                            &tally);
    }
    return DITHER_OK;
}
