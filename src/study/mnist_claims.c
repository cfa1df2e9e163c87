/* What the recorded values say: means, fitted powers, claims. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "study/fit.h"
#include "study/mnist.h"
#include "study/page.h"
#include "study/running_mean.h"

double dither_mnist_value(const dither_mnist *study, size_t cell, dither_mnist_kind kind, size_t layer)
{
    if (cell >= study->count)
        return (double)NAN;
    const size_t layers = study->net[study->meaning[cell].net].layers;
    const double *const value = study->cell[cell].value + (size_t)kind * layers;
    if (layer != DITHER_MNIST_ALL_LAYERS)
        return value[layer];
    double sum = 0;
    for (size_t l = 0; l < layers; l++)
        sum += value[l] * value[l];
    return sqrt(sum);
}

double dither_mnist_loss(const dither_mnist *study, size_t cell)
{
    return study->cell[cell].value[DITHER_MNIST_KINDS * study->net[study->meaning[cell].net].layers];
}

size_t dither_mnist_find(const dither_mnist *study, size_t net, int step_log2, uint64_t batch, uint32_t seed)
{
    for (size_t i = 0; i < study->count; i++) {
        const dither_mnist_cell *const run = &study->meaning[i];
        if (run->net == net && run->step_log2 == step_log2 && run->batch == batch && run->seed == seed)
            return i;
    }
    return study->count;
}

dither_interval dither_mnist_mean(const dither_mnist *study, size_t net, int step_log2, uint64_t batch,
                                  dither_mnist_kind kind, size_t layer)
{
    dither_running_mean mean = {0};
    for (uint32_t seed = 1; seed <= study->options->seeds; seed++) {
        const double value =
            dither_mnist_value(study, dither_mnist_find(study, net, step_log2, batch, seed), kind, layer);
        if (isfinite(value))
            dither_running_mean_add(&mean, value);
    }
    return dither_running_mean_interval(&mean);
}

dither_interval dither_mnist_ratio(const dither_mnist *study, size_t net, int step_log2, uint64_t batch)
{
    dither_running_mean mean = {0};
    for (uint32_t seed = 1; seed <= study->options->seeds; seed++) {
        const size_t rounded = dither_mnist_find(study, net, step_log2, batch, seed);
        const size_t f32 = dither_mnist_find(study, net, 0, study->options->samples, seed);
        const double ratio = dither_mnist_value(study, rounded, DITHER_MNIST_NORM, DITHER_MNIST_ALL_LAYERS) /
                             dither_mnist_value(study, f32, DITHER_MNIST_NORM, DITHER_MNIST_ALL_LAYERS);
        if (isfinite(ratio))
            dither_running_mean_add(&mean, ratio);
    }
    return dither_running_mean_interval(&mean);
}

dither_mnist_powers dither_mnist_fit(const dither_mnist *study, size_t net, dither_mnist_kind kind, size_t layer)
{
    enum { SEEDS = DITHER_MNIST_SEEDS, POINTS = DITHER_MNIST_FINEST * DITHER_MNIST_BATCHES };
    dither_fit fits[SEEDS] = {{0}};
    size_t count = 0;
    for (uint32_t seed = 1; seed <= study->options->seeds && count < SEEDS; seed++) {
        double step[POINTS], batch[POINTS], value[POINTS];
        size_t n = 0;
        for (size_t i = 0; i < study->count; i++) {
            const dither_mnist_cell *const run = &study->meaning[i];
            if (run->net != net || run->seed != seed || !run->step_log2)
                continue;
            step[n] = run->step_log2;
            batch[n] = log2((double)run->batch);
            value[n++] = dither_mnist_value(study, i, kind, layer);
        }
        count += dither_fit_powers(n, step, batch, value, &fits[count]);
    }
    return (dither_mnist_powers){dither_fit_p(fits, count), dither_fit_r(fits, count),
                                 count ? dither_fit_trade(fits, count) : (dither_interval){NAN, NAN, NAN}};
}

/* ---- claims -------------------------------------------------------------------------------------------------- */

static bool has_interval(const dither_interval *i)
{
    return isfinite(i->low) && isfinite(i->high);
}

/* Whether the power has this sign. @param wanted  1: above 0; -1: below */
static const char *sign_verdict(const dither_interval *power, int wanted)
{
    if (!has_interval(power))
        return "no interval: take more seeds";
    const double low = wanted > 0 ? power->low : -power->high, high = wanted > 0 ? power->high : -power->low;
    return low > 0 ? "holds" : high < 0 ? "the opposite" : "not seen: the interval holds 0";
}

static void value_verdict(const dither_interval *power, double wanted, char *text, size_t size)
{
    const bool inside = power->low <= wanted && wanted <= power->high;
    if (!has_interval(power))
        (void)snprintf(text, size, "no interval: take more seeds");
    else if (inside)
        (void)snprintf(text, size, "holds");
    else
        (void)snprintf(text, size, "departs: %s in size", fabs(power->value) < fabs(wanted) ? "smaller" : "larger");
}

static void trade_verdict(const dither_interval *factor, char *text, size_t size)
{
    if (!has_interval(factor))
        (void)snprintf(text, size, "no interval: take more seeds");
    else
        (void)snprintf(text, size, "%s", factor->high <= 4 ? "holds" : factor->low <= 4 ? "holds within its interval"
                                                                                       : "fails: more than 4");
}

static dither_claim *next(dither_claims *claims)
{
    return &claims->claim[claims->count++];
}

static void claim_net(const dither_mnist *study, size_t net, dither_claims *claims)
{
    char text[64], coarsest[64];
    const char *const name = study->net[net].text;
    const dither_interval ratio = dither_mnist_ratio(study, net, -1, study->options->batches[0]);
    const dither_mnist_powers norm = dither_mnist_fit(study, net, DITHER_MNIST_NORM, DITHER_MNIST_ALL_LAYERS);
    const dither_mnist_powers noise = dither_mnist_fit(study, net, DITHER_MNIST_NOISE, DITHER_MNIST_ALL_LAYERS);

    dither_claim *claim = next(claims);
    (void)snprintf(claim->claim, sizeof claim->claim, "%s: a larger batch pays for rounding: the SR noise of the "
                                                      "gradient falls as batch^r", name);
    (void)snprintf(claim->paper, sizeof claim->paper, "r = -1/2 (variance as 1/batch)");
    dither_interval_print(&noise.r, text);
    (void)snprintf(claim->measured, sizeof claim->measured, "r = %s", text);
    value_verdict(&noise.r, -0.5, claim->verdict, sizeof claim->verdict);

    claim = next(claims);
    (void)snprintf(claim->claim, sizeof claim->claim, "%s: the SR noise of the gradient grows as D^p with the step D",
                   name);
    (void)snprintf(claim->paper, sizeof claim->paper, "p = 1 (variance as D^2)");
    dither_interval_print(&noise.p, text);
    (void)snprintf(claim->measured, sizeof claim->measured, "p = %s", text);
    value_verdict(&noise.p, 1, claim->verdict, sizeof claim->verdict);

    claim = next(claims);
    (void)snprintf(claim->claim, sizeof claim->claim, "%s: a bit less costs at most four times the batch", name);
    (void)snprintf(claim->paper, sizeof claim->paper, "2^(-p/r) <= 4");
    dither_interval_print(&noise.trade, text);
    (void)snprintf(claim->measured, sizeof claim->measured, "batch x %s", text);
    trade_verdict(&noise.trade, claim->verdict, sizeof claim->verdict);

    claim = next(claims);
    (void)snprintf(claim->claim, sizeof claim->claim, "%s: the final f32 gradient norm grows with D", name);
    (void)snprintf(claim->paper, sizeof claim->paper, "norm ~ D^p, p > 0");
    dither_interval_print(&norm.p, text);
    dither_interval_print(&ratio, coarsest);
    (void)snprintf(claim->measured, sizeof claim->measured, "p = %s; norm / f32 norm at D = 1/2, batch %llu: %s", text,
                   (unsigned long long)study->options->batches[0], coarsest);
    (void)snprintf(claim->verdict, sizeof claim->verdict, "%s", sign_verdict(&norm.p, 1));

    claim = next(claims);
    (void)snprintf(claim->claim, sizeof claim->claim, "%s: the final f32 gradient norm falls with the batch", name);
    (void)snprintf(claim->paper, sizeof claim->paper, "norm ~ batch^r, r < 0");
    dither_interval_print(&norm.r, text);
    (void)snprintf(claim->measured, sizeof claim->measured, "r = %s", text);
    (void)snprintf(claim->verdict, sizeof claim->verdict, "%s", sign_verdict(&norm.r, -1));
}

void dither_mnist_claim(const dither_mnist *study, dither_claims *claims)
{
    *claims = (dither_claims){.plotted = true};
    for (size_t net = 0; net < study->options->net_count; net++)
        claim_net(study, net, claims);
}
