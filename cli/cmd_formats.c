/* dither formats: the number formats, the codes of one of them, and how quantizers and schemes are read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "dither/format.h"
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
    "check a quantizer or a scheme and print its canonical text",
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
           "                          for the type of the scale; none: f32\n"
           "  ROUNDING                rne (the default), sr, srN (N random bits), up, down, zero\n");
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

/* A power of two as 2^N, which is shorter and exact. */
static const char *number_text(double value, char *text)
{
    int exponent;
    const double fraction = frexp(value, &exponent);
    if (fraction == 0.5 && (exponent > 11 || exponent <= 0))
        (void)snprintf(text, 32, "2^%d", exponent - 1);
    else
        (void)snprintf(text, 32, "%.9g", value);
    return text;
}

static void print_row(const dither_format *format)
{
    char max[32], smallest[32], normal[32] = "-", fields[16] = "-";
    if (format->kind == DITHER_KIND_FLOAT) {
        number_text(ldexp(1, format->min_exponent), normal);
        (void)snprintf(fields, sizeof fields, "%d %d", format->exponent_bits, format->mantissa_bits);
    }
    printf("%-8s %-6s %4d  %-5s %15s %15s %15s %11.0f  %s\n", format->name, kind_name(format->kind), format->bits,
           fields, number_text(format->max, max), number_text(format->smallest, smallest), normal, codes_finite(format),
           specials_name(format));
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

static void print_canonical(const char *kind, const char *given, const char *canonical, bool json)
{
    if (!json) {
        puts(canonical);
        return;
    }
    printf("{\"%s\":", kind);
    dither_output_json_text(stdout, given, strlen(given));
    printf(",\"canonical\":\"%s\"}\n", canonical);
}

static int print_named(const char *name, bool json)
{
    dither_format format;
    dither_quantizer quantizer;
    dither_scheme scheme;
    dither_error as_format = {.status = DITHER_OK}, as_quantizer = as_format, as_scheme = as_format;
    char text[DITHER_SCHEME_TEXT];
    if (!dither_format_find(name, &format, &as_format)) {
        print_format(&format, json);
        return EXIT_SUCCESS;
    }
    if (!dither_quantizer_parse(name, &quantizer, &as_quantizer)) {
        dither_quantizer_print(&quantizer, text);
        print_canonical("quantizer", name, text, json);
        return EXIT_SUCCESS;
    }
    if (!dither_scheme_parse(name, &scheme, &as_scheme)) {
        dither_scheme_print(&scheme, text);
        print_canonical("scheme", name, text, json);
        return EXIT_SUCCESS;
    }
    const bool quantizer_meant = strpbrk(name, "/:") != NULL;
    const bool scheme_meant = strpbrk(name, "=,-") != NULL;
    return dither_output_error(scheme_meant ? &as_scheme : quantizer_meant ? &as_quantizer : &as_format);
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
    .summary = "list number formats, print the codes of one, check a quantizer or scheme",
    .usage = "[NAME] [--schemes] [--json]",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(formats_options),
    .defaults = defaults,
    .positional = "NAME",
    .notes = notes,
    .examples = examples,
    .run = run,
};
