#include "advice_print.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dither/cpu.h"
#include "dither/noise.h"
#include "json_member.h"
#include "output.h"
#include "terminal.h"

enum { CELL = 32, NAME = 14 };

static const dither_advice_row *best_row(const dither_advice_text *plan)
{
    const dither_advice *advice = plan->advice;
    return advice->best < advice->row_count ? &advice->rows[advice->best] : NULL;
}

/* ---- cells ------------------------------------------------------------------------------------------------- */

/* "0.0123 +-0.0004", to the digit that the half interval has, into text[CELL]. */
static const char *print_interval(dither_interval x, double unit, char *text)
{
    const double value = x.value / unit, half = (x.high - x.low) / 2 / unit;
    if (isnan(value))
        (void)snprintf(text, CELL, "-");
    else if (half == 0)
        (void)snprintf(text, CELL, "%.3g", value);
    else if (!isfinite(half))
        (void)snprintf(text, CELL, "%.3g +-?", value);
    else if (half < 1e-6 || half >= 1e6)
        (void)snprintf(text, CELL, "%.3g +-%.0e", value, half);
    else {
        const int digits = (int)fmax(0, ceil(-log10(half)));
        (void)snprintf(text, CELL, "%.*f +-%.*f", digits, value, digits, half);
    }
    return text;
}

/* Per cent; what may be nothing at all is below something. */
static const char *print_bias(dither_interval x, char *text)
{
    if (!(x.low > 0) && x.high > 0)
        (void)snprintf(text, CELL, "< %.2g", 100 * x.high);
    else
        print_interval(x, 0.01, text);
    return text;
}

static const char *print_shape(const dither_advice_row *row, char *text)
{
    if (row->accumulate > 1)
        (void)snprintf(text, CELL, "%llu x %llu", (unsigned long long)row->accumulate, (unsigned long long)row->batch);
    else
        (void)snprintf(text, CELL, "%llu", (unsigned long long)row->batch);
    return text;
}

static const char *print_lr(double lr, char *text)
{
    (void)snprintf(text, CELL, isinf(lr) ? "any" : "%.2g", lr);
    return text;
}

/* ---- table ------------------------------------------------------------------------------------------------- */

static void print_head(const dither_advice_text *plan)
{
    printf("\n%-*s %-16s %-16s %-14s %-12s %7s %9s %9s %9s %7s", NAME, "scheme", "noise q2/s2", "b'/b", "one bit less",
           "bias %", "batch", "memory", "tokens/s", "time", "SGD lr");
    printf(plan->options->hours > 0 ? " %9s\n" : "\n", "steps");
}

static void print_row(const dither_advice_text *plan, const dither_advice_row *row)
{
    char noise[CELL], factor[CELL], bit[CELL], bias[CELL], shape[CELL], memory[16], time[16], lr[CELL];
    if (strlen(row->scheme) > NAME)
        printf("%s\n%-*s", row->scheme, NAME, "");
    else
        printf("%-*s", NAME, row->scheme);
    if (!row->fits) {
        printf(" even one sequence takes more memory than there is\n");
        return;
    }
    dither_output_bytes(row->memory_bytes, memory);
    dither_terminal_duration(row->seconds, time);
    printf(" %-16s %-16s %-14s %-12s %7s %9s %9.0f %9s %7s", print_interval(row->noise, 1, noise),
           print_interval(row->factor, 1, factor), print_interval(row->bit_factor, 1, bit),
           print_bias(row->bias, bias), print_shape(row, shape), memory, row->tokens_per_s, time,
           print_lr(row->sgd_lr, lr));
    if (plan->options->hours > 0)
        printf(" %9llu", (unsigned long long)row->steps);
    putchar('\n');
}

static void print_measured(const dither_advice_text *plan)
{
    const dither_advice *a = plan->advice;
    char parameters[32], tokens[32], took[16], text[CELL];
    dither_output_count(a->parameters, parameters);
    dither_output_count(a->train_tokens, tokens);
    dither_terminal_duration(plan->seconds, took);
    printf("model       %s parameters, %s; %s tokens to train on\n", parameters,
           a->random_weights ? "new, with random weights" : "with its weights as they are", tokens);
    printf("machine     %s, %d thread%s; measured in %s\n", dither_cpu_active()->model, a->threads,
           a->threads == 1 ? "" : "s", took);
    if (isnan(a->sampling.value))
        return;
    printf("gradient    |g| %.4g of %llu sequences of %llu tokens, loss %.4f\n", a->norm,
           (unsigned long long)a->sequences, (unsigned long long)a->seq, a->loss);
    printf("sampling    s2 %s: variance of one sequence's gradient in f32, of %llu sequences\n",
           print_interval(a->sampling, 1, text), (unsigned long long)a->samples);
}

static void print_legend(const dither_advice_text *plan)
{
    const dither_train_options *run = &plan->options->run;
    const dither_advice *a = plan->advice;
    printf("\nq2: what the draws add to s2. b'/b: batch for the gradient noise of f32 at %llu sequences,\n"
           "(s2 + q2) / s2; one bit less: once more so many times, (s2 + 4 q2) / (s2 + q2). bias: |E G - g| / |g|,\n"
           "weight quantization and what else no batch averages out. time: of %llu steps, with that batch.\n"
           "+-: half of the 95 %% interval. A bit less is taken to be four times the variance; in deep models, noise\n"
           "of dy that nears dy itself grows from layer to layer, and by far more a bit (dither study scaling).\n",
           (unsigned long long)a->batch, (unsigned long long)run->steps);
    if (plan->options->hours > 0)
        printf("steps: in %g hours.\n", plan->options->hours);
    printf("SGD lr: from there on the draws cost plain SGD (momentum %g) more than %g nats: lr q2 / (4 (1 - mu) b').\n"
           "At lr %g sampling costs it %.2g nats. For small rates, and for AdamW a guide only.\n", run->momentum,
           DITHER_ADVICE_NATS, run->lr, a->sgd_sampling);
}

/* Whether this row's scheme has the caveat `wanted`. */
static bool has_caveat(const dither_advice_row *row, const char *wanted)
{
    char text[DITHER_NOISE_CAVEAT];
    dither_scheme scheme;
    if (dither_scheme_parse(row->scheme, &scheme, NULL))
        return false;
    for (size_t k = 0; dither_noise_caveat(&scheme, k, text); k++)
        if (!strcmp(text, wanted))
            return true;
    return false;
}

/* Each caveat once, with the schemes that have it. */
static void print_caveats(const dither_advice *advice)
{
    char text[DITHER_NOISE_CAVEAT];
    bool any = false;
    for (size_t i = 0; i < advice->row_count; i++) {
        dither_scheme scheme;
        if (dither_scheme_parse(advice->rows[i].scheme, &scheme, NULL))
            continue;
        for (size_t k = 0; dither_noise_caveat(&scheme, k, text); k++) {
            bool said = false;
            for (size_t j = 0; j < i; j++)
                said = said || has_caveat(&advice->rows[j], text);
            if (said)
                continue;
            printf("%s%s (%s", any ? "" : "\nwhere the theory does not hold\n", text, advice->rows[i].scheme);
            for (size_t j = i + 1; j < advice->row_count; j++)
                if (has_caveat(&advice->rows[j], text))
                    printf("; %s", advice->rows[j].scheme);
            printf(")\n");
            any = true;
        }
    }
}

static void print_warnings(const dither_advice_text *plan)
{
    const dither_advice *a = plan->advice;
    const double lr = plan->options->run.lr;
    for (size_t i = 0; i < a->row_count; i++)
        if (a->rows[i].fits && lr > a->rows[i].sgd_lr)
            printf("\nlr %g is high for %s: SGD would end %.2g nats higher for its draws; below %.2g it is %g\n", lr,
                   a->rows[i].scheme, a->rows[i].sgd_excess, a->rows[i].sgd_lr, DITHER_ADVICE_NATS);
    if (a->random_weights)
        printf("\nThe weights are random: noise and bias grow against the gradient as it shrinks. Plan again with "
               "--model\nonce the model has been trained for a while.\n");
}

/* ---- why --------------------------------------------------------------------------------------------------- */

static void add(char *text, const char *format, ...) DITHER_PRINTF(2, 3);

static void add(char *text, const char *format, ...)
{
    const size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text + used, DITHER_ADVICE_WHY - used, format, arguments);
    va_end(arguments);
}

/* "1:23", or how many steps the hours hold. */
static void add_cost(const dither_advice_text *plan, const dither_advice_row *row, char *text)
{
    char time[16];
    dither_terminal_duration(row->seconds, time);
    if (plan->options->hours > 0)
        add(text, "%llu", (unsigned long long)row->steps);
    else
        add(text, "%s", time);
}

static void add_speed(const dither_advice_text *plan, const dither_advice_row *row, char *text)
{
    const dither_advice_row *f32 = &plan->advice->rows[0];
    if (row == f32)
        add(text, "None of the others is faster here by more than its larger batch costs it");
    else if (row->factor.value < 1.005)
        add(text, "%.60s has the gradient noise of f32 at the same batch", row->scheme);
    else
        add(text, "%.60s takes %.3g times the batch of f32 for the same gradient noise", row->scheme,
            row->factor.value);
    if (row != f32 && f32->fits)
        add(text, " and trains %.2f times as many tokens a second", row->tokens_per_s / f32->tokens_per_s);
    add(text, ": ");
    add_cost(plan, row, text);
    if (plan->options->hours > 0)
        add(text, " steps in %g hours", plan->options->hours);
    else
        add(text, " for %llu steps", (unsigned long long)plan->options->run.steps);
    if (row != f32 && f32->fits) {
        add(text, ", against ");
        add_cost(plan, f32, text);
        add(text, " in f32");
    }
    add(text, f32->fits ? "." : "; f32 does not fit the memory.");
}

void dither_advice_why(const dither_advice_text *plan, char *text)
{
    const dither_advice *a = plan->advice;
    const dither_advice_row *row = best_row(plan);
    text[0] = 0;
    if (!row) {
        add(text, "None of these runs can be advised: they take more memory than there is, or their bias is more than "
            "%g %% of the gradient. Less --seq, a smaller model or more bits.", 100 * DITHER_ADVICE_BIAS);
        return;
    }
    add_speed(plan, row, text);
    if (row->accumulate > 1)
        add(text, " The batch is taken in %llu micro-batches%s.", (unsigned long long)row->accumulate,
            row->batch < a->batch && plan->options->run.memory ? ", to fit the memory" : "");
    for (size_t i = 0; i < a->row_count; i++)
        if (a->rows[i].bias.low > DITHER_ADVICE_BIAS && a->rows[i].seconds < row->seconds)
            add(text, " %.40s would be faster, but %.0f %% of its gradient is bias.", a->rows[i].scheme,
                100 * a->rows[i].bias.value);
}

void dither_advice_print(const dither_advice_text *plan)
{
    const dither_advice *a = plan->advice;
    char why[DITHER_ADVICE_WHY];
    print_measured(plan);
    print_head(plan);
    for (size_t i = 0; i < a->row_count; i++)
        print_row(plan, &a->rows[i]);
    print_legend(plan);
    print_caveats(a);
    print_warnings(plan);
    dither_advice_why(plan, why);
    printf("\nadvice      %s\n", why);
    if (plan->command)
        printf("run         %s\n", plan->command);
}

/* ---- JSON -------------------------------------------------------------------------------------------------- */

static void json_caveats(const char *text)
{
    dither_scheme scheme;
    char caveat[DITHER_NOISE_CAVEAT];
    printf(",\"caveats\":[");
    if (!dither_scheme_parse(text, &scheme, NULL))
        for (size_t k = 0; dither_noise_caveat(&scheme, k, caveat); k++) {
            if (k)
                putchar(',');
            dither_output_json_text(stdout, caveat, strlen(caveat));
        }
    putchar(']');
}

static void json_row(const dither_advice_row *row, double hours)
{
    const struct {
        const char *name;
        const dither_interval *interval;
    } intervals[] = {{"q2", &row->q2}, {"noise", &row->noise}, {"batch_factor", &row->factor},
                     {"bit_factor", &row->bit_factor}, {"bias", &row->bias}};
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"tokens_per_s", row->tokens_per_s}, {"step_s", row->step_s}, {"seconds", row->seconds},
                   {"sgd_lr", row->sgd_lr}, {"sgd_excess_nats", row->sgd_excess}};
    printf("{");
    dither_json_member_text("scheme", row->scheme);
    printf(",\"fits\":%s", row->fits ? "true" : "false");
    json_caveats(row->scheme);
    if (row->fits) {
        putchar(',');
        dither_json_member_count("batch", row->batch);
        putchar(',');
        dither_json_member_count("accumulate", row->accumulate);
        putchar(',');
        dither_json_member_count("memory_bytes", row->memory_bytes);
        for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++) {
            putchar(',');
            dither_json_member_interval(intervals[i].name, *intervals[i].interval);
        }
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            putchar(',');
            dither_json_member_number(numbers[i].name, numbers[i].value);
        }
        if (hours > 0) {
            putchar(',');
            dither_json_member_count("steps", row->steps);
        }
    }
    putchar('}');
}

static void json_advice(const dither_advice_text *plan)
{
    const dither_advice_row *row = best_row(plan);
    char why[DITHER_ADVICE_WHY];
    dither_advice_why(plan, why);
    printf(",\"advice\":{");
    dither_json_member_text("scheme", row ? row->scheme : NULL);
    putchar(',');
    dither_json_member_text("command", plan->command);
    putchar(',');
    dither_json_member_text("why", why);
    printf("}}\n");
}

void dither_advice_print_json(const dither_advice_text *plan)
{
    const dither_advice *a = plan->advice;
    const dither_train_options *run = &plan->options->run;
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"parameters", a->parameters}, {"train_tokens", a->train_tokens}, {"seq", a->seq},
                  {"batch", a->batch}, {"steps", run->steps}, {"sequences", a->sequences}, {"samples", a->samples},
                  {"threads", (uint64_t)a->threads}, {"memory_limit_bytes", a->memory_limit}};
    putchar('{');
    dither_json_member_text("cpu", dither_cpu_active()->model);
    printf(",\"random_weights\":%s", a->random_weights ? "true" : "false");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        putchar(',');
        dither_json_member_count(counts[i].name, counts[i].value);
    }
    putchar(',');
    dither_json_member_number("lr", run->lr);
    putchar(',');
    dither_json_member_number("momentum", run->momentum);
    putchar(',');
    dither_json_member_number("loss", a->loss);
    putchar(',');
    dither_json_member_number("gradient_norm", a->norm);
    putchar(',');
    dither_json_member_interval("s2", a->sampling);
    putchar(',');
    dither_json_member_number("sgd_sampling_nats", a->sgd_sampling);
    printf(",\"schemes\":[");
    for (size_t i = 0; i < a->row_count; i++) {
        if (i)
            putchar(',');
        json_row(&a->rows[i], plan->options->hours);
    }
    putchar(']');
    json_advice(plan);
}
