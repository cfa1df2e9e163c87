/* dither noise: bias, variance and clipping of a scheme's gradients on real data. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "dither/noise.h"
#include "noise_print.h"
#include "output.h"
#include "stop.h"
#include "terminal.h"

typedef struct noise_options {
    dither_noise_options how;
    dither_argument_list data;
    const char *batch;
    uint64_t threads;
    int train_on, longer;
    bool whole, json;
} noise_options;

#define AT(member) offsetof(noise_options, member)
static const dither_argument arguments[] = {
    {.group = "What", .name = "model", .value = "PATH", .type = ARGUMENT_TEXT, .offset = AT(how.model),
     .help = "model folder, or a GGUF file"},
    {.name = "data", .value = "PATH...", .type = ARGUMENT_LIST, .offset = AT(data),
     .help = "UTF-8 texts, or records (.jsonl, .json, .ndjson); folders of either"},
    {.name = "scheme", .value = "S", .type = ARGUMENT_TEXT, .offset = AT(how.scheme),
     .help = "preset or scheme whose gradients are measured"},
    {.group = "How", .name = "batch", .value = "B,B,...", .type = ARGUMENT_TEXT, .offset = AT(batch),
     .help = "sequences a batch, each size larger than the last"},
    {.name = "seq", .value = "T", .type = ARGUMENT_U64, .offset = AT(how.seq), .min = 2, .max = 1 << 30,
     .absent = "the model's ctx, at most 256", .help = "tokens a sequence"},
    {.name = "micro-batch", .value = "N", .type = ARGUMENT_U64, .offset = AT(how.micro_batch),
     .help = "sequences that are quantized together"},
    {.name = "samples", .value = "N", .type = ARGUMENT_U64, .offset = AT(how.samples), .min = 2, .max = 4294967295.0,
     .absent = "the largest batch, at least 8", .help = "sequences that the sampling variance is of"},
    {.name = "precision", .value = "P", .type = ARGUMENT_F64, .offset = AT(how.precision),
     .help = "draw until the variance is known within so much of it"},
    {.name = "seeds", .value = "R", .type = ARGUMENT_U64, .offset = AT(how.draws), .help = "draws of a figure at most"},
    {.name = "whole", .type = ARGUMENT_FLAG, .offset = AT(whole),
     .help = "the scheme as a whole, and not each role by itself"},
    {.name = "seed", .value = "N", .type = ARGUMENT_U64, .offset = AT(how.seed), .max = 9007199254740991.0,
     .help = "which sequences, which draws"},
    {.group = "Records", .name = "chat-format", .value = "NAME", .type = ARGUMENT_TEXT, .offset = AT(how.chat_format),
     .absent = "the model's", .help = "how chats become text; see Records below"},
    {.name = "fields", .value = "A,B", .type = ARGUMENT_TEXT, .offset = AT(how.fields), .absent = "the usual ones",
     .help = "the question's and the answer's"},
    {.name = "train-on", .value = "WHAT", .type = ARGUMENT_WORD, .offset = AT(train_on), .word = dither_train_on_name,
     .help = "the loss is of assistant (answers alone) or all"},
    {.name = "long", .value = "WHAT", .type = ARGUMENT_WORD, .offset = AT(longer), .word = dither_long_name,
     .help = "records longer than --seq: cut or skip"},
    {.group = "Machine", .name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024,
     .absent = "all cores", .help = "threads; the result does not depend on it"},
    {.name = "memory", .value = "SIZE", .type = ARGUMENT_SIZE, .offset = AT(how.memory),
     .absent = "what the machine has", .help = "refuse to take more"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object"},
};
#undef AT

static const char *const examples[] = {
    "dither noise --model model --data text.txt --scheme paper-int4",
    "what 4 bits in the backward pass do to the gradient, at batches of 1, 2, 4 and 8 sequences",
    "dither noise --model SmolLM2-135M-Instruct.Q4_1.gguf --data gsm8k.jsonl --scheme int8 --batch 1,4 --whole",
    "a real model on records, without the roles one by one",
    "dither noise --model model --data text.txt --scheme paper-e4m1 --batch 1,2,4,8,16 --precision 0.01 --seeds 200 "
    "--json",
    "tighter intervals, for programs",
    NULL,
};

static void defaults(void *options)
{
    noise_options *o = options;
    *o = (noise_options){.batch = "1,2,4,8"};
    dither_noise_options_init(&o->how);
}

static void notes(void)
{
    printf("Everything is measured at the model's weights, by the kernels that train, each micro-batch with its own\n"
           "draws. bias^2 is |E G - g|^2 and variance E |G - E G|^2 of the scheme's gradient G of a batch against its\n"
           "gradient g in f32; error is sqrt(E |G - g|^2) / |g|. Memory: the weights and three gradients.\n\n");
    dither_output_records_notes();
}

/* ---- progress ---------------------------------------------------------------------------------------------- */

typedef struct noise_display {
    dither_terminal terminal;
    double begun;
} noise_display;

static void show_progress(void *context, const dither_noise_progress *progress)
{
    noise_display *display = context;
    if (!display->terminal.live || !dither_terminal_due(&display->terminal, progress->done, progress->total))
        return;
    char done[32], eta[32], what[64], duration[16];
    const double taken = dither_output_clock() - display->begun, left = (double)(progress->total - progress->done);
    dither_terminal_duration(taken / (double)progress->done * left, duration);
    (void)snprintf(done, sizeof done, "measuring %3.0f %%", 100.0 * (double)progress->done / (double)progress->total);
    (void)snprintf(what, sizeof what, "batch %llu, %s", (unsigned long long)progress->batch,
                   progress->part == DITHER_NOISE_PARTS ? "f32" : dither_noise_part(progress->part));
    (void)snprintf(eta, sizeof eta, "ETA %s", duration);
    const char *const fields[] = {done, eta, what};
    dither_terminal_progress(&display->terminal, fields, 3);
}

/* ---- running ----------------------------------------------------------------------------------------------- */

/* "1,2,4" into batches[DITHER_NOISE_BATCHES]. */
static int read_batches(const char *text, uint64_t *batches, size_t *count)
{
    *count = 0;
    for (const char *at = text;; at++) {
        uint64_t value = 0;
        const char *const begin = at;
        for (; *at >= '0' && *at <= '9' && value < 1000000000; at++)
            value = 10 * value + (uint64_t)(*at - '0');
        if (at == begin || (*at && *at != ','))
            return dither_output_fail(DITHER_E_USAGE, "--batch", "'%s' is no list of whole numbers, as 1,2,4,8 is",
                                      text);
        if (*count == DITHER_NOISE_BATCHES)
            return dither_output_fail(DITHER_E_USAGE, "--batch", "more than %d sizes", DITHER_NOISE_BATCHES);
        batches[(*count)++] = value;
        if (!*at)
            return EXIT_SUCCESS;
    }
}

static int measure(noise_options *o)
{
    uint64_t batches[DITHER_NOISE_BATCHES];
    dither_error error = {.status = DITHER_OK};
    dither_noise *noise = NULL;
    noise_display display = {.begun = dither_output_clock()};
    const int code = read_batches(o->batch, batches, &o->how.batch_count);
    if (code)
        return code;
    if (o->how.model && !dither_output_is_model(o->how.model))
        return EXIT_FAILURE;
    o->how.batches = batches;
    if (o->whole)
        o->how.parts = 1u << DITHER_NOISE_WHOLE;
    o->how.data = o->data.items;
    o->how.data_count = o->data.count;
    o->how.threads = (int)o->threads;
    o->how.train_on = (dither_train_on)o->train_on;
    o->how.longer = (dither_long)o->longer;
    const volatile sig_atomic_t *const stop = dither_stop_catch("\ndither: stopping; once more quits at once\n");
    dither_terminal_init(&display.terminal, stderr);
    const dither_status status = dither_noise_measure(&o->how, &noise, show_progress, &display, stop, &error);
    dither_terminal_clear(&display.terminal);
    if (status == DITHER_E_STOPPED)
        return EXIT_SIGNAL + (*stop ? *stop : SIGINT);
    if (status)
        return dither_output_error(&error);
    (o->json ? dither_noise_print_json : dither_noise_print)(noise);
    dither_noise_free(noise);
    return EXIT_SUCCESS;
}

static int run(int count, char **words)
{
    noise_options options;
    dither_parsed parsed;
    defaults(&options);
    const dither_parse_result result = dither_arguments_parse(&dither_command_noise, count, words, &options, &parsed);
    const int code = result == PARSE_OK ? measure(&options) : result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    free(options.data.items);
    return code;
}

const dither_command dither_command_noise = {
    .name = "noise",
    .summary = "measure what a scheme does to a model's gradient",
    .usage = "--model PATH --data PATH... --scheme S [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(noise_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
