/* dither convert: a model in another kind of file. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "dither/convert.h"
#include "output.h"
#include "terminal.h"

typedef struct convert_options {
    const char *to, *name;
    uint64_t seed, shard, threads;
    int rounding;
    bool force, json;
} convert_options;

static const char *rounding_name(int rounding)
{
    static const char *const names[] = {"rne", "sr"};
    return rounding >= 0 && rounding < 2 ? names[rounding] : NULL;
}

#define AT(member) offsetof(convert_options, member)
static const dither_argument arguments[] = {
    {.group = "What", .name = "to", .value = "TYPE", .type = ARGUMENT_TEXT, .offset = AT(to), .absent = "as they are",
     .help = "type of the matrices: f32, f16, bf16; in GGUF q8_0, q4_0,\n                          q4_1 too"},
    {.name = "rounding", .value = "R", .type = ARGUMENT_WORD, .offset = AT(rounding), .word = rounding_name,
     .help = "rne, to the nearest, or sr, stochastically"},
    {.name = "seed", .value = "S", .type = ARGUMENT_U64, .offset = AT(seed), .help = "what sr draws"},
    {.name = "name", .value = "TEXT", .type = ARGUMENT_TEXT, .offset = AT(name), .absent = "that of the file",
     .help = "what a GGUF file says it is called"},
    {.group = "How", .name = "force", .type = ARGUMENT_FLAG, .offset = AT(force), .help = "replace what is there"},
    {.name = "shard-size", .value = "SIZE", .type = ARGUMENT_SIZE, .offset = AT(shard), .absent = "5 GB",
     .help = "bytes of one file of a folder at most"},
    {.name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024, .absent = "all cores",
     .help = "threads; the result does not depend on it"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object"},
};
#undef AT

static const char *const examples[] = {
    "dither convert model model.gguf --to q8_0",
    "a file for llama.cpp, a byte a weight",
    "dither convert SmolLM2-135M-Instruct.Q4_1.gguf smollm2",
    "a folder for transformers, with tokenizer and chat template",
    "dither convert model small.gguf --to q4_0 --rounding sr --seed 7",
    "4 bits, rounded stochastically",
    NULL,
};

static void defaults(void *options)
{
    *(convert_options *)options = (convert_options){.seed = 1};
}

static void notes(void)
{
    printf("A name that ends in .gguf is such a file, any other a model folder. A GGUF file has f32 norms and\n"
           "biases, and where matrices have 4 bits, 8 for the output head. Nothing half-written is left.\n");
}

/* The one thing a signal handler can reach. */
static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    if (stop_signal)
        _exit(EXIT_SIGNAL + number);
    stop_signal = number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void show(void *context, const dither_convert_event *event)
{
    dither_terminal *terminal = context;
    if (event->notice) {
        dither_terminal_clear(terminal);
        fprintf(stderr, "dither: note: %s\n", event->notice);
    } else if (terminal->live && dither_terminal_due(terminal, event->done, event->total)) {
        char text[32];
        (void)snprintf(text, sizeof text, "converting %3.0f %%",
                       event->total ? 100.0 * (double)event->done / (double)event->total : 100.0);
        const char *const fields[] = {text};
        dither_terminal_progress(terminal, fields, 1);
    }
}

static void print_result(const dither_convert_options *o, const dither_convert_result *result, double seconds,
                         bool json)
{
    if (json) {
        printf("{\"source\":");
        dither_output_json_text(stdout, o->source, strlen(o->source));
        printf(",\"target\":");
        dither_output_json_text(stdout, o->target, strlen(o->target));
        printf(",\"tensors\":%llu,\"values\":%llu,\"bytes\":%llu,\"files\":%zu,\"seconds\":",
               (unsigned long long)result->tensors, (unsigned long long)result->values,
               (unsigned long long)result->bytes, result->files);
        dither_output_json_number(stdout, seconds);
        printf("}\n");
        return;
    }
    char values[32], bytes[16];
    dither_output_count(result->values, values);
    dither_output_bytes(result->bytes, bytes);
    printf("%s: %llu tensor%s, %s value%s, %s", o->target, (unsigned long long)result->tensors,
           dither_output_s(result->tensors), values, dither_output_s(result->values), bytes);
    if (result->files > 1)
        printf(" in %zu files", result->files);
    printf(", %.1f s\n", seconds);
}

static int convert(const dither_convert_options *o, bool json)
{
    dither_error error = {.status = DITHER_OK};
    dither_convert_result result = {.tensors = 0};
    dither_terminal terminal;
    dither_terminal_init(&terminal, stderr);
    catch_signals();
    const double start = dither_output_clock();
    const dither_status status = dither_convert(o, show, &terminal, &stop_signal, &result, &error);
    dither_terminal_clear(&terminal);
    if (status == DITHER_E_STOPPED) {
        (void)dither_output_error(&error);
        return EXIT_SIGNAL + (stop_signal ? stop_signal : SIGINT);
    }
    if (status)
        return dither_output_error(&error);
    print_result(o, &result, dither_output_clock() - start, json);
    return EXIT_SUCCESS;
}

static int run(int count, char **words)
{
    convert_options options;
    dither_parsed parsed;
    defaults(&options);
    const dither_parse_result result = dither_arguments_parse(&dither_command_convert, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    if (!parsed.positional)
        return dither_output_fail(DITHER_E_USAGE, "SRC", "it is missing; name a model folder or a .gguf file");
    if (parsed.more_count == 0)
        return dither_output_fail(DITHER_E_USAGE, "DST", "it is missing; name a .gguf file or a folder to write");
    if (parsed.more_count > 1)
        return dither_output_fail(DITHER_E_USAGE, parsed.more[1], "one source and one target only");
    if (!parsed.positional[0] || !parsed.more[0][0])
        return dither_output_fail(DITHER_E_USAGE, parsed.positional[0] ? "DST" : "SRC", "an empty path");
    if (dither_arguments_given(&dither_command_convert, &parsed, "seed") && !options.rounding)
        return dither_output_fail(DITHER_E_USAGE, "--seed", "rounding to the nearest draws nothing; add --rounding sr");
    if (!dither_output_is_model(parsed.positional))
        return EXIT_FAILURE;
    const dither_convert_options o = {.source = parsed.positional, .target = parsed.more[0], .type = options.to,
                                      .stochastic = options.rounding == 1, .seed = options.seed, .name = options.name,
                                      .force = options.force, .shard = options.shard,
                                      .threads = (int)options.threads};
    return convert(&o, options.json);
}

const dither_command dither_command_convert = {
    .name = "convert",
    .summary = "make a GGUF file of a model, or a model folder",
    .usage = "SRC DST [--to TYPE] [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(convert_options),
    .defaults = defaults,
    .positional = "SRC",
    .several = true,
    .notes = notes,
    .examples = examples,
    .run = run,
};
