/* What the cells say: slopes, powers, floors, claims. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "study/page.h"
#include "study/running_mean.h"
#include "study/scaling.h"

static const char *const ints[] = {"paper-int8", "int7", "int6", "int5", "paper-int4", "int3"};
static const char *const floats_named[] = {"paper-e4m3", "e4m2", "paper-e4m1", "e4m0"};
enum { INTS = sizeof ints / sizeof ints[0], FLOATS = sizeof floats_named / sizeof floats_named[0] };

size_t dither_scaling_find(const dither_scaling *study, dither_scaling_kind kind, const char *name)
{
    for (size_t i = 0; i < study->scheme_count; i++)
        if (study->scheme[i].kind == kind && !strcmp(study->scheme[i].name, name))
            return i;
    return study->scheme_count;
}

/* The cell of a repetition. @return count: none */
static size_t cell_of(const dither_scaling *study, size_t scheme, uint32_t seed)
{
    for (size_t i = 0; i < study->count; i++)
        if (study->meaning[i].scheme == scheme && study->meaning[i].seed == seed)
            return i;
    return study->count;
}

static uint32_t seeds_of(const dither_scaling *study, size_t scheme)
{
    return study->scheme[scheme].kind == DITHER_SCALING_RANDOM ? (uint32_t)study->options->seeds : 1;
}

static double value_of(const dither_scaling *study, size_t scheme, uint32_t seed, size_t place, size_t level)
{
    return dither_scaling_figures_of(study, cell_of(study, scheme, seed), place).batches[level];
}

dither_interval dither_scaling_mean(const dither_scaling *study, size_t scheme, size_t place, size_t level)
{
    dither_running_mean mean = {0};
    for (uint32_t seed = 1; seed <= seeds_of(study, scheme); seed++)
        dither_running_mean_add(&mean, value_of(study, scheme, seed, place, level));
    return dither_running_mean_interval(&mean);
}

/* Of the line through log2 y over x. @param weight  of each point; NULL: all alike */
static double slope_of(size_t n, const double *x, const double *y, const double *weight)
{
    double all = 0, mean_x = 0, mean_y = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        const double w = weight ? weight[i] : 1;
        all += w;
        mean_x += w * x[i];
        mean_y += w * log2(y[i]);
    }
    mean_x /= all;
    mean_y /= all;
    for (size_t i = 0; i < n; i++) {
        const double w = weight ? weight[i] : 1;
        xx += w * (x[i] - mean_x) * (x[i] - mean_x);
        xy += w * (x[i] - mean_x) * (log2(y[i]) - mean_y);
    }
    return xy / xx;
}

dither_interval dither_scaling_slope(const dither_scaling *study, size_t scheme, size_t place)
{
    dither_running_mean mean = {0};
    for (uint32_t seed = 1; seed <= seeds_of(study, scheme); seed++) {
        double x[DITHER_SCALING_LEVELS], y[DITHER_SCALING_LEVELS], batches[DITHER_SCALING_LEVELS];
        for (size_t level = 0; level < study->levels; level++) {
            batches[level] = (double)(study->options->sequences >> level); /* that y is the mean of */
            x[level] = (double)level;
            y[level] = value_of(study, scheme, seed, place, level);
        }
        dither_running_mean_add(&mean, slope_of(study->levels, x, y, batches));
    }
    return dither_running_mean_interval(&mean);
}

/* |g|^2 of all sequences together. */
static double norm2_of(const dither_scaling *study, size_t place)
{
    return value_of(study, 0, 1, place, study->levels - 1);
}

dither_interval dither_scaling_floor(const dither_scaling *study, size_t scheme, size_t place)
{
    const dither_scaling_figures f = dither_scaling_figures_of(study, cell_of(study, scheme, 1), place);
    const double norm2 = norm2_of(study, place), half = dither_student_t(study->options->sequences - 1) * f.spread;
    return (dither_interval){f.floor / norm2, (f.floor - half) / norm2, (f.floor + half) / norm2};
}

double dither_scaling_floor_share(const dither_scaling *study, size_t scheme, size_t place)
{
    const dither_scaling_figures f = dither_scaling_figures_of(study, cell_of(study, scheme, 1), place);
    return f.floor / f.batches[0];
}

/* ---- bits ---------------------------------------------------------------------------------------------------- */

double dither_scaling_step(const char *format)
{
    if (!strncmp(format, "int", 3))
        return -log2((double)((1 << (format[3] - '1')) - 1)); /* the largest magnitude / (2^(N-1) - 1) */
    return -(double)(format[3] - '0'); /* eXmY: 2^-Y of the binade */
}

/* The bits of a format, but for a constant of its family. */
static double bits_of(const char *format)
{
    return (double)(format[3] - '0');
}

/* Slope of log2 variance over a function of the format, a repetition at a time. */
static dither_interval family(const dither_scaling *study, bool floats, size_t place, double (*of)(const char *format))
{
    const char *const *const names = floats ? floats_named : ints;
    const size_t count = floats ? FLOATS : INTS;
    dither_running_mean mean = {0};
    for (uint32_t seed = 1; seed <= study->options->seeds; seed++) {
        double x[INTS + FLOATS], y[INTS + FLOATS];
        for (size_t i = 0; i < count; i++) {
            const size_t scheme = dither_scaling_find(study, DITHER_SCALING_RANDOM, names[i]);
            x[i] = of(study->scheme[scheme].format);
            y[i] = value_of(study, scheme, seed, place, 0);
        }
        dither_running_mean_add(&mean, slope_of(count, x, y, NULL));
    }
    return dither_running_mean_interval(&mean);
}

dither_interval dither_scaling_power(const dither_scaling *study, bool floats, size_t place)
{
    return family(study, floats, place, dither_scaling_step);
}

dither_interval dither_scaling_bit(const dither_scaling *study, bool floats, size_t place)
{
    const dither_interval slope = family(study, floats, place, bits_of);
    return (dither_interval){exp2(-slope.value), exp2(-slope.high), exp2(-slope.low)};
}

/* ---- claims -------------------------------------------------------------------------------------------------- */

static bool known(dither_interval i)
{
    return isfinite(i.low) && isfinite(i.high);
}

static dither_claim *next(dither_claims *claims, const char *claim, const char *paper)
{
    dither_claim *const next = &claims->claim[claims->count++];
    (void)snprintf(next->claim, sizeof next->claim, "%s", claim);
    (void)snprintf(next->paper, sizeof next->paper, "%s", paper);
    return next;
}

static void set(dither_claim *claim, const char *what, dither_interval measured, const char *verdict)
{
    char text[64];
    dither_interval_print(&measured, text);
    (void)snprintf(claim->measured, sizeof claim->measured, "%s%s", what, text);
    (void)snprintf(claim->verdict, sizeof claim->verdict, "%s", verdict);
}

static void claim_slope(const dither_scaling *study, const char *name, dither_claims *claims)
{
    char text[160];
    const dither_interval slope =
        dither_scaling_slope(study, dither_scaling_find(study, DITHER_SCALING_RANDOM, name), 0);
    (void)snprintf(text, sizeof text, "%s: the variance of backward stochastic rounding falls as 1/b", name);
    const bool inside = slope.low >= -1.05 && slope.high <= -0.95;
    set(next(claims, text, "slope of log variance against log b: -1"), "slope ", slope,
        !known(slope)                                ? "no interval: take more seeds"
        : inside                                     ? "holds within 0.05"
        : slope.low <= -1 && slope.high >= -1        ? "holds within its interval"
                                                     : "departs");
}

static void claim_bits(const dither_scaling *study, bool floats, dither_claims *claims)
{
    const char *const range = floats ? "e4m3 to e4m0" : "int8 to int3";
    char text[160], what[96], bit[64];
    const dither_interval power = dither_scaling_power(study, floats, 0), factor = dither_scaling_bit(study, floats, 0);
    (void)snprintf(text, sizeof text, "%s: the variance grows as D^p with the step D, four times a bit", range);
    dither_interval_print(&factor, bit);
    (void)snprintf(what, sizeof what, "x %s a bit, p = ", bit);
    set(next(claims, text, "p = 2, x 4 a bit"), what, power,
        !known(power)                         ? "no interval: take more seeds"
        : power.low <= 2 && power.high >= 2   ? "holds"
        : fabs(power.value - 2) < 0.1         ? "holds within 0.1"
        : power.value < 2                     ? "departs: less than D^2"
                                              : "departs: more than D^2");
}

static void claim_floor(const dither_scaling *study, dither_scaling_kind kind, const char *name, const char *what,
                        dither_claims *claims)
{
    char text[160];
    const dither_interval floor = dither_scaling_floor(study, dither_scaling_find(study, kind, name), 0);
    (void)snprintf(text, sizeof text, "%s at %s: an error that no batch averages out", what, name);
    set(next(claims, text, "A > 0 in A + B / b"), "A / |g|^2 = ", floor,
        floor.low > 0 ? "holds" : "not seen: the interval holds 0");
}

void dither_scaling_claim(const dither_scaling *study, dither_claims *claims)
{
    *claims = (dither_claims){.plotted = true};
    static const char *const paper[] = {"paper-int8", "paper-e4m3", "paper-e4m1"};
    for (size_t i = 0; i < 3; i++)
        claim_slope(study, paper[i], claims);
    claim_bits(study, false, claims);
    claim_bits(study, true, claims);
    const dither_interval floor =
        dither_scaling_floor(study, dither_scaling_find(study, DITHER_SCALING_RANDOM, "paper-int8"), 0);
    set(next(claims, "paper-int8: stochastic rounding leaves nothing that a batch does not average out",
             "A = 0 in A + B / b"), "A / |g|^2 = ", floor,
        floor.low <= 0 && floor.high >= 0 ? "holds within its interval" : "departs");
    for (size_t i = 0; i < study->scheme_count; i++) {
        const dither_scaling_scheme *s = &study->scheme[i];
        const char *const what = s->kind == DITHER_SCALING_NEAREST  ? "backward rounding to nearest"
                                 : s->kind == DITHER_SCALING_WEIGHT ? "weight quantization"
                                 : s->kind == DITHER_SCALING_ACT    ? "forward activations"
                                                                    : NULL;
        if (what)
            claim_floor(study, s->kind, s->name, what, claims);
    }
}
