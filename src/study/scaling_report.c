/* report.html of the scaling study. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "study/page.h"
#include "study/scaling.h"

enum { SERIES = 12, PLACES = 256 };

static const char *const errors_named[] = {"", "", "backward to nearest", "weights", "activations"};

/* ---- plots --------------------------------------------------------------------------------------------------- */

typedef struct curve {
    char label[48];
    double x[PLACES], value[PLACES], low[PLACES], high[PLACES];
} curve;

typedef struct drawing {
    curve *curves; /* [SERIES] */
    dither_series series[SERIES];
    size_t count;
} drawing;

static void put(curve *c, size_t i, double x, dither_interval y)
{
    c->x[i] = x;
    c->value[i] = y.value;
    c->low[i] = isfinite(y.low) ? y.low : y.value;
    c->high[i] = isfinite(y.high) ? y.high : y.value;
}

static void close_curve(drawing *d, size_t points)
{
    curve *const c = &d->curves[d->count];
    d->series[d->count++] = (dither_series){c->label, points, c->x, c->value, c->low, c->high};
}

static void draw(dither_page *page, const drawing *d, const char *title, const char *x, const char *y, bool log2_x,
                 bool log10_y)
{
    const dither_plot plot = {.title = title, .x_label = x, .y_label = y, .log2_x = log2_x, .log10_y = log10_y,
                              .count = d->count, .series = d->series};
    dither_page_plot(page, &plot);
}

static bool is_error(dither_scaling_kind kind)
{
    return kind != DITHER_SCALING_F32 && kind != DITHER_SCALING_RANDOM;
}

/* Which schemes a plot shows. */
typedef bool (*wanted_fn)(const dither_scaling_scheme *scheme);

/* Variances, or errors, against the batch. */
static void plot_batches(dither_page *page, const dither_scaling *study, drawing *d, const char *title, const char *y,
                         wanted_fn wanted)
{
    d->count = 0;
    for (size_t i = 0; i < study->scheme_count && d->count < SERIES; i++) {
        const dither_scaling_scheme *s = &study->scheme[i];
        if (!wanted(s))
            continue;
        curve *const c = &d->curves[d->count];
        (void)snprintf(c->label, sizeof c->label, "%s%s%s", s->name, is_error(s->kind) ? " " : "",
                       errors_named[s->kind]);
        for (size_t level = 0; level < study->levels; level++) {
            dither_interval square = dither_scaling_mean(study, i, 0, level);
            square.low = square.low > 0 ? square.low : square.value; /* a logarithmic axis has no 0 */
            put(c, level, (double)((size_t)1 << level), square);
        }
        close_curve(d, study->levels);
    }
    draw(page, d, title, "batch (sequences)", y, true, true);
}

typedef dither_interval (*figure_fn)(const dither_scaling *study, size_t scheme, size_t place);

/* A figure of some schemes against the layer: embedding, layers, output. */
static void plot_layers(dither_page *page, const dither_scaling *study, drawing *d, const char *title, const char *y,
                        figure_fn figure, wanted_fn wanted, bool log10_y)
{
    const size_t places = study->places.count < PLACES ? study->places.count : PLACES;
    d->count = 0;
    for (size_t i = 0; i < study->scheme_count && d->count < SERIES; i++) {
        const dither_scaling_scheme *s = &study->scheme[i];
        if (!wanted(s))
            continue;
        curve *const c = &d->curves[d->count];
        (void)snprintf(c->label, sizeof c->label, "%s%s%s", s->name, is_error(s->kind) ? " " : "",
                       errors_named[s->kind]);
        for (size_t place = 1; place < places; place++)
            put(c, place - 1, (double)place - 2, figure(study, i, place));
        close_curve(d, places - 1);
    }
    draw(page, d, title, "layer", y, false, log10_y);
}

static bool is_paper(const dither_scaling_scheme *s)
{
    return s->kind == DITHER_SCALING_RANDOM && s->name[0] == 'p';
}

static bool is_random_int(const dither_scaling_scheme *s)
{
    return s->kind == DITHER_SCALING_RANDOM && s->format[0] == 'i';
}

static bool is_random_float(const dither_scaling_scheme *s)
{
    return s->kind == DITHER_SCALING_RANDOM && s->format[0] == 'e';
}

static bool is_nearest(const dither_scaling_scheme *s)
{
    return s->kind == DITHER_SCALING_NEAREST;
}

static bool is_forward(const dither_scaling_scheme *s)
{
    return s->kind == DITHER_SCALING_WEIGHT || s->kind == DITHER_SCALING_ACT;
}

static dither_interval share(const dither_scaling *study, size_t scheme, size_t place)
{
    const double value = dither_scaling_floor_share(study, scheme, place);
    return (dither_interval){value, value, value};
}

/* Of one sequence, against its own gradient. */
static dither_interval relative_variance(const dither_scaling *study, size_t scheme, size_t place)
{
    const double norm2 = dither_scaling_mean(study, 0, place, 0).value;
    dither_interval v = dither_scaling_mean(study, scheme, place, 0);
    v.low = v.low > 0 ? v.low : v.value; /* a logarithmic axis has no 0 */
    return (dither_interval){v.value / norm2, v.low / norm2, v.high / norm2};
}

static void plot_powers(dither_page *page, const dither_scaling *study, drawing *d)
{
    static const char *const labels[] = {"int8 to int3", "e4m3 to e4m0"};
    const size_t places = study->places.count < PLACES ? study->places.count : PLACES;
    d->count = 0;
    for (size_t f = 0; f < 2; f++) {
        curve *const c = &d->curves[d->count];
        (void)snprintf(c->label, sizeof c->label, "%s", labels[f]);
        for (size_t place = 1; place < places; place++)
            put(c, place - 1, (double)place - 2, dither_scaling_power(study, f == 1, place));
        close_curve(d, places - 1);
    }
    draw(page, d, "Power of the step D in the variance", "layer", "p",
         false, false);
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

static void put_interval(dither_page *page, dither_interval interval)
{
    char text[64];
    dither_interval_print(&interval, text);
    dither_page_cell(page, "%s", text);
}

static void put_whole(dither_page *page, const dither_scaling *study)
{
    dither_page_table(page, "The whole gradient. Slope: of log against log b, each b weighted by its number of "
                            "batches, over repetitions; A / |g|^2 of A + B / b: the jackknife over sequences.");
    dither_page_cell(page, "scheme");
    dither_page_cell(page, "of");
    for (size_t level = 0; level < study->levels; level++)
        dither_page_cell(page, "b = %zu", (size_t)1 << level);
    dither_page_cell(page, "slope");
    dither_page_cell(page, "A / |g|^2");
    dither_page_cell(page, "A / (A + B)");
    for (size_t i = 0; i < study->scheme_count; i++) {
        const dither_scaling_scheme *s = &study->scheme[i];
        dither_page_next_row(page);
        dither_page_cell(page, "%s", s->name);
        dither_page_cell(page, "%s", s->kind == DITHER_SCALING_F32      ? "the gradient"
                                     : s->kind == DITHER_SCALING_RANDOM ? "variance"
                                                                        : errors_named[s->kind]);
        for (size_t level = 0; level < study->levels; level++)
            dither_page_cell(page, "%.3g", dither_scaling_mean(study, i, 0, level).value);
        put_interval(page, dither_scaling_slope(study, i, 0));
        put_interval(page, dither_scaling_floor(study, i, 0));
        dither_page_cell(page, "%.3g", dither_scaling_floor_share(study, i, 0));
    }
    dither_page_table_end(page);
}

/* What each bit by itself does: where the noise of dy grows on its way down through the layers, more than D^2. */
static void put_bits(dither_page *page, const dither_scaling *study)
{
    dither_page_table(page, "By which the variance of one sequence's gradient grows from a format to the next. A "
                            "layer's dy brings the noise of all layers above it: where the first layers grow by more "
                            "than the last, it compounds on its way down.");
    dither_page_cell(page, "from");
    dither_page_cell(page, "to");
    dither_page_cell(page, "whole");
    dither_page_cell(page, "first layer");
    dither_page_cell(page, "last layer");
    const size_t places[] = {0, 2, study->run.config.layers + 1};
    for (size_t i = 0; i + 1 < study->scheme_count; i++) {
        const dither_scaling_scheme *a = &study->scheme[i], *b = a + 1;
        if (!(is_random_int(a) && is_random_int(b)) && !(is_random_float(a) && is_random_float(b)))
            continue;
        dither_page_next_row(page);
        dither_page_cell(page, "%s", a->name);
        dither_page_cell(page, "%s", b->name);
        for (size_t k = 0; k < 3; k++)
            dither_page_cell(page, "x %.3g", dither_scaling_mean(study, i + 1, places[k], 0).value /
                                                 dither_scaling_mean(study, i, places[k], 0).value);
    }
    dither_page_table_end(page);
}

static void put_layers(dither_page *page, const dither_scaling *study)
{
    const size_t scheme = dither_scaling_find(study, DITHER_SCALING_RANDOM, "paper-int8");
    dither_page_table(page, "By layer. Slope: that of paper-int8; p: of variance as D^p; |g|^2 of all sequences; s2: "
                            "sampling variance of one.");
    static const char *const heads[] = {"place",           "|g|^2",   "s2", "slope",
                                        "p, int8 to int3", "x a bit", "p, e4m3 to e4m0"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        dither_page_cell(page, "%s", heads[i]);
    for (size_t place = 0; place < study->places.count; place++) {
        char name[DITHER_GRADIENT_PLACE_NAME];
        dither_gradient_place_name(&study->run.config, place, name);
        const double each = dither_scaling_mean(study, 0, place, 0).value;
        dither_page_next_row(page);
        dither_page_cell(page, "%s", name);
        dither_page_cell(page, "%.3g", dither_scaling_mean(study, 0, place, study->levels - 1).value);
        dither_page_cell(page, "%.3g", each * (1 - dither_scaling_floor_share(study, 0, place)));
        put_interval(page, dither_scaling_slope(study, scheme, place));
        put_interval(page, dither_scaling_power(study, false, place));
        put_interval(page, dither_scaling_bit(study, false, place));
        put_interval(page, dither_scaling_power(study, true, place));
    }
    dither_page_table_end(page);
}

dither_status dither_scaling_report(const dither_scaling *study, const char *path, dither_claims *claims,
                                    dither_error *error)
{
    const dither_study_scaling_options *const o = study->options;
    dither_page page;
    drawing d = {.curves = calloc(SERIES, sizeof *d.curves)};
    if (!d.curves)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory for plots");
    const dither_status status = dither_page_open(
        &page, path, "How the error of quantized gradients goes with batch and bits",
        "At a model's weights, on fixed sequences, each quantized as its own micro-batch: what falls with the batch, "
        "and what stays (Liu et al., arXiv 2511.00874).", error);
    if (status) {
        free(d.curves);
        return status;
    }
    dither_page_claims(&page, claims);
    dither_page_paragraph(&page, "%llu sequences of %llu tokens in batches of b = 1, 2, 4, ..., in their order; %llu "
                          "repetitions of what is random; %zu of %zu elements of the gradient, spread evenly. A "
                          "batch's error is the mean of its sequences'. Intervals are over repetitions of the draws, "
                          "those of A over sequences.", (unsigned long long)o->sequences,
                          (unsigned long long)study->run.options.seq, (unsigned long long)o->seeds,
                          study->sample.count, study->gradient.network.elements);
    dither_page_heading(&page, "Plots");
    plot_batches(&page, study, &d, "Variance of backward stochastic rounding, integers", "variance", is_random_int);
    plot_batches(&page, study, &d, "Variance of backward stochastic rounding, floats", "variance", is_random_float);
    plot_batches(&page, study, &d, "Error of backward rounding to nearest", "|error|^2", is_nearest);
    plot_batches(&page, study, &d, "Error of quantizing the forward pass", "|error|^2", is_forward);
    dither_page_paragraph(&page, "By layer: -1 is the embedding, %zu the output.", study->run.config.layers);
    plot_layers(&page, study, &d, "Variance of one sequence's gradient, integers", "variance / |g|^2",
                relative_variance, is_random_int, true);
    plot_layers(&page, study, &d, "Variance of one sequence's gradient, floats", "variance / |g|^2",
                relative_variance, is_random_float, true);
    plot_layers(&page, study, &d, "Slope of log variance against log b", "slope", dither_scaling_slope, is_paper,
                false);
    plot_powers(&page, study, &d);
    plot_layers(&page, study, &d, "What of an error no batch averages out: to nearest", "A / (A + B)", share,
                is_nearest, false);
    plot_layers(&page, study, &d, "What of an error no batch averages out: forward", "A / (A + B)", share, is_forward,
                false);
    dither_page_heading(&page, "Measured");
    put_whole(&page, study);
    put_bits(&page, study);
    put_layers(&page, study);
    double seconds = 0;
    for (size_t i = 0; i < study->count; i++)
        seconds += study->cell[i].seconds;
    dither_page_origin(&page, &o->origin, "Draws of repetition r: numbers 2 r and 2 r + 1 under seed 1.",
                       study->run.threads, seconds);
    claims->plotted = page.plotted;
    free(d.curves);
    return dither_page_commit(&page);
}
