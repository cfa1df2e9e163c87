/* dither bench peak: what the units and the memory of this machine can do. */
#include <stdlib.h>

#include "cmd_bench.h"
#include "dither/cpu.h"
#include "output.h"

typedef struct peak_options {
    uint64_t threads;
    bool json;
} peak_options;

static const dither_argument arguments[] = {
    {.group = "Options", .name = "threads", .value = "N", .type = ARGUMENT_U64,
     .offset = offsetof(peak_options, threads), .min = 0, .max = 1024, .absent = "all cores",
     .help = "threads of the second figure"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = offsetof(peak_options, json), .help = "print one JSON object"},
};

static const char *const examples[] = {
    "dither bench peak",
    "the ceilings of this machine, measured now",
    "DITHER_CPU=avx2 dither bench peak",
    "those of a machine without AVX-512",
    "dither bench peak --json",
    "for programs",
    NULL,
};

static void defaults(void *options)
{
    *(peak_options *)options = (peak_options){.json = false};
}

static void notes(void)
{
    printf("Products run out of registers alone: no kernel is faster. The memory is read and copied in blocks far\n"
           "larger than the caches; a copied byte counts twice. It takes about a second, on an idle machine.\n");
}

static void print_json(const dither_peaks *peaks)
{
    const struct {
        const char *name;
        const dither_peak *peak;
    } rows[] = {{"s8", &peaks->s8}, {"bf16", &peaks->bf16}, {"f32", &peaks->f32}};
    dither_bench_json_begin();
    dither_bench_json("threads", peaks->threads);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        printf(",\"%s\":{\"isa\":\"%s\"", rows[i].name, rows[i].peak->isa);
        dither_bench_json("gops_one", 1e-9 * rows[i].peak->one);
        dither_bench_json("gops", 1e-9 * rows[i].peak->all);
        putchar('}');
    }
    dither_bench_json("read_gb_s_one", 1e-9 * peaks->read.one);
    dither_bench_json("read_gb_s", 1e-9 * peaks->read.all);
    dither_bench_json("copy_gb_s_one", 1e-9 * peaks->copy.one);
    dither_bench_json("copy_gb_s", 1e-9 * peaks->copy.all);
    printf("}\n");
}

static void print_row(const char *name, const dither_peak *peak, const char *unit)
{
    printf("%-6s  %-11s  %9.1f  %9.1f  %s\n", name, peak->isa ? peak->isa : "", 1e-9 * peak->one, 1e-9 * peak->all,
           unit);
}

static void print_text(const dither_peaks *peaks)
{
    char threads[32];
    (void)snprintf(threads, sizeof threads, "%d threads", peaks->threads);
    printf("%s\n\n%-6s  %-11s  %9s  %9s\n", dither_cpu_active()->model, "unit", "isa", "1 thread", threads);
    print_row("s8", &peaks->s8, "GOP/s");
    print_row("bf16", &peaks->bf16, "GFLOP/s");
    print_row("f32", &peaks->f32, "GFLOP/s");
    print_row("read", &peaks->read, "GB/s");
    print_row("copy", &peaks->copy, "GB/s");
}

static int run(int count, char **words)
{
    peak_options options;
    dither_parsed parsed;
    dither_peaks peaks;
    dither_error error = {.status = DITHER_OK};
    defaults(&options);
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_bench_peak, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    if (dither_bench_peak((int)options.threads, &peaks, &error))
        return dither_output_error(&error);
    if (options.json)
        print_json(&peaks);
    else
        print_text(&peaks);
    return EXIT_SUCCESS;
}

const dither_command dither_command_bench_peak = {
    .name = "bench peak",
    .summary = "the most that the units and the memory can do",
    .usage = "[OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(peak_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
