/* dither eval: the loss of a model on a text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "dither/train.h"
#include "output.h"
#include "terminal.h"

typedef struct eval_options {
    const char *model, *scheme;
    dither_argument_list data;
    uint64_t seq, threads;
    bool json;
} eval_options;

#define AT(member) offsetof(eval_options, member)
static const dither_argument arguments[] = {
    {.group = "What", .name = "model", .value = "DIR", .type = ARGUMENT_TEXT, .offset = AT(model),
     .help = "model folder"},
    {.name = "data", .value = "PATH...", .type = ARGUMENT_LIST, .offset = AT(data),
     .help = "UTF-8 text files, or folders of them"},
    {.group = "How", .name = "seq", .value = "T", .type = ARGUMENT_U64, .offset = AT(seq), .min = 1, .max = 1 << 30,
     .absent = "the model's ctx", .help = "tokens read at once"},
    {.name = "scheme", .value = "S", .type = ARGUMENT_TEXT, .offset = AT(scheme), .absent = "stored weights in f32",
     .help = "preset or scheme the products run in"},
    {.name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024, .absent = "all cores",
     .help = "threads; the result does not depend on it"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object"},
};
#undef AT

static const char *const examples[] = {
    "dither eval --model model --data heldout.txt",
    "nats a token, perplexity and bits a byte of a text the model has not seen",
    "dither eval --model model --data heldout.txt --scheme int8",
    "the same with the products in int8",
    "dither eval --model model --data a.txt b.txt --seq 256 --json",
    "two files as one text, shorter windows, for programs",
    NULL,
};

static void defaults(void *options)
{
    *(eval_options *)options = (eval_options){.model = NULL};
}

static void notes(void)
{
    printf("Window i reads tokens [iT, iT+T) and predicts [iT+1, iT+T], so every token but the first is\n"
           "predicted exactly once.\n");
}

static void show_progress(void *context, uint64_t done, uint64_t total)
{
    dither_terminal *terminal = context;
    if (!terminal->live || !dither_terminal_due(terminal, done, total))
        return;
    char text[32];
    (void)snprintf(text, sizeof text, "evaluating %3.0f %%", total ? 100.0 * (double)done / (double)total : 100.0);
    const char *const fields[] = {text};
    dither_terminal_progress(terminal, fields, 1);
}

static void print_result(const dither_evaluation *result, bool json)
{
    if (!json) {
        printf("nats per token  %.4f\nperplexity      %.4f\nbits per byte   %.4f\n", result->nats_per_token,
               result->perplexity, result->bits_per_byte);
        printf("tokens          %llu\nbytes           %llu\n", (unsigned long long)result->tokens,
               (unsigned long long)result->bytes);
        return;
    }
    printf("{\"nats_per_token\":");
    dither_output_json_number(stdout, result->nats_per_token);
    printf(",\"perplexity\":");
    dither_output_json_number(stdout, result->perplexity);
    printf(",\"bits_per_byte\":");
    dither_output_json_number(stdout, result->bits_per_byte);
    printf(",\"tokens\":%llu,\"bytes\":%llu}\n", (unsigned long long)result->tokens, (unsigned long long)result->bytes);
}

static int evaluate(const eval_options *options, const dither_scheme *scheme)
{
    dither_tokenizer *tokenizer = NULL;
    dither_corpus *corpus = NULL;
    dither_model *model = NULL;
    dither_error error = {.status = DITHER_OK};
    dither_evaluation result = {.tokens = 0};
    dither_terminal terminal;
    dither_terminal_init(&terminal, stderr);
    dither_status status = dither_tokenizer_open(&tokenizer, options->model, &error);
    if (!status)
        status = dither_corpus_open(&corpus, options->data.items, options->data.count, tokenizer, &error);
    if (!status)
        status = dither_model_open(&model, options->model, scheme, (int)options->threads, &error);
    if (!status)
        status = dither_evaluate(model, corpus, (size_t)options->seq, show_progress, &terminal, &result, &error);
    dither_terminal_clear(&terminal);
    if (!status)
        print_result(&result, options->json);
    if (model)
        dither_model_close(model);
    if (corpus)
        dither_corpus_close(corpus);
    if (tokenizer)
        dither_tokenizer_close(tokenizer);
    return status ? dither_output_error(&error) : EXIT_SUCCESS;
}

static int checked(const eval_options *options)
{
    dither_scheme scheme;
    dither_error error = {.status = DITHER_OK};
    if (!options->model)
        return dither_output_fail(DITHER_E_USAGE, "--model", "it is missing; name a model folder");
    if (!options->data.count)
        return dither_output_fail(DITHER_E_USAGE, "--data", "it is missing; name text files or folders");
    if (options->scheme && dither_scheme_parse(options->scheme, &scheme, &error))
        return dither_output_error(&error);
    if (!dither_output_is_model(options->model))
        return EXIT_FAILURE;
    return evaluate(options, options->scheme ? &scheme : NULL);
}

static int run(int count, char **words)
{
    eval_options options = {.model = NULL};
    dither_parsed parsed;
    const dither_parse_result result = dither_arguments_parse(&dither_command_eval, count, words, &options, &parsed);
    const int code = result == PARSE_OK ? checked(&options) : result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    free(options.data.items);
    return code;
}

const dither_command dither_command_eval = {
    .name = "eval",
    .summary = "measure the loss of a model on a text",
    .usage = "--model DIR --data PATH... [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(eval_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
