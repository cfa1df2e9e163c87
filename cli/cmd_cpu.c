/* dither cpu: what the processor can do and which level was chosen. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "dither/cpu.h"
#include "output.h"

typedef struct cpu_options {
    bool json;
} cpu_options;

static const dither_argument arguments[] = {
    {.group = "Options", .name = "json", .type = ARGUMENT_FLAG, .offset = offsetof(cpu_options, json),
     .help = "print one JSON object"},
};

static const char *const examples[] = {
    "dither cpu",
    "what this machine has and which kernels are used",
    "DITHER_CPU=avx2 dither cpu",
    "the same, with every feature above AVX2 hidden",
    "dither cpu --json",
    "for programs",
    NULL,
};

static void defaults(void *options)
{
    *(cpu_options *)options = (cpu_options){.json = false};
}

static void notes(void)
{
    printf("Environment:\n  DITHER_CPU=LEVEL        hide every processor feature above LEVEL, which is one of\n"
           "                          amx, avx512, avxvnni, avx2 (x86-64), i8mm, dotprod, neon (Arm),\n"
           "                          ref (both: plain C)\n");
}

/* Cores this process may run on, which in a container are fewer than the machine has. */
static long cores_usable(void)
{
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set))
        return CPU_COUNT(&set);
    return sysconf(_SC_NPROCESSORS_ONLN);
}

/* What this machine has with nothing hidden, fastest first. */
static void print_levels(const char *quote, const char *between)
{
    const dither_cpu machine = dither_cpu_detect(NULL);
    bool has, first = true;
    const char *level;
    for (size_t i = 0; (level = dither_cpu_level_at(&machine, i, &has)) != NULL; i++) {
        if (!has)
            continue;
        printf("%s%s%s%s", first ? "" : between, quote, level, quote);
        first = false;
    }
}

static void print_json(const dither_cpu *cpu)
{
    printf("{\"model\":");
    dither_output_json_text(stdout, cpu->model, strlen(cpu->model));
    printf(",\"cores\":%ld,\"level\":\"%s\",\"levels\":[", cores_usable(), cpu->level);
    print_levels("\"", ",");
    printf("],\"features\":[");
    bool first = true;
    for (int bit = 0; dither_cpu_feature_name(bit); bit++)
        if (cpu->features >> bit & 1) {
            printf("%s\"%s\"", first ? "" : ",", dither_cpu_feature_name(bit));
            first = false;
        }
    printf("],\"kernels\":{");
    dither_cpu_kernel kernel;
    for (size_t i = 0; dither_cpu_kernel_at(cpu, i, &kernel); i++)
        printf("%s\"%s\":\"%s\"", i > 0 ? "," : "", kernel.work, kernel.isa);
    printf("}}\n");
}

static void print_text(const dither_cpu *cpu, const char *mask)
{
    printf("model     %s\ncores     %ld\nfeatures ", cpu->model, cores_usable());
    for (int bit = 0; dither_cpu_feature_name(bit); bit++)
        if (cpu->features >> bit & 1)
            printf(" %s", dither_cpu_feature_name(bit));
    printf("%s\nlevel     %s", cpu->features ? "" : " none", cpu->level);
    if (mask && strcmp(cpu->level, mask) != 0)
        printf(" (DITHER_CPU=%s, which this machine lacks)", mask);
    else if (mask && strcmp(dither_cpu_detect(NULL).level, mask) != 0)
        printf(" (lowered by DITHER_CPU=%s)", mask);
    printf("\nlevels    ");
    print_levels("", " ");
    printf("\nkernels  ");
    dither_cpu_kernel kernel;
    for (size_t i = 0; dither_cpu_kernel_at(cpu, i, &kernel); i++)
        printf("%s %s: %s", i > 0 ? "," : "", kernel.work, kernel.isa);
    putchar('\n');
}

static int run(int count, char **words)
{
    cpu_options options = {.json = false};
    dither_parsed parsed;
    const dither_parse_result result = dither_arguments_parse(&dither_command_cpu, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    const char *mask = getenv("DITHER_CPU");
    if (mask && !mask[0])
        mask = NULL;
    const dither_cpu cpu = dither_cpu_detect(mask);
    if (options.json)
        print_json(&cpu);
    else
        print_text(&cpu, mask);
    return EXIT_SUCCESS;
}

const dither_command dither_command_cpu = {
    .name = "cpu",
    .summary = "show what this processor can do and which level is used",
    .usage = "[--json]",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(cpu_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
