/* dither study scaling: errors of quantized gradients against batch and bits. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd_study.h"
#include "output.h"
#include "stop.h"

typedef struct scaling_options {
    dither_study_scaling_options study;
    dither_argument_list data;
    uint64_t threads;
    bool json;
} scaling_options;

#define OWN(member) offsetof(scaling_options, member)
#define AT(member) offsetof(scaling_options, study.member)
static const dither_argument arguments[] = {
    {.group = "Data", .name = "model", .value = "PATH", .type = ARGUMENT_TEXT, .offset = AT(model),
     .help = "model folder, or a GGUF file"},
    {.name = "data", .value = "PATH...", .type = ARGUMENT_LIST, .offset = OWN(data),
     .help = "UTF-8 texts, or records (.jsonl, .json, .ndjson); folders of either"},
    {.name = "chat-format", .value = "NAME", .type = ARGUMENT_TEXT, .offset = AT(chat_format),
     .absent = "the model's", .help = "records: how chats become text"},
    {.name = "fields", .value = "A,B", .type = ARGUMENT_TEXT, .offset = AT(fields), .absent = "the usual ones",
     .help = "records: the question's and the answer's"},
    {.group = "Output", .name = "out", .value = "DIR", .type = ARGUMENT_TEXT, .offset = AT(out),
     .help = "folder for results and for finished cells; created where it is\n"
             "                          not there"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = OWN(json),
     .help = "print progress and claims, one JSON object a line"},
    {.group = "Protocol", .name = "sequences", .value = "N", .type = ARGUMENT_U64, .offset = AT(sequences),
     .help = "fixed sequences, a power of two from 4 to 256"},
    {.name = "seq", .value = "T", .type = ARGUMENT_U64, .offset = AT(seq), .min = 2, .max = 1 << 30,
     .absent = "the model's ctx, at most 256", .help = "tokens a sequence"},
    {.name = "seeds", .value = "R", .type = ARGUMENT_U64, .offset = AT(seeds),
     .help = "repetitions of what is random"},
    {.name = "elements", .value = "N", .type = ARGUMENT_U64, .offset = AT(elements),
     .help = "elements of the gradient that are looked at, at most"},
    {.group = "Run", .name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = OWN(threads), .max = 1024,
     .absent = "all cores", .help = "threads; the results do not depend on it"},
};
#undef AT
#undef OWN

static const char *const examples[] = {
    "dither study scaling --model model --data text.txt --out study",
    "64 sequences, ten schemes of backward rounding, ten of errors",
    "dither study scaling --model model --data text.txt --out quick --sequences 8 --seeds 2",
    "the first look",
    "dither study scaling --model SmolLM2-135M-Instruct.Q4_1.gguf --data gsm8k.jsonl --out smollm2 --seeds 2",
    "a real model on records: hours on a small machine",
    NULL,
};

static void defaults(void *options)
{
    scaling_options *o = options;
    *o = (scaling_options){.json = false};
    dither_study_scaling_init(&o->study);
}

static void notes(void)
{
    printf("N fixed sequences, each quantized as its own micro-batch, in batches of 1, 2, 4, ..., N. Variance of\n"
           "stochastic rounding in the backward pass under ten formats; errors of rounding to nearest there, of\n"
           "quantized weights, of quantized forward activations, fitted as A + B / b. For the whole gradient and each\n"
           "layer. Memory: the weights, a gradient, and 8 bytes an element and sequence (--elements x --sequences).\n"
           "Finished cells are kept in DIR/cells. After Ctrl-C or kill the same command goes on there, and ends with\n"
           "the same results, byte for byte.\n");
}

static int study(scaling_options *o, char *command)
{
    dither_error error = {.status = DITHER_OK};
    dither_study_display display;
    dither_claims *const claims = calloc(1, sizeof *claims);
    if (!claims || !command) {
        free(claims);
        return dither_output_fail(DITHER_E_MEMORY, NULL, "no memory");
    }
    if (o->study.model && !dither_output_is_model(o->study.model)) {
        free(claims);
        return EXIT_FAILURE;
    }
    o->study.data = o->data.items;
    o->study.data_count = o->data.count;
    o->study.threads = (int)o->threads;
    o->study.origin = (dither_study_origin){command, DITHER_VERSION};
    const volatile sig_atomic_t *const stop =
        dither_stop_catch("\ndither: stopping; finished cells are kept, and the same command goes on\n");
    dither_study_display_init(&display, o->json);
    const dither_status status =
        dither_study_scaling(&o->study, dither_study_display_event, &display, stop, claims, &error);
    const int code = dither_study_display_end(&display, status, claims, o->study.out, *stop, &error);
    free(claims);
    return code;
}

static int run(int count, char **words)
{
    scaling_options options;
    dither_parsed parsed;
    char *const command = dither_study_command_line(count + 1, words - 1); /* before words change places */
    defaults(&options);
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_study_scaling, count, words, &options, &parsed);
    int code = result == PARSE_ERROR ? EXIT_USAGE : EXIT_SUCCESS;
    if (result == PARSE_OK)
        code = study(&options, command);
    free(options.data.items);
    free(command);
    return code;
}

const dither_command dither_command_study_scaling = {
    .name = "study scaling",
    .summary = "errors of quantized gradients against batch and bits, on a model and data",
    .usage = "--model PATH --data PATH... --out DIR [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(scaling_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
