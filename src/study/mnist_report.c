/* report.html: claims, plots, tables. */
#include <math.h>
#include <stdio.h>

#include "base/parallel.h"
#include "study/mnist.h"
#include "study/page.h"

/* Plotted means of one step against the batch. */
typedef struct curve {
    char label[32];
    double batch[DITHER_MNIST_BATCHES], value[DITHER_MNIST_BATCHES], low[DITHER_MNIST_BATCHES],
        high[DITHER_MNIST_BATCHES];
} curve;

static void fill_curve(const dither_mnist *study, size_t net, int step_log2, dither_mnist_kind kind, curve *c)
{
    (void)snprintf(c->label, sizeof c->label, "D = 1/%d", 1 << -step_log2);
    for (size_t b = 0; b < study->options->batch_count; b++) {
        const uint64_t batch = study->options->batches[b];
        const dither_interval mean =
            kind == DITHER_MNIST_NORM
                ? dither_mnist_ratio(study, net, step_log2, batch)
                : dither_mnist_mean(study, net, step_log2, batch, kind, DITHER_MNIST_ALL_LAYERS);
        c->batch[b] = (double)batch;
        c->value[b] = mean.value;
        /* One seed has no interval, and a logarithmic axis has no 0. */
        c->low[b] = isfinite(mean.low) ? fmax(mean.low, mean.value / 10) : mean.value;
        c->high[b] = isfinite(mean.high) ? mean.high : mean.value;
    }
}

static void put_plot(dither_page *page, const dither_mnist *study, size_t net, dither_mnist_kind kind)
{
    static const char *const titles[] = {"final gradient norm", "SR noise of the gradient"};
    static const char *const labels[] = {"norm / that without rounding", "root mean square distance"};
    curve curves[DITHER_MNIST_FINEST];
    dither_series series[DITHER_MNIST_FINEST];
    char title[DITHER_MLP_TEXT + 40];
    for (size_t i = 0; i < DITHER_MNIST_FINEST; i++) {
        curve *const c = &curves[i];
        fill_curve(study, net, -(int)i - 1, kind, c);
        series[i] = (dither_series){c->label, study->options->batch_count, c->batch, c->value, c->low, c->high};
    }
    (void)snprintf(title, sizeof title, "%s: %s", study->net[net].text, titles[kind]);
    const dither_plot plot = {.title = title, .x_label = "batch (samples)", .y_label = labels[kind], .log2_x = true,
                              .log10_y = kind == DITHER_MNIST_NOISE, .count = DITHER_MNIST_FINEST, .series = series};
    dither_page_plot(page, &plot);
}

static void put_powers(dither_page *page, const dither_mnist *study)
{
    static const char *const kinds[] = {"final gradient norm", "SR noise"};
    static const char *const heads[] = {"net", "layer", "of", "p: as D^p", "r: as batch^r", "batch for a bit"};
    char text[64];
    dither_page_table(page, "Least squares on logarithms for each seed; means over seeds and 95 % intervals.");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        dither_page_cell(page, "%s", heads[i]);
    for (size_t net = 0; net < study->options->net_count; net++) {
        for (size_t kind = 0; kind < DITHER_MNIST_KINDS; kind++) {
            for (size_t l = 0; l <= study->net[net].layers; l++) {
                const bool all = l == study->net[net].layers;
                const dither_mnist_powers powers =
                    dither_mnist_fit(study, net, (dither_mnist_kind)kind, all ? (size_t)DITHER_MNIST_ALL_LAYERS : l);
                dither_page_next_row(page);
                dither_page_cell(page, "%s", study->net[net].text);
                if (all)
                    dither_page_cell(page, "all");
                else
                    dither_page_cell(page, "%zu", l + 1);
                dither_page_cell(page, "%s", kinds[kind]);
                dither_interval_print(&powers.p, text);
                dither_page_cell(page, "%s", text);
                dither_interval_print(&powers.r, text);
                dither_page_cell(page, "%s", text);
                dither_interval_print(&powers.trade, text);
                dither_page_cell(page, "%s", kind == DITHER_MNIST_NOISE ? text : "");
            }
        }
    }
    dither_page_table_end(page);
}

static void put_row(dither_page *page, const dither_mnist *study, size_t net, int step_log2, uint64_t batch)
{
    char text[64];
    dither_page_next_row(page);
    if (step_log2) {
        dither_page_cell(page, "1/%d", 1 << -step_log2);
        dither_page_cell(page, "%llu", (unsigned long long)batch);
    } else {
        dither_page_cell(page, "not quantized");
        dither_page_cell(page, "%s", "any");
    }
    for (size_t kind = 0; kind < DITHER_MNIST_KINDS; kind++) {
        for (size_t l = 0; l < study->net[net].layers; l++) {
            const dither_interval mean = dither_mnist_mean(study, net, step_log2, batch, (dither_mnist_kind)kind, l);
            dither_interval_print(&mean, text);
            dither_page_cell(page, "%s", kind == DITHER_MNIST_NOISE && !step_log2 ? "0" : text);
        }
    }
}

static void put_table(dither_page *page, const dither_mnist *study, size_t net)
{
    char caption[DITHER_MLP_TEXT + 120];
    (void)snprintf(caption, sizeof caption, "%s: means over %llu seeds and their 95 %% intervals. A norm is that of "
                   "the layer's weights.", study->net[net].text, (unsigned long long)study->options->seeds);
    dither_page_table(page, caption);
    dither_page_cell(page, "D");
    dither_page_cell(page, "batch");
    for (size_t l = 0; l < study->net[net].layers; l++)
        dither_page_cell(page, "norm, layer %zu", l + 1);
    for (size_t l = 0; l < study->net[net].layers; l++)
        dither_page_cell(page, "SR noise, layer %zu", l + 1);
    put_row(page, study, net, 0, study->options->samples);
    for (int step = -1; step >= -DITHER_MNIST_FINEST; step--)
        for (size_t b = 0; b < study->options->batch_count; b++)
            put_row(page, study, net, step, study->options->batches[b]);
    dither_page_table_end(page);
}

dither_status dither_mnist_report(const dither_mnist *study, const char *path, dither_claims *claims,
                                  dither_error *error)
{
    const dither_study_mnist_options *const o = study->options;
    dither_page page;
    char seeds[64];
    const dither_status status = dither_page_open(
        &page, path, "Repeated batches: what stochastic rounding costs, and what a larger batch pays for",
        "A batch is the same samples again and again, so that sampling noise is 0 and only the noise of stochastic "
        "rounding is left (Liu et al., arXiv 2511.00874).", error);
    if (status)
        return status;
    dither_page_claims(&page, claims);
    dither_page_paragraph(&page, "%llu fixed training samples, %llu steps of plain SGD at %g. Forward in f32; backward "
                          "on fixed-point codes of an absolute step D of x and dy, stochastically rounded, one draw of "
                          "dy for both products; the gradient of the summed loss divided by the batch.",
                          (unsigned long long)o->samples, (unsigned long long)o->steps, o->lr);
    dither_page_paragraph(&page, "The norm is that of the f32 gradient on the samples after the last step. Where it is "
                          "near that of the run that is not quantized, from the same start, it tells how far training "
                          "has come and not what rounding does: plots show their ratio. The SR noise is the root mean "
                          "square distance of %d quantized gradients from the f32 one at the same last weights.",
                          DITHER_MNIST_DRAWS);
    dither_page_heading(&page, "Plots");
    for (size_t net = 0; net < o->net_count; net++)
        for (size_t kind = 0; kind < DITHER_MNIST_KINDS; kind++)
            put_plot(&page, study, net, (dither_mnist_kind)kind);
    dither_page_heading(&page, "Fitted powers");
    put_powers(&page, study);
    dither_page_heading(&page, "Measured");
    for (size_t net = 0; net < o->net_count; net++)
        put_table(&page, study, net);
    (void)snprintf(seeds, sizeof seeds, "Seeds 1 to %llu.", (unsigned long long)o->seeds);
    dither_page_origin(&page, &o->origin, seeds, o->threads > 0 ? o->threads : dither_cores(), study->seconds);
    claims->plotted = page.plotted;
    return dither_page_commit(&page);
}
