/* dither bench: what this machine can do, and how near to it the program comes. */
#include <stdlib.h>
#include <string.h>

#include "cmd_bench.h"
#include "command_group.h"
#include "commands.h"
#include "dither/cpu.h"
#include "output.h"

static const dither_command *const parts[] = {
    &dither_command_bench_peak,
    &dither_command_bench_gemm,
    &dither_command_bench_quantize,
    &dither_command_bench_step,
};

static const dither_command_group group = {
    .command = &dither_command_bench,
    .parts = parts,
    .count = sizeof parts / sizeof parts[0],
    .usage = "WHAT [OPTION]...",
    .unknown = "nothing to measure by that name",
    .ask = "say what to measure: peak, gemm, quantize or step",
};

static int run(int count, char **words)
{
    return dither_command_group_run(&group, count, words);
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
