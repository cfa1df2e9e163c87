/* dither bench: what this machine can do, and how near to it the program comes. */
#include <stdlib.h>
#include <string.h>

#include "cmd_bench.h"
#include "commands.h"
#include "dither/cpu.h"
#include "output.h"

static const dither_command *const parts[] = {
    &dither_command_bench_peak,
    &dither_command_bench_gemm,
    &dither_command_bench_quantize,
    &dither_command_bench_step,
};

enum { PARTS = sizeof parts / sizeof parts[0], PREFIX = sizeof "bench " - 1 };

static const char *part_name(const void *context, size_t index)
{
    (void)context;
    return index < PARTS ? parts[index]->name + PREFIX : index == PARTS ? "--help" : NULL;
}

static void help(void)
{
    printf("dither %s - %s\n\nUsage: dither bench WHAT [OPTION]...\n\n", dither_command_bench.name,
           dither_command_bench.summary);
    for (size_t i = 0; i < PARTS; i++)
        printf("  %-10s  %s\n", part_name(NULL, i), parts[i]->summary);
    printf("\n`dither bench WHAT --help` lists the options of each.\n\nExamples:\n");
    for (size_t i = 0; i < PARTS; i++)
        printf("  # %s\n  %s\n", parts[i]->examples[1], parts[i]->examples[0]);
    printf("\nMore: man dither\n");
}

static int run(int count, char **words)
{
    const char *what = count ? words[0] : NULL;
    if (what && (!strcmp(what, "--help") || !strcmp(what, "-h"))) {
        help();
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < PARTS && what; i++)
        if (!strcmp(part_name(NULL, i), what))
            return parts[i]->run(count - 1, words + 1);
    const char *near = what ? dither_arguments_nearest(what, part_name, NULL) : NULL;
    if (near)
        (void)dither_output_fail(DITHER_E_USAGE, what, "nothing to measure by that name; did you mean '%s'?", near);
    else
        (void)dither_output_fail(DITHER_E_USAGE, what ? what : "bench",
                                 "say what to measure: peak, gemm, quantize or step");
    fprintf(stderr, "Try 'dither bench --help'.\n");
    return EXIT_USAGE;
}

const dither_command dither_command_bench = {
    .name = "bench",
    .summary = "measure this machine, products, quantizers, training steps",
    .run = run,
};

bool dither_bench_has_all(const dither_command *command, const dither_parsed *parsed, const char *const *names)
{
    for (; *names; names++) {
        if (dither_arguments_given(command, parsed, *names))
            continue;
        char where[32];
        (void)snprintf(where, sizeof where, "--%s", *names);
        (void)dither_output_fail(DITHER_E_USAGE, where, "it is missing");
        fprintf(stderr, "Try 'dither %s --help'.\n", command->name);
        return false;
    }
    return true;
}

void dither_bench_json(const char *key, double value)
{
    printf(",\"%s\":", key);
    dither_output_json_number(stdout, value);
}

void dither_bench_json_text(const char *key, const char *value)
{
    printf(",\"%s\":", key);
    dither_output_json_text(stdout, value, strlen(value));
}

void dither_bench_json_begin(void)
{
    const char *const model = dither_cpu_active()->model;
    printf("{\"cpu\":");
    dither_output_json_text(stdout, model, strlen(model));
}

/* 0 means that it was not counted. */
static void print_rate(double value, int width, const char *format)
{
    char text[32] = "";
    if (value > 0)
        (void)snprintf(text, sizeof text, format, value);
    printf(" %*s", width, text);
}

void dither_speed_print(const dither_speed *speed)
{
    const double steps = speed->steps ? (double)speed->steps : 1;
    printf("%-16s %9s %6s %8s %8s %7s\n", "operation", "ms/step", "share", "GFLOP/s", "GB/s", "of peak");
    for (size_t i = 0; i < speed->count; i++) {
        const dither_op_speed *op = &speed->op[i];
        printf("%-16s %9.2f %5.1f%%", op->name, 1e3 * op->seconds / steps, 1e2 * op->share);
        print_rate(op->gflops, 8, "%.1f");
        print_rate(op->gb_s, 8, "%.1f");
        print_rate(1e2 * op->fraction, 7, "%.0f%%");
        putchar('\n');
    }
}

void dither_speed_json(const dither_speed *speed)
{
    printf(",\"ops\":[");
    for (size_t i = 0; i < speed->count; i++) {
        const dither_op_speed *op = &speed->op[i];
        printf("%s{\"name\":\"%s\"", i ? "," : "", op->name);
        dither_bench_json("calls", (double)op->calls);
        dither_bench_json("seconds", op->seconds);
        dither_bench_json("share", op->share);
        dither_bench_json("gflops", op->gflops);
        dither_bench_json("gb_s", op->gb_s);
        dither_bench_json("fraction", op->fraction);
        putchar('}');
    }
    putchar(']');
}
