/* dither formats: the number formats, the codes of one of them, and what quantizers and schemes say. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "dither/format.h"
#include "explain.h"
#include "output.h"

typedef struct formats_options {
    bool schemes, json;
} formats_options;

enum { TABLE_BITS = 16 };

static const dither_argument arguments[] = {
    {.group = "Options", .name = "schemes", .type = ARGUMENT_FLAG, .offset = offsetof(formats_options, schemes),
     .help = "list the presets with the scheme each stands for"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = offsetof(formats_options, json),
     .help = "print one JSON value"},
};

static const char *const examples[] = {
    "dither formats",
    "every format with its range",
    "dither formats e4m3",
    "every code of one format and its value",
    "dither formats int8/row:sr",
    "what a quantizer says: range, step, scale, memory",
    "dither formats e2m1:sr 0.3 1.7 -5",
    "numbers rounded by it: the neighbours, how likely each is, codes and values",
    "dither formats mxfp4",
    "what a preset or scheme says, role by role",
    "dither formats --schemes",
    "what the names for --scheme mean",
    NULL,
};

static void defaults(void *options)
{
    *(formats_options *)options = (formats_options){.json = false};
}

static void notes(void)
{
    printf("Words:\n"
           "  NAME                    a format: e4m3, int8, bf16, fx3 (fixed point, step 2^-3), ...\n"
           "                          a quantizer FORMAT[/SCALE][:ROUNDING]: int8/row:sr, e2m1/g16e4m3:sr\n"
           "                          a scheme: a preset's name or ROLE=QUANTIZER,...\n"
           "  SCALE                   tensor, row, gN (a group of N), tN (a tile of N x N), with e8m0 or e4m3 behind\n"
           "                          for the type of the scale; none: f32. Without /SCALE there is no scale: the\n"
           "                          step is that of the format, 1 for int8\n"
           "  ROUNDING                rne (the default), sr, srN (N random bits), up, down, zero\n"
           "  X...                    numbers to round by the quantizer NAME; under a scale they are one row\n");
}

/* ---- one format ------------------------------------------------------------------------------------------- */

static const char *kind_name(dither_format_kind kind)
{
    static const char *const names[] = {"float", "int", "fixed", "scale"};
    return names[kind];
}

static const char *specials_name(const dither_format *format)
{
    static const char *const names[] = {"none", "Inf, NaN", "NaN"};
    return names[format->specials];
}

/* Codes that stand for a finite number. */
static double codes_finite(const dither_format *format)
{
    if (format->kind == DITHER_KIND_INT || format->kind == DITHER_KIND_FIXED)
        return 2 * format->max / format->smallest + 1;
    const double all = ldexp(1, format->bits);
    if (format->specials == DITHER_SPECIALS_IEEE)
        return all - ldexp(2, format->mantissa_bits);
    if (format->specials == DITHER_SPECIALS_NAN)
        return all - (format->kind == DITHER_KIND_SCALE ? 1 : 2);
    return all;
}

static void print_row(const dither_format *format)
{
    char max[32], smallest[32], normal[32] = "-", fields[16] = "-";
    if (format->kind == DITHER_KIND_FLOAT) {
        dither_explain_number(ldexp(1, format->min_exponent), normal);
        (void)snprintf(fields, sizeof fields, "%d %d", format->exponent_bits, format->mantissa_bits);
    }
    printf("%-8s %-6s %4d  %-5s %15s %15s %15s %11.0f  %s\n", format->name, kind_name(format->kind), format->bits,
           fields, dither_explain_number(format->max, max), dither_explain_number(format->smallest, smallest), normal,
           codes_finite(format), specials_name(format));
}

static void print_heading(void)
{
    printf("%-8s %-6s %4s  %-5s %15s %15s %15s %11s  %s\n", "format", "kind", "bits", "e m", "largest", "smallest step",
           "smallest normal", "codes", "specials");
}

static void json_row(const dither_format *format)
{
    printf(
        "{\"name\":\"%s\",\"kind\":\"%s\",\"bits\":%d,\"exponent_bits\":%d,\"mantissa_bits\":%d,\"bias\":%d,\"max\":",
        format->name, kind_name(format->kind), format->bits, format->exponent_bits, format->mantissa_bits,
        format->bias);
    dither_output_json_number(stdout, format->max);
    printf(",\"smallest_step\":");
    dither_output_json_number(stdout, format->smallest);
    printf(",\"smallest_normal\":");
    dither_output_json_number(stdout,
                              format->kind == DITHER_KIND_FLOAT ? ldexp(1, format->min_exponent) : format->smallest);
    printf(",\"codes\":%.0f,\"specials\":\"%s\"", codes_finite(format), specials_name(format));
}

/* The code's bits, with a point between sign, exponent and mantissa. */
static void code_bits(const dither_format *format, uint32_t code, char *text)
{
    for (int bit = format->bits - 1; bit >= 0; bit--) {
        *text++ = code >> bit & 1 ? '1' : '0';
        const bool field_ends =
            bit && (bit == format->mantissa_bits || bit == format->mantissa_bits + format->exponent_bits);
        if (format->kind == DITHER_KIND_FLOAT && field_ends)
            *text++ = '.';
    }
    *text = 0;
}

/* Integers are symmetric: the code below -max is never made. */
static bool code_used(const dither_format *format, double value)
{
    return format->kind != DITHER_KIND_INT || fabs(value) <= format->max;
}

static void print_codes(const dither_format *format)
{
    for (uint32_t code = 0; code < 1u << format->bits; code++) {
        char bits[TABLE_BITS + 4];
        const double value = (double)dither_format_decode(format, code);
        code_bits(format, code, bits);
        printf("0x%0*x  %s  ", (format->bits + 3) / 4, code, bits);
        if (isnan(value))
            puts("nan");
        else if (!code_used(format, value))
            puts("unused");
        else
            printf("%.9g\n", value);
    }
}

static void json_codes(const dither_format *format)
{
    printf(",\"values\":[");
    for (uint32_t code = 0; code < 1u << format->bits; code++) {
        const double value = (double)dither_format_decode(format, code);
        if (code)
            putchar(',');
        if (isnan(value))
            printf("\"nan\"");
        else if (isinf(value))
            printf(value > 0 ? "\"inf\"" : "\"-inf\"");
        else if (!code_used(format, value))
            printf("null");
        else if (value == 0 && signbit(value))
            printf("-0.0");
        else
            dither_output_json_number(stdout, value);
    }
    putchar(']');
}

static void print_format(const dither_format *format, bool json)
{
    if (json) {
        json_row(format);
        if (format->bits <= TABLE_BITS)
            json_codes(format);
        printf("}\n");
        return;
    }
    print_heading();
    print_row(format);
    putchar('\n');
    if (format->bits > TABLE_BITS)
        printf("No table of codes above %d bits.\n", TABLE_BITS);
    else
        print_codes(format);
}

/* ---- quantizers and schemes ------------------------------------------------------------------------------- */

static void json_open(const char *kind, const char *given, const char *canonical)
{
    printf("{\"%s\":", kind);
    dither_output_json_text(stdout, given, strlen(given));
    printf(",\"canonical\":\"%s\"", canonical);
}

static void print_quantizer(const char *given, const dither_quantizer *quantizer, bool json)
{
    char text[DITHER_QUANTIZER_TEXT];
    dither_quantizer_print(quantizer, text);
    if (!json) {
        dither_explain_quantizer(quantizer);
        return;
    }
    json_open("quantizer", given, text);
    dither_explain_quantizer_json(quantizer);
}

static void print_scheme(const char *given, const dither_scheme *scheme, bool json)
{
    char text[DITHER_SCHEME_TEXT];
    dither_scheme_print(scheme, text);
    if (!json) {
        dither_explain_scheme(scheme);
        return;
    }
    json_open("scheme", given, text);
    dither_explain_scheme_json(scheme);
    printf("}\n");
}

/* Formats first: between equally near words a format is the likelier. */
static const char *any_word(const void *context, size_t index)
{
    static const char *const flags[] = {"same_input", "same_weight", "same_grad", "rht"};
    const size_t formats = dither_format_count();
    (void)context;
    if (index < formats)
        return dither_format_at(index)->name;
    index -= formats;
    size_t presets = 0;
    while (dither_preset_name(presets))
        presets++;
    if (index < presets)
        return dither_preset_name(index);
    index -= presets;
    if (index < DITHER_ROLES)
        return dither_role_name((dither_role)index);
    index -= DITHER_ROLES;
    return index < sizeof flags / sizeof flags[0] ? flags[index] : NULL;
}

/* Whether a word that is nothing was likelier meant as a preset or another word of schemes than as a format. */
static bool scheme_meant(const char *word)
{
    dither_format format;
    const char *near = dither_arguments_nearest(word, any_word, NULL);
    return strpbrk(word, "=,") || (!strpbrk(word, "/:") && near && dither_format_find(near, &format, NULL));
}

static int print_named(const char *name, bool json)
{
    dither_format format;
    dither_quantizer quantizer;
    dither_scheme scheme;
    dither_error as_quantizer = {.status = DITHER_OK}, as_scheme = as_quantizer;
    if (!dither_format_find(name, &format, NULL)) {
        print_format(&format, json);
        if (!json && !dither_scheme_parse(name, &scheme, NULL))
            printf("\n%s is a preset too: see dither formats --schemes.\n", name);
        return EXIT_SUCCESS;
    }
    if (!dither_quantizer_parse(name, &quantizer, &as_quantizer)) {
        print_quantizer(name, &quantizer, json);
        if (json)
            printf("}\n");
        return EXIT_SUCCESS;
    }
    if (!dither_scheme_parse(name, &scheme, &as_scheme)) {
        print_scheme(name, &scheme, json);
        return EXIT_SUCCESS;
    }
    return dither_output_error(scheme_meant(name) ? &as_scheme : &as_quantizer);
}

static int round_all(const char *name, const dither_quantizer *quantizer, const float *x, size_t count, bool json)
{
    print_quantizer(name, quantizer, json);
    if (json)
        printf(",\"numbers\":[");
    const dither_status status = dither_explain_rounding(quantizer, x, count, json);
    if (status)
        return dither_output_fail(status, name, "the numbers cannot be rounded: %s", dither_status_text(status));
    if (json)
        printf("]}\n");
    return EXIT_SUCCESS;
}

static int round_numbers(const char *name, char **words, size_t count, bool json)
{
    dither_quantizer quantizer;
    dither_error error = {.status = DITHER_OK};
    dither_scheme scheme;
    if (dither_quantizer_parse(name, &quantizer, &error))
        return dither_scheme_parse(name, &scheme, NULL)
                   ? dither_output_error(&error)
                   : dither_output_fail(DITHER_E_USAGE, name, "a scheme; a quantizer rounds numbers, as e2m1:sr");
    float *x = malloc(count * sizeof *x);
    if (!x)
        return dither_output_fail(DITHER_E_MEMORY, NULL, "no memory for the numbers");
    int code = EXIT_SUCCESS;
    for (size_t i = 0; i < count && !code; i++) {
        double value = 0;
        if (!dither_arguments_number(words[i], &value) || !isfinite((float)value))
            code = dither_output_fail(DITHER_E_USAGE, words[i], "not a finite f32; write it as 0.3 or 3e-1");
        x[i] = (float)value;
    }
    if (!code)
        code = round_all(name, &quantizer, x, count, json);
    free(x);
    return code;
}

static void print_schemes(bool json)
{
    if (json)
        putchar('[');
    for (size_t i = 0; dither_preset_name(i); i++) {
        if (json)
            printf("%s{\"name\":\"%s\",\"scheme\":\"%s\"}", i ? "," : "", dither_preset_name(i), dither_preset_text(i));
        else
            printf("%-12s %s\n", dither_preset_name(i), dither_preset_text(i));
    }
    if (json)
        printf("]\n");
}

static void print_all(bool json)
{
    if (json)
        putchar('[');
    else
        print_heading();
    for (size_t i = 0; i < dither_format_count(); i++) {
        if (!json) {
            print_row(dither_format_at(i));
            continue;
        }
        fputs(i ? ",\n" : "", stdout);
        json_row(dither_format_at(i));
        putchar('}');
    }
    if (json)
        printf("]\n");
    else
        printf("\nFixed point: fx0 to fx31, step 2^-N, 32-bit codes. `codes` counts those of finite numbers.\n");
}

static int run(int count, char **words)
{
    formats_options options = {.json = false};
    dither_parsed parsed;
    const dither_parse_result result = dither_arguments_parse(&dither_command_formats, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    if (parsed.positional && options.schemes)
        return dither_output_fail(DITHER_E_USAGE, "--schemes", "it lists all presets; leave '%s' out",
                                  parsed.positional);
    if (parsed.more_count)
        return round_numbers(parsed.positional, parsed.more, parsed.more_count, options.json);
    if (parsed.positional)
        return print_named(parsed.positional, options.json);
    if (options.schemes)
        print_schemes(options.json);
    else
        print_all(options.json);
    return EXIT_SUCCESS;
}

const dither_command dither_command_formats = {
    .name = "formats",
    .summary = "list number formats, print the codes of one, explain a quantizer or scheme, round numbers",
    .usage = "[NAME [X...]] [--schemes] [--json]",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(formats_options),
    .defaults = defaults,
    .positional = "NAME",
    .numbers = true,
    .notes = notes,
    .examples = examples,
    .run = run,
};
