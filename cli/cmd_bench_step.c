/* dither bench step: how fast a whole training step is, and where its time goes. */
#include <stdlib.h>

#include "cmd_bench.h"
#include "dither/cpu.h"
#include "output.h"

typedef struct step_options {
    const char *new_model, *scheme;
    uint64_t batch, seq, steps, threads;
    bool json;
} step_options;

#define AT(member) offsetof(step_options, member)
static const dither_argument arguments[] = {
    {.group = "Model", .name = "new", .value = "SHAPE", .type = ARGUMENT_TEXT, .offset = AT(new_model),
     .help = "smollm2-135m, gpt2-124m, or layers=4,heads=4,dim=128,ctx=64,..."},
    {.name = "scheme", .value = "S", .type = ARGUMENT_TEXT, .offset = AT(scheme),
     .help = "preset or scheme, as of dither train"},
    {.group = "Step", .name = "batch", .value = "B", .type = ARGUMENT_U64, .offset = AT(batch), .min = 1,
     .max = 4294967295.0, .help = "sequences"},
    {.name = "seq", .value = "T", .type = ARGUMENT_U64, .offset = AT(seq), .min = 1, .max = 4294967295.0,
     .help = "tokens in a sequence"},
    {.name = "steps", .value = "N", .type = ARGUMENT_U64, .offset = AT(steps), .min = 1, .max = 1e6,
     .help = "steps to measure, after one that is not counted"},
    {.group = "Run", .name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024,
     .absent = "all cores", .help = "threads; the result does not depend on it"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object"},
};
#undef AT

static const char *const examples[] = {
    "dither bench step --new smollm2-135m --batch 4 --seq 256 --scheme int8",
    "tokens a second on this machine, and where the time goes",
    "dither bench step --new gpt2-124m --batch 8 --seq 512 --scheme bf16 --steps 3 --json",
    "a larger batch in bf16, for programs",
    "dither bench step --new layers=4,heads=4,dim=128,vocab=256,ctx=64 --batch 12 --seq 64 --scheme paper-int8",
    "a small model of one's own",
    NULL,
};

static void defaults(void *options)
{
    *(step_options *)options = (step_options){.scheme = "paper-int8", .batch = 4, .seq = 256, .steps = 5};
}

static void notes(void)
{
    printf("Weights and tokens are random; the rest is a step of dither train, AdamW and clipping. tokens_per_s is\n"
           "the median of the steps. The table says how many operations and bytes a second each kind of operation\n"
           "reached, and what fraction that is of the time that this machine's peaks (dither bench peak) allow; above\n"
           "100 %% the caches helped.\n");
}

static void print_json(const step_options *o, const dither_bench_step_result *r)
{
    dither_bench_json_begin();
    dither_bench_json_text("model", o->new_model);
    dither_bench_json_text("scheme", o->scheme);
    dither_bench_json("parameters", (double)r->parameters);
    dither_bench_json("batch", (double)o->batch);
    dither_bench_json("seq", (double)o->seq);
    dither_bench_json("threads", r->threads);
    dither_bench_json("steps", (double)r->speed.steps);
    dither_bench_json("tokens_per_s", r->tokens_per_s);
    dither_bench_json("step_s", r->step_s);
    dither_bench_json("forward_s", r->forward_s);
    dither_bench_json("backward_s", r->backward_s);
    dither_bench_json("optimizer_s", r->optimizer_s);
    dither_bench_json("loss", r->loss);
    dither_bench_json("peak_rss_bytes", (double)r->peak_rss_bytes);
    dither_speed_json(&r->speed);
    printf("}\n");
}

static void print_text(const dither_bench_step_result *r)
{
    char parameters[32], memory[16];
    dither_output_count(r->parameters, parameters);
    dither_output_bytes(r->peak_rss_bytes, memory);
    printf("%s, %d thread%s, %s parameters\n", dither_cpu_active()->model, r->threads, r->threads == 1 ? "" : "s",
           parameters);
    printf("%.1f tokens/s: %.1f ms a step, forward %.1f, backward %.1f, optimizer %.1f; peak memory %s\n\n",
           r->tokens_per_s, 1e3 * r->step_s, 1e3 * r->forward_s, 1e3 * r->backward_s, 1e3 * r->optimizer_s, memory);
    dither_speed_print(&r->speed);
}

static int run(int count, char **words)
{
    static const char *const needed[] = {"new", NULL};
    step_options options;
    dither_parsed parsed;
    dither_bench_step_result result;
    dither_error error = {.status = DITHER_OK};
    defaults(&options);
    const dither_parse_result parse =
        dither_arguments_parse(&dither_command_bench_step, count, words, &options, &parsed);
    if (parse != PARSE_OK)
        return parse == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    if (!dither_bench_has_all(&dither_command_bench_step, &parsed, needed))
        return EXIT_USAGE;
    const dither_bench_step_request request = {
        .new_model = options.new_model,
        .scheme = options.scheme,
        .batch = options.batch,
        .seq = options.seq,
        .steps = options.steps,
        .threads = (int)options.threads,
    };
    if (dither_bench_step(&request, &result, &error))
        return dither_output_error(&error);
    if (options.json)
        print_json(&options, &result);
    else
        print_text(&result);
    return EXIT_SUCCESS;
}

const dither_command dither_command_bench_step = {
    .name = "bench step",
    .summary = "the rate of training steps, and where their time goes",
    .usage = "--new SHAPE [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(step_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
