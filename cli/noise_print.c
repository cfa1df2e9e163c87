#include "noise_print.h"

#include <math.h>
#include <stdio.h>

#include "json_member.h"
#include "output.h"

enum { CELL = 24 };

/* ---- numbers ----------------------------------------------------------------------------------------------- */

/* Half of the interval, 0 of an exact figure. */
static double half_of(dither_interval interval)
{
    return (interval.high - interval.low) / 2;
}

/* A squared quantity against the squared norm: "1.23e-04 +-4e-06", or "<4e-06" where it may be 0, into text[CELL]. */
static void print_against(dither_interval interval, double norm2, char *text)
{
    const double half = half_of(interval) / norm2;
    if (isnan(interval.value))
        (void)snprintf(text, CELL, "-");
    else if (interval.value == 0 && half == 0)
        (void)snprintf(text, CELL, "0");
    else if (interval.low <= 0)
        (void)snprintf(text, CELL, "<%.0e", interval.high / norm2);
    else if (half > 0)
        (void)snprintf(text, CELL, "%.2e +-%.0e", interval.value / norm2, half);
    else
        (void)snprintf(text, CELL, "%.2e", interval.value / norm2);
}

static void print_percent(double value, char *text)
{
    if (isnan(value))
        (void)snprintf(text, CELL, "-");
    else if (value == 0)
        (void)snprintf(text, CELL, "0");
    else
        (void)snprintf(text, CELL, "%.*f %%", value < 0.0995 ? 2 : 1, 100 * value);
}

static const dither_noise_count *count_of(const dither_noise *noise, size_t batch, size_t part)
{
    return &noise->counts[batch * DITHER_NOISE_PARTS + part];
}

static bool has_roles(const dither_noise *noise)
{
    return !isnan(dither_noise_at(noise, 0, 1, 0)->bias2.value);
}

/* ---- tables ------------------------------------------------------------------------------------------------ */

/* What stands behind a row's first columns. */
static void print_head(void)
{
    printf("  %-16s  %-16s  %7s  %7s  %7s  %5s\n", "bias^2", "variance", "error", "cosine", "clipped", "draws");
}

static void print_row(const dither_noise *noise, size_t batch, size_t part)
{
    const dither_noise_cell *cell = dither_noise_at(noise, batch, part, 0);
    const dither_noise_count *count = count_of(noise, batch, part);
    const double norm2 = noise->norm2[batch * noise->place_count];
    char bias[CELL], variance[CELL], error[CELL], clipped[CELL];
    print_against(cell->bias2, norm2, bias);
    print_against(cell->variance, norm2, variance);
    print_percent(dither_noise_relative_error(noise, batch, part, 0).value, error);
    print_percent(cell->clip_rate, clipped);
    printf("  %-16s  %-16s  %7s  %7.5f  %7s  %5llu\n", bias, variance, error, cell->cosine.value, clipped,
           (unsigned long long)count->draws);
}

static void print_whole(const dither_noise *noise)
{
    printf("\nthe whole gradient g of a batch: bias^2 and variance against |g|^2, with 95 %% intervals\n");
    printf("%5s  %6s  %8s  %9s", "batch", "tokens", "|g|", "q2");
    print_head();
    for (size_t i = 0; i < noise->batch_count; i++) {
        const dither_noise_batch *batch = &noise->batches[i];
        printf("%5llu  %6llu  %8.4g  %9.3g", (unsigned long long)batch->sequences, (unsigned long long)batch->trained,
               sqrt(noise->norm2[i * noise->place_count]),
               (double)batch->sequences * dither_noise_at(noise, i, 0, 0)->variance.value);
        print_row(noise, i, 0);
    }
}

static void print_roles(const dither_noise *noise)
{
    const size_t last = noise->batch_count - 1;
    printf("\neach role alone, the other five in f32, batch %llu\n",
           (unsigned long long)noise->batches[last].sequences);
    printf("%-34s", "role");
    print_head();
    for (size_t part = 1; part < DITHER_NOISE_PARTS; part++) {
        printf("%-34s", dither_noise_part(part));
        print_row(noise, last, part);
    }
}

static void print_layers(const dither_noise *noise)
{
    const size_t last = noise->batch_count - 1;
    const size_t parts = has_roles(noise) ? DITHER_NOISE_PARTS : 1;
    printf("\nerror of each layer against its own gradient, batch %llu, the scheme%s\n%-10s",
           (unsigned long long)noise->batches[last].sequences, parts > 1 ? " and each role alone" : "", "");
    for (size_t part = 0; part < parts; part++)
        printf(" %9s", dither_noise_part(part));
    printf(" %9s\n", "|g|");
    for (size_t place = 1; place < noise->place_count; place++) {
        char text[DITHER_NOISE_PLACE];
        dither_noise_place(noise, place, text);
        printf("%-10s", text);
        for (size_t part = 0; part < parts; part++) {
            print_percent(dither_noise_relative_error(noise, last, part, place).value, text);
            printf(" %9s", text);
        }
        printf(" %9.4g\n", sqrt(noise->norm2[last * noise->place_count + place]));
    }
}

static void print_interval(const char *name, dither_interval interval, const char *what)
{
    if (half_of(interval) > 0)
        printf("%-7s %.3e +-%.0e  %s\n", name, interval.value, half_of(interval), what);
    else
        printf("%-7s %.3e  %s\n", name, interval.value, what);
}

static void print_samples(const dither_noise *noise)
{
    putchar('\n');
    if (!isnan(noise->sampling[0].value)) {
        char what[80];
        (void)snprintf(what, sizeof what, "variance of one sequence's gradient in f32, from %llu sequences",
                       (unsigned long long)noise->samples);
        print_interval("s2", noise->sampling[0], what);
    }
    const size_t weight = 1 + DITHER_ROLE_WEIGHT;
    print_interval("q2", dither_noise_per_sample(noise, 0, 0),
                   "what stochastic rounding adds to it: the variance of a batch, times its sequences");
    if (has_roles(noise))
        print_interval("floor", dither_noise_at(noise, noise->batch_count - 1, weight, 0)->error2,
                       "|error|^2 of quantizing the forward weights alone");
    if (!isnan(dither_noise_batch_factor(noise)))
        printf("%-7s %.3g times the batch gives the same noise with one bit less: (s2 + 4 q2) / (s2 + q2)\n", "b'/b",
               dither_noise_batch_factor(noise));
}

static void print_caveats(const dither_noise *noise)
{
    char text[DITHER_NOISE_CAVEAT];
    for (size_t i = 0; dither_noise_caveat(&noise->scheme, i, text); i++)
        printf("%s%s\n", i ? "" : "\n", text);
    for (size_t part = 0; part < DITHER_NOISE_PARTS; part++)
        if (count_of(noise, noise->batch_count - 1, part)->clipped) {
            printf("values beyond the largest code were cut, which is a bias: see clipped\n");
            return;
        }
}

void dither_noise_print(const dither_noise *noise)
{
    char scheme[DITHER_SCHEME_TEXT];
    dither_scheme_print(&noise->scheme, scheme);
    printf("scheme     %s\n", scheme);
    printf("sequences  of %llu tokens, %llu quantized together\n", (unsigned long long)noise->seq,
           (unsigned long long)noise->micro_batch);
    print_whole(noise);
    if (has_roles(noise))
        print_roles(noise);
    print_layers(noise);
    print_samples(noise);
    print_caveats(noise);
}

/* ---- JSON -------------------------------------------------------------------------------------------------- */

static void json_place(const dither_noise *noise, size_t place)
{
    char text[DITHER_NOISE_PLACE];
    dither_noise_place(noise, place, text);
    printf("%s{\"place\":\"%s\",", place ? "," : "", text);
}

static void json_part(const dither_noise *noise, size_t batch, size_t part)
{
    const dither_noise_count *count = count_of(noise, batch, part);
    printf("%s{\"part\":\"%s\",", part ? "," : "", dither_noise_part(part));
    dither_json_member_count("draws", count->draws);
    printf(",\"random\":%s,", count->random ? "true" : "false");
    dither_json_member_count("elements", count->elements);
    putchar(',');
    dither_json_member_count("clipped", count->clipped);
    putchar(',');
    printf("\"places\":[");
    for (size_t place = 0; place < noise->place_count; place++) {
        const dither_noise_cell *cell = dither_noise_at(noise, batch, part, place);
        json_place(noise, place);
        dither_json_member_interval("bias2", cell->bias2);
        putchar(',');
        dither_json_member_interval("variance", cell->variance);
        putchar(',');
        dither_json_member_interval("error2", cell->error2);
        putchar(',');
        dither_json_member_interval("relative_error", dither_noise_relative_error(noise, batch, part, place));
        putchar(',');
        dither_json_member_interval("cosine", cell->cosine);
        putchar(',');
        dither_json_member_number("clip_rate", cell->clip_rate);
        putchar('}');
    }
    printf("]}");
}

static void json_batch(const dither_noise *noise, size_t index)
{
    const dither_noise_batch *batch = &noise->batches[index];
    printf("%s{", index ? "," : "");
    dither_json_member_count("sequences", batch->sequences);
    putchar(',');
    dither_json_member_count("tokens", batch->tokens);
    putchar(',');
    dither_json_member_count("trained", batch->trained);
    putchar(',');
    dither_json_member_number("loss", batch->loss);
    printf(",\"gradient\":[");
    for (size_t place = 0; place < noise->place_count; place++) {
        json_place(noise, place);
        dither_json_member_number("norm2", noise->norm2[index * noise->place_count + place]);
        putchar('}');
    }
    printf("],\"parts\":[");
    for (size_t part = 0; part < (has_roles(noise) ? DITHER_NOISE_PARTS : 1); part++)
        json_part(noise, index, part);
    printf("]}");
}

static void json_samples(const dither_noise *noise)
{
    for (size_t place = 0; place < noise->place_count; place++) {
        json_place(noise, place);
        dither_json_member_interval("s2", noise->sampling[place]);
        putchar(',');
        dither_json_member_interval("q2", dither_noise_per_sample(noise, 0, place));
        putchar('}');
    }
}

void dither_noise_print_json(const dither_noise *noise)
{
    char scheme[DITHER_SCHEME_TEXT], text[DITHER_NOISE_CAVEAT];
    dither_scheme_print(&noise->scheme, scheme);
    printf("{\"scheme\":\"%s\",", scheme);
    dither_json_member_count("seq", noise->seq);
    putchar(',');
    dither_json_member_count("micro_batch", noise->micro_batch);
    putchar(',');
    dither_json_member_count("samples", noise->samples);
    printf(",\"batches\":[");
    for (size_t i = 0; i < noise->batch_count; i++)
        json_batch(noise, i);
    printf("],\"per_sample\":[");
    json_samples(noise);
    printf("],");
    dither_json_member_number("batch_factor", dither_noise_batch_factor(noise));
    printf(",\"caveats\":[");
    for (size_t i = 0; dither_noise_caveat(&noise->scheme, i, text); i++)
        printf("%s\"%s\"", i ? "," : "", text);
    printf("]}\n");
}
