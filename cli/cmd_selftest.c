/* dither selftest: whether this machine computes what the library promises. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "dither/cpu.h"
#include "dither/selftest.h"
#include "output.h"

typedef struct selftest_options {
    bool json;
    uint64_t seed, threads;
} selftest_options;

static const dither_argument arguments[] = {
    {.group = "Options", .name = "seed", .value = "N", .type = ARGUMENT_U64, .offset = offsetof(selftest_options, seed),
     .help = "of every draw and every number"},
    {.name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = offsetof(selftest_options, threads),
     .max = 1024, .absent = "all cores", .help = "threads; no figure depends on them"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = offsetof(selftest_options, json),
     .help = "print a JSON object a line"},
};

static const char *const examples[] = {
    "dither selftest",
    "every kernel that this processor runs",
    "DITHER_CPU=ref dither selftest --seed 7",
    "portable C alone, with other draws",
    "dither selftest --json | jq 'select(.ok | not)'",
    "what fails, for programs",
    NULL,
};

static void defaults(void *options)
{
    *(selftest_options *)options = (selftest_options){.seed = 1};
}

static void notes(void)
{
    printf("A line is ok where nothing that must be equal differs, and no mean, variance or correlation of draws is\n"
           "farther off than it may be: on a sound machine one run in 1,000,000,000 fails. Exit code 1 says that a\n"
           "line fails.\n");
}

typedef struct printer {
    bool json;
    double start;
} printer;

static void print_text(const dither_selftest_line *line)
{
    printf("%-4s  %-27s  %-37s  %s\n", line->ok ? "ok" : "FAIL", line->name, line->statistic, line->compared);
    fflush(stdout);
}

static void print_field(const char *name, const char *text)
{
    printf("\"%s\":", name);
    dither_output_json_text(stdout, text, strlen(text));
    putchar(',');
}

static void print_json(const dither_selftest_line *line)
{
    putchar('{');
    print_field("name", line->name);
    print_field("compared", line->compared);
    print_field("statistic", line->statistic);
    printf("\"deviation\":");
    dither_output_json_number(stdout, line->deviation);
    printf(",\"limit\":");
    dither_output_json_number(stdout, line->limit);
    printf(",\"wrong\":%llu,\"ok\":%s}\n", (unsigned long long)line->wrong, line->ok ? "true" : "false");
    fflush(stdout);
}

static void print_line(void *context, const dither_selftest_line *line)
{
    const printer *p = context;
    if (p->json)
        print_json(line);
    else
        print_text(line);
}

static int run(int count, char **words)
{
    selftest_options options;
    dither_parsed parsed;
    defaults(&options);
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_selftest, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    const char *mask = getenv("DITHER_CPU");
    if (mask && mask[0] && !dither_cpu_detect(mask).level)
        return dither_output_fail(DITHER_E_USAGE, "DITHER_CPU", "no such level as '%s'; `dither cpu --help` lists them",
                                  mask);
    const dither_selftest_options selftest = {
        .seed = options.seed,
        .threads = (int)options.threads,
    };
    printer p = {.json = options.json, .start = dither_output_clock()};
    unsigned failures = 0;
    dither_error error;
    if (dither_selftest(&selftest, print_line, &p, &failures, &error) != DITHER_OK)
        return dither_output_error(&error);
    if (!options.json && !failures)
        printf("all ok in %.1f s\n", dither_output_clock() - p.start);
    if (failures)
        return dither_output_fail(DITHER_E_NUMERIC, NULL, "%u of the lines above fail: this machine, or this build, "
                                  "does not compute what it should", failures);
    return EXIT_SUCCESS;
}

const dither_command dither_command_selftest = {
    .name = "selftest",
    .summary = "test the kernels of this processor: draws, codes and products",
    .usage = "[--seed N] [--threads N] [--json]",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(selftest_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
