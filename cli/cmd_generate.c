/* dither generate: text written by a model, one token at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "dither/generate.h"
#include "dither/tokenizer.h"
#include "output.h"
#include "utf8_stream.h"

typedef struct generate_options {
    const char *model, *prompt, *scheme;
    uint64_t tokens, top_k, seed, threads;
    double temperature, top_p;
    bool json;
} generate_options;

#define AT(member) offsetof(generate_options, member)
static const dither_argument arguments[] = {
    {.group = "What", .name = "model", .value = "DIR", .type = ARGUMENT_TEXT, .offset = AT(model),
     .help = "model folder"},
    {.name = "prompt", .value = "TEXT", .type = ARGUMENT_TEXT, .offset = AT(prompt), .absent = "a newline",
     .help = "text to go on from"},
    {.name = "tokens", .value = "N", .type = ARGUMENT_U64, .offset = AT(tokens), .min = 1, .max = 1e9,
     .help = "how many tokens to write"},
    {.group = "Sampling", .name = "temperature", .value = "X", .type = ARGUMENT_F64, .offset = AT(temperature),
     .max = 100,
     .help = "0: always the likeliest; 1: as the model says"},
    {.name = "top-k", .value = "N", .type = ARGUMENT_U64, .offset = AT(top_k), .absent = "0, all",
     .help = "only among the N likeliest"},
    {.name = "top-p", .value = "X", .type = ARGUMENT_F64, .offset = AT(top_p), .max = 1, .above = true,
     .absent = "1, all",
     .help = "only among the likeliest that together have X"},
    {.name = "seed", .value = "S", .type = ARGUMENT_U64, .offset = AT(seed),
     .help = "the same seed writes the same text"},
    {.group = "How", .name = "scheme", .value = "S", .type = ARGUMENT_TEXT, .offset = AT(scheme),
     .absent = "stored weights in f32", .help = "preset or scheme the products run in"},
    {.name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024, .absent = "all cores",
     .help = "threads; the text does not depend on it"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object at the end"},
};
#undef AT

static const char *const examples[] = {
    "dither generate --model model --prompt \"It was a dark night\"",
    "256 tokens after a prompt",
    "dither generate --model model --tokens 1000 --temperature 1 --top-k 40 --seed 7",
    "more text, more surprise, another seed",
    "dither generate --model model --temperature 0 --json",
    "the likeliest text, for programs",
    NULL,
};

static void defaults(void *options)
{
    *(generate_options *)options =
        (generate_options){.prompt = "\n", .tokens = 256, .temperature = 0.8, .top_p = 1, .seed = 1};
}

static void notes(void)
{
    printf("The prompt is printed first, then what the model writes as it comes. Bytes that are not UTF-8 are\n"
           "shown as U+FFFD on a terminal and in JSON, and pass unchanged into files and pipes.\n");
}

typedef struct writer {
    const dither_tokenizer *tokenizer;
    dither_utf8_stream stream;
    bool live; /* show every token at once */
    uint64_t tokens;
} writer;

static bool write_token(void *context, uint32_t id)
{
    writer *w = context;
    const char *bytes = NULL;
    const size_t length = dither_tokenizer_decode(w->tokenizer, id, &bytes);
    dither_utf8_stream_write(&w->stream, bytes, length);
    w->tokens++;
    if (w->live)
        fflush(w->stream.out);
    return !ferror(w->stream.out);
}

static void print_json(const generate_options *options, const char *text, size_t length, uint64_t tokens,
                       double seconds)
{
    printf("{\"prompt\":");
    dither_output_json_text(stdout, options->prompt, strlen(options->prompt));
    printf(",\"text\":");
    dither_output_json_text(stdout, text, length);
    printf(",\"tokens\":%llu,\"tokens_per_s\":", (unsigned long long)tokens);
    dither_output_json_number(stdout, seconds > 0 ? (double)tokens / seconds : NAN);
    printf("}\n");
}

static dither_status generate(const generate_options *options, dither_model *model, writer *w, dither_error *error)
{
    const size_t length = strlen(options->prompt);
    const size_t count = dither_tokenizer_encode(w->tokenizer, options->prompt, length, NULL, 0);
    uint32_t *ids = malloc((count ? count : 1) * sizeof *ids);
    if (!ids) {
        *error = (dither_error){.status = DITHER_E_MEMORY, .text = "no memory for the prompt"};
        return error->status;
    }
    (void)dither_tokenizer_encode(w->tokenizer, options->prompt, length, ids, count);
    const dither_sampling sampling = {.temperature = options->temperature,
                                      .top_k = (size_t)options->top_k,
                                      .top_p = options->top_p,
                                      .seed = options->seed};
    const dither_status status =
        dither_model_generate(model, ids, count, (size_t)options->tokens, &sampling, write_token, w, error);
    free(ids);
    dither_utf8_stream_end(&w->stream);
    return status;
}

/* Straight to standard output, the prompt first unless it is the newline that stands for none. */
static int write_text(const generate_options *options, dither_model *model, const dither_tokenizer *tokenizer)
{
    writer w = {.tokenizer = tokenizer, .live = isatty(STDOUT_FILENO)};
    dither_utf8_stream_init(&w.stream, stdout, w.live);
    dither_error error = {.status = DITHER_OK};
    if (strcmp(options->prompt, "\n") != 0)
        dither_utf8_stream_write(&w.stream, options->prompt, strlen(options->prompt));
    const double start = dither_output_clock();
    const dither_status status = generate(options, model, &w, &error);
    const double seconds = dither_output_clock() - start;
    putchar('\n');
    fflush(stdout);
    if (status)
        return dither_output_error(&error);
    if (isatty(STDERR_FILENO) && seconds > 0)
        fprintf(stderr, "%llu tokens in %.1f s, %.0f tokens/s\n", (unsigned long long)w.tokens, seconds,
                (double)w.tokens / seconds);
    return EXIT_SUCCESS;
}

static int write_json(const generate_options *options, dither_model *model, const dither_tokenizer *tokenizer)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (!memory)
        return dither_output_fail(DITHER_E_MEMORY, NULL, "no memory for the text");
    writer w = {.tokenizer = tokenizer};
    dither_utf8_stream_init(&w.stream, memory, false);
    dither_error error = {.status = DITHER_OK};
    const double start = dither_output_clock();
    dither_status status = generate(options, model, &w, &error);
    const double seconds = dither_output_clock() - start;
    if (fclose(memory) && !status) {
        error = (dither_error){.status = DITHER_E_MEMORY, .text = "no memory for the text"};
        status = error.status;
    }
    if (!status)
        print_json(options, text, length, w.tokens, seconds);
    free(text);
    return status ? dither_output_error(&error) : EXIT_SUCCESS;
}

static int run(int count, char **words)
{
    generate_options options;
    defaults(&options);
    dither_parsed parsed;
    dither_error error = {.status = DITHER_OK};
    dither_scheme scheme;
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_generate, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    if (!options.model)
        return dither_output_fail(DITHER_E_USAGE, "--model", "it is missing; name a model folder");
    if (!options.prompt[0])
        return dither_output_fail(DITHER_E_USAGE, "--prompt", "it is empty; leave it out to start from a newline");
    if (options.scheme && dither_scheme_parse(options.scheme, &scheme, &error))
        return dither_output_error(&error);
    if (!dither_output_is_model(options.model))
        return EXIT_FAILURE;
    dither_tokenizer *tokenizer = NULL;
    dither_model *model = NULL;
    dither_status status = dither_tokenizer_open(&tokenizer, options.model, &error);
    if (!status)
        status =
            dither_model_open(&model, options.model, options.scheme ? &scheme : NULL, (int)options.threads, &error);
    int code;
    if (status)
        code = dither_output_error(&error);
    else
        code = options.json ? write_json(&options, model, tokenizer) : write_text(&options, model, tokenizer);
    if (model)
        dither_model_close(model);
    if (tokenizer)
        dither_tokenizer_close(tokenizer);
    return code;
}

const dither_command dither_command_generate = {
    .name = "generate",
    .summary = "write text with a model",
    .usage = "--model DIR [--prompt TEXT] [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(generate_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
