#include "explain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dither/tensor.h"
#include "output.h"

const char *dither_explain_number(double value, char *text)
{
    int exponent;
    const double fraction = frexp(value, &exponent);
    if (fraction == 0.5 && (exponent > 11 || exponent <= 0))
        (void)snprintf(text, 32, "2^%d", exponent - 1);
    else
        (void)snprintf(text, 32, "%.9g", value);
    return text;
}

/* ---- quantizers ------------------------------------------------------------------------------------------- */

static double code_bits(const dither_quantizer *q)
{
    return 8.0 * q->format.group_bytes / q->format.group_codes;
}

static int scale_bits(const dither_quantizer *q)
{
    return q->shape == DITHER_SCALE_NONE ? 0 : q->scale == DITHER_SCALE_F32 ? 32 : 8;
}

/* Values that share a scale; 0 where the matrix decides. */
static double scale_values(const dither_quantizer *q)
{
    const double size = (double)q->size;
    return q->shape == DITHER_SCALE_GROUP ? size : q->shape == DITHER_SCALE_TILE ? size * size : 0;
}

/* "4.25 bits a value", or "8 bits a value and 32 a row" where the matrix decides how many share a scale. */
static void memory_text(const dither_quantizer *q, char *text, size_t size)
{
    const double values = scale_values(q);
    if (q->shape == DITHER_SCALE_NONE)
        (void)snprintf(text, size, "%g bits a value", code_bits(q));
    else if (values > 0)
        (void)snprintf(text, size, "%.6g bits a value", code_bits(q) + scale_bits(q) / values);
    else
        (void)snprintf(text, size, "%g bits a value and %d a %s", code_bits(q), scale_bits(q),
                       q->shape == DITHER_SCALE_ROW ? "row" : "tensor");
}

static void print_format_line(const dither_format *f)
{
    char max[32], step[32];
    dither_explain_number(f->max, max);
    dither_explain_number(f->smallest, step);
    printf("format    %s, %d bits, from -%s to %s, ", f->name, f->bits, max, max);
    if (f->kind == DITHER_KIND_FLOAT)
        printf("step %s near 0 and 2^-%d of a value's power of two beyond\n", step, f->mantissa_bits);
    else
        printf("step %s\n", step);
}

static void print_scale_line(const dither_quantizer *q)
{
    static const char *const types[] = {"f32", "e8m0, a power of two", "e4m3, times one f32 for the whole tensor"};
    char largest[32], step[32];
    dither_explain_number(q->format.max, largest);
    printf("scale     ");
    switch (q->shape) {
    case DITHER_SCALE_NONE:
        printf("none: the step is that of the format, %s%s\n", dither_explain_number(q->format.smallest, step),
               q->format.kind == DITHER_KIND_INT ? ", and most of a network's numbers round to 0" : "");
        return;
    case DITHER_SCALE_TENSOR: printf("one for the whole tensor"); break;
    case DITHER_SCALE_ROW: printf("one for each row, a vector along the axis that the product sums over"); break;
    case DITHER_SCALE_GROUP: printf("one for %zu values along the axis that the product sums over", q->size); break;
    case DITHER_SCALE_TILE: printf("one for a tile of %zu x %zu", q->size, q->size); break;
    }
    printf(", in %s\n          largest magnitude / %s, rounded up, so that nothing clips\n", types[q->scale], largest);
}

static void print_rounding_line(dither_rounding rounding)
{
    static const char *const words[] = {"to nearest, ties to the even code", "", "up", "down", "toward zero"};
    if (rounding.mode == DITHER_ROUND_SR)
        printf("rounding  stochastic, %d random bits: up or down with the probability that keeps the mean\n",
               rounding.bits);
    else
        printf("rounding  %s\n", words[rounding.mode]);
}

void dither_explain_quantizer(const dither_quantizer *quantizer)
{
    char text[DITHER_QUANTIZER_TEXT], memory[64];
    dither_quantizer_print(quantizer, text);
    memory_text(quantizer, memory, sizeof memory);
    printf("%s\n\n", text);
    print_format_line(&quantizer->format);
    print_scale_line(quantizer);
    print_rounding_line(quantizer->rounding);
    printf("memory    %s\n", memory);
}

void dither_explain_quantizer_json(const dither_quantizer *q)
{
    static const char *const modes[] = {"rne", "sr", "up", "down", "zero"};
    static const char *const shapes[] = {"none", "tensor", "row", "group", "tile"};
    const double values = scale_values(q);
    const bool known = q->shape == DITHER_SCALE_NONE || values > 0;
    printf(",\"format\":\"%s\",\"scale\":\"%s\",\"scale_size\":%zu,\"scale_bits\":%d", q->format.name, shapes[q->shape],
           q->size, scale_bits(q));
    printf(",\"rounding\":\"%s\",\"random_bits\":%d,\"code_bits\":", modes[q->rounding.mode], q->rounding.bits);
    dither_output_json_number(stdout, code_bits(q));
    printf(",\"bits_per_value\":");
    dither_output_json_number(stdout, known ? code_bits(q) + (values > 0 ? scale_bits(q) / values : 0) : NAN);
}

/* ---- schemes ---------------------------------------------------------------------------------------------- */

static const char *const uses[DITHER_ROLES] = {
    "y = x W^T, forward: x",    "y = x W^T, forward: W",      "dW = dy^T x, backward: the x that forward kept",
    "dx = dy W, backward: W",   "dx = dy W, backward: dy",    "dW = dy^T x, backward: dy once more",
};

static void print_flags(const dither_scheme *s)
{
    if (s->same_input || s->same_weight || s->same_grad || s->rht)
        putchar('\n');
    if (s->same_input)
        printf("same_input   bact is the codes of act: x is quantized once, and backward reads them\n");
    if (s->same_weight)
        printf("same_weight  bweight is the codes of weight: W is quantized once a step, and both passes read them\n");
    if (s->same_grad)
        printf("same_grad    goweight is the codes of goact: dy is quantized once, for both gradients\n");
    if (s->rht)
        printf("rht=%-8zu bact and goweight are turned by a random Hadamard transform over %zu tokens, which spreads\n"
               "             outliers and cancels in dW\n", s->rht, s->rht);
}

void dither_explain_scheme(const dither_scheme *scheme)
{
    char canonical[DITHER_SCHEME_TEXT], text[DITHER_QUANTIZER_TEXT], memory[64];
    dither_scheme_print(scheme, canonical);
    printf("%s\n\n%-9s %-18s %-31s %s\n", canonical, "role", "quantizer", "memory", "used in");
    bool bare = false;
    for (int role = 0; role < DITHER_ROLES; role++) {
        const dither_quantizer *q = &scheme->role[role];
        dither_quantizer_print(q, text);
        memory_text(q, memory, sizeof memory);
        printf("%-9s %-18s %-31s %s\n", dither_role_name((dither_role)role), text, memory, uses[role]);
        bare = bare || (q->shape == DITHER_SCALE_NONE && q->format.kind == DITHER_KIND_INT);
    }
    print_flags(scheme);
    if (bare)
        printf("\nAn integer format without /SCALE has step 1, and most of a network's numbers round to 0.\n");
}

void dither_explain_scheme_json(const dither_scheme *scheme)
{
    char text[DITHER_QUANTIZER_TEXT];
    printf(",\"roles\":{");
    for (int role = 0; role < DITHER_ROLES; role++) {
        dither_quantizer_print(&scheme->role[role], text);
        printf("%s\"%s\":\"%s\"", role ? "," : "", dither_role_name((dither_role)role), text);
    }
    printf("},\"same_input\":%s,\"same_weight\":%s,\"same_grad\":%s,\"rht\":%zu", scheme->same_input ? "true" : "false",
           scheme->same_weight ? "true" : "false", scheme->same_grad ? "true" : "false", scheme->rht);
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as the same f32. */
static const char *float_text(double value, char *text)
{
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, 32, "%.*g", digits, value);
        if (strtof(text, NULL) == (float)value)
            break;
    }
    return text;
}

/* One number between its neighbours on the grid. */
typedef struct rounded {
    double x, scale, up; /* up: the probability of the upper one */
    uint32_t low, high;  /* codes; the same where x is on the grid or beyond its end */
    bool clipped;
} rounded;

static rounded round_number(const dither_quantizer *q, float x, float scale)
{
    const float quotient = scale > 0 ? x / scale : 0;
    rounded r = {.x = (double)x, .scale = (double)scale};
    const dither_rounding rounding = q->rounding;
    if (rounding.mode != DITHER_ROUND_SR) {
        r.low = r.high = dither_format_encode(&q->format, rounding, quotient, 0, &r.clipped);
        return r;
    }
    r.low = dither_format_encode(&q->format, (dither_rounding){DITHER_ROUND_DOWN, 0}, quotient, 0, &r.clipped);
    r.high = dither_format_encode(&q->format, (dither_rounding){DITHER_ROUND_UP, 0}, quotient, 0, &r.clipped);
    const double low = (double)dither_format_decode(&q->format, r.low);
    const double high = (double)dither_format_decode(&q->format, r.high), y = (double)quotient;
    if (!(high > low)) {
        r.high = r.low;
        return r;
    }
    /* The fraction away from zero, rounded half to even to the random bits there are. */
    const double away = (quotient > 0 ? y - low : high - y) / (high - low);
    const double probability = ldexp(nearbyint(ldexp(away, rounding.bits)), -rounding.bits);
    r.up = quotient > 0 ? probability : 1 - probability;
    return r;
}

/* As dequantizing gives it: rounded once to f32. */
static double value_of(const dither_quantizer *q, const rounded *r, uint32_t code)
{
    return (double)(dither_format_decode(&q->format, code) * (float)r->scale);
}

static void print_rounded(const dither_quantizer *q, const rounded *r)
{
    const int digits = (q->format.bits + 3) / 4;
    const double low = value_of(q, r, r->low);
    char text[32];
    printf("%14s", float_text(r->x, text));
    if (q->shape != DITHER_SCALE_NONE)
        printf("  %14s", float_text(r->scale, text));
    printf("  %14s 0x%0*x", float_text(low, text), digits, r->low);
    if (r->low == r->high)
        printf("%s\n", r->clipped ? "  clipped" : r->x == low ? "  exact" : "");
    else
        printf(" %7.4g %%  %14s 0x%0*x %7.4g %%\n", 100 * (1 - r->up), float_text(value_of(q, r, r->high), text),
               digits, r->high, 100 * r->up);
}

static void json_rounded(const dither_quantizer *q, const rounded *r)
{
    printf("{\"x\":");
    dither_output_json_number(stdout, r->x);
    printf(",\"scale\":");
    dither_output_json_number(stdout, r->scale);
    printf(",\"clipped\":%s,\"to\":[", r->clipped ? "true" : "false");
    for (int i = 0; i < (r->low == r->high ? 1 : 2); i++) {
        const uint32_t code = i ? r->high : r->low;
        printf("%s{\"code\":%lu,\"value\":", i ? "," : "", (unsigned long)code);
        dither_output_json_number(stdout, value_of(q, r, code));
        printf(",\"probability\":");
        dither_output_json_number(stdout, r->low == r->high ? 1 : i ? r->up : 1 - r->up);
        putchar('}');
    }
    printf("]}");
}

static void print_table(const dither_codes *codes, const float *x, size_t count, bool json)
{
    const dither_quantizer *q = &codes->quantizer;
    const int width = 14 + 3 + (q->format.bits + 3) / 4;
    if (!json) {
        printf("\n%14s", "number");
        if (q->shape != DITHER_SCALE_NONE)
            printf("  %14s", "scale");
        if (q->rounding.mode == DITHER_ROUND_SR)
            printf("  %*s %9s  %*s %9s\n", width, "below", "chance", width, "above", "chance");
        else
            printf("  %*s\n", width, "becomes");
    }
    for (size_t i = 0; i < count; i++) {
        const rounded r = round_number(q, x[i], dither_codes_scale(codes, 0, i));
        if (json && i)
            putchar(',');
        if (json)
            json_rounded(q, &r);
        else
            print_rounded(q, &r);
    }
}

dither_status dither_explain_rounding(const dither_quantizer *quantizer, const float *x, size_t count, bool json)
{
    dither_codes codes;
    dither_quantizer nearest = *quantizer; /* the scales are the same under any rounding */
    nearest.rounding = (dither_rounding){DITHER_ROUND_RNE, 0};
    const size_t bytes = dither_codes_bytes(&nearest, DITHER_AXIS_COLS, 1, count);
    void *memory = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    if (!memory)
        return DITHER_E_MEMORY;
    dither_status status = dither_codes_init(&codes, &nearest, DITHER_AXIS_COLS, 1, count, memory);
    if (!status)
        status = dither_quantize(&codes, x, NULL, NULL, NULL, NULL, 1);
    codes.quantizer.rounding = quantizer->rounding;
    if (!status)
        print_table(&codes, x, count, json);
    free(memory);
    return status;
}
