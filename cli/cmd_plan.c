/* dither plan: how few bits, which batch, and the line to run. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "dither/advice.h"
#include "output.h"
#include "advice_command.h"
#include "advice_print.h"
#include "scheme_list.h"
#include "stop.h"
#include "terminal.h"

typedef struct plan_options {
    dither_advice_options how;
    dither_argument_list data, schemes;
    const char *out;
    uint64_t threads;
    int train_on, longer;
    bool json;
} plan_options;

#define OWN(member) offsetof(plan_options, member)
#define RUN(member) offsetof(plan_options, how.run.member)
static const dither_argument arguments[] = {
    {.group = "Model", .name = "new", .value = "SHAPE", .type = ARGUMENT_TEXT, .offset = RUN(new_model),
     .help = "a new model, as of dither train"},
    {.name = "model", .value = "PATH", .type = ARGUMENT_TEXT, .offset = RUN(model),
     .help = "or the model folder or GGUF file to start from"},
    {.name = "tokenizer", .value = "PATH", .type = ARGUMENT_TEXT, .offset = RUN(tokenizer), .absent = "bytes",
     .help = "of a --new model: a tokenizer.json or a folder with one"},
    {.group = "Data", .name = "data", .value = "PATH...", .type = ARGUMENT_LIST, .offset = OWN(data),
     .help = "UTF-8 texts, or records (.jsonl, .json, .ndjson); folders of either"},
    {.name = "val", .value = "PATH", .type = ARGUMENT_TEXT, .offset = RUN(val),
     .absent = "the last tenth", .help = "what the run holds out"},
    {.name = "seq", .value = "T", .type = ARGUMENT_U64, .offset = RUN(seq), .min = 1, .max = 4294967295.0,
     .absent = "the model's ctx, at most 256", .help = "tokens in a sequence"},
    {.name = "chat-format", .value = "NAME", .type = ARGUMENT_TEXT, .offset = RUN(chat_format),
     .absent = "the model's", .help = "records: how chats become text; see Records below"},
    {.name = "fields", .value = "A,B", .type = ARGUMENT_TEXT, .offset = RUN(fields), .absent = "the usual ones",
     .help = "records: the question's and the answer's"},
    {.name = "train-on", .value = "WHAT", .type = ARGUMENT_WORD, .offset = OWN(train_on),
     .word = dither_train_on_name, .help = "records: assistant (answers alone) or all"},
    {.name = "long", .value = "WHAT", .type = ARGUMENT_WORD, .offset = OWN(longer), .word = dither_long_name,
     .help = "records longer than a sequence: cut or skip"},
    {.group = "Run", .name = "schemes", .value = "S,S,...", .type = ARGUMENT_LIST, .offset = OWN(schemes),
     .absent = "bf16,paper-int8,paper-int4,int8",
     .help = "to compare with f32; a preset's name begins each, what\n"
             "                          follows changes it: int8,int8,goact=int4/g32:sr"},
    {.name = "batch", .value = "B", .type = ARGUMENT_U64, .offset = RUN(batch),
     .help = "sequences a step that f32 would take"},
    {.name = "steps", .value = "N", .type = ARGUMENT_U64, .offset = RUN(steps), .help = "steps of the run"},
    {.name = "lr", .value = "X", .type = ARGUMENT_F64, .offset = RUN(lr), .absent = "1e-3; 1e-4 of a --model",
     .help = "largest learning rate of the run"},
    {.name = "momentum", .value = "X", .type = ARGUMENT_F64, .offset = RUN(momentum),
     .help = "of SGD, whose excess loss is predicted"},
    {.name = "memory", .value = "SIZE", .type = ARGUMENT_SIZE, .offset = RUN(memory),
     .absent = "what the machine has", .help = "what the run may take, as 512M or 2G"},
    {.name = "hours", .value = "H", .type = ARGUMENT_F64, .offset = OWN(how.hours), .above = true, .max = 1e6,
     .absent = "not limited", .help = "what the run may take: --steps are those that fit"},
    {.name = "out", .value = "DIR", .type = ARGUMENT_TEXT, .offset = OWN(out), .absent = "trained, or a new name",
     .help = "folder that the advised run writes"},
    {.group = "Measuring", .name = "sequences", .value = "N", .type = ARGUMENT_U64, .offset = OWN(how.sequences),
     .min = 1, .max = 1024, .absent = "the batch, at most 8", .help = "that noise and bias are measured on"},
    {.name = "samples", .value = "N", .type = ARGUMENT_U64, .offset = OWN(how.samples), .min = 2, .max = 4294967295.0,
     .absent = "16, or all there are", .help = "sequences that the sampling variance is of"},
    {.name = "precision", .value = "P", .type = ARGUMENT_F64, .offset = OWN(how.precision),
     .help = "draw until the variance is known within so much of it"},
    {.name = "seed", .value = "N", .type = ARGUMENT_U64, .offset = RUN(seed), .max = 9007199254740991.0,
     .help = "which sequences, which draws, and the run's"},
    {.name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = OWN(threads), .max = 1024,
     .absent = "all cores", .help = "threads, of the run too"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = OWN(json), .help = "print one JSON object"},
};
#undef OWN
#undef RUN

static const char *const examples[] = {
    "dither plan --model model --data text.txt",
    "which of four schemes trains this model soonest on this machine, and the line to run",
    "dither plan --new layers=6,heads=6,dim=384,ctx=256 --data texts/ --schemes paper-int8,paper-int4 --memory 1G",
    "a new model, in a gigabyte",
    "dither plan --model SmolLM2-135M-Instruct.Q4_1.gguf --data chats.jsonl --batch 4 --hours 2 --json",
    "what two hours of fine-tuning hold, for programs",
    NULL,
};

static void defaults(void *options)
{
    plan_options *o = options;
    *o = (plan_options){.json = false};
    dither_advice_options_init(&o->how);
    o->train_on = (int)o->how.run.train_on;
    o->longer = (int)o->how.run.longer;
}

static void notes(void)
{
    printf("Measured at the model's weights: the variance s2 of one sequence's gradient, and q2 that a scheme's draws\n"
           "add to it. A batch of (s2 + q2) / s2 times as many sequences has f32's noise, and the same steps should\n"
           "lead to the same loss. Rates are those of real steps here; memory is that of train --dry-run. The scheme\n"
           "with the shortest time is advised, of those that fit and whose bias may be below half of the gradient.\n"
           "Close races may end differently the next time. A small model takes about a minute, one of 135 M\n"
           "parameters some minutes a scheme; memory: the weights and three gradients, then what the run takes.\n\n");
    dither_output_records_notes();
}

/* ---- progress ---------------------------------------------------------------------------------------------- */

typedef struct plan_display {
    dither_terminal terminal;
    double begun;
} plan_display;

static void show_progress(void *context, const dither_advice_progress *progress)
{
    plan_display *display = context;
    if (!display->terminal.live || !dither_terminal_due(&display->terminal, progress->done, progress->total))
        return;
    char done[32], eta[32], what[96], duration[16];
    const double taken = dither_output_clock() - display->begun, left = (double)(progress->total - progress->done);
    dither_terminal_duration(taken / (double)progress->done * left, duration);
    (void)snprintf(done, sizeof done, "measuring %3.0f %%", 100.0 * (double)progress->done / (double)progress->total);
    (void)snprintf(eta, sizeof eta, "ETA %s", duration);
    (void)snprintf(what, sizeof what, "%s of %.60s", progress->stage == DITHER_ADVICE_NOISE ? "noise" : "speed",
                   progress->scheme);
    const char *const fields[] = {done, eta, what};
    dither_terminal_progress(&display->terminal, fields, 3);
}

/* ---- running ----------------------------------------------------------------------------------------------- */

static int print(const plan_options *o, const dither_advice *advice, double seconds)
{
    char *command = NULL;
    if (advice->best < advice->row_count) {
        command = dither_advice_command(&o->how, advice, o->out);
        if (!command)
            return dither_output_fail(DITHER_E_MEMORY, NULL, "no memory");
    }
    const dither_advice_text plan = {&o->how, advice, command, seconds};
    (o->json ? dither_advice_print_json : dither_advice_print)(&plan);
    const int code = command ? EXIT_SUCCESS : EXIT_FAILURE;
    free(command);
    return code;
}

static int measure(const plan_options *o)
{
    dither_error error = {.status = DITHER_OK};
    dither_advice *advice = NULL;
    plan_display display = {.begun = dither_output_clock()};
    const volatile sig_atomic_t *const stop = dither_stop_catch("\ndither: stopping; once more quits at once\n");
    dither_terminal_init(&display.terminal, stderr);
    const dither_status status = dither_advice_make(&o->how, &advice, show_progress, &display, stop, &error);
    dither_terminal_clear(&display.terminal);
    if (status == DITHER_E_STOPPED)
        return EXIT_SIGNAL + (*stop ? *stop : SIGINT);
    if (status)
        return dither_output_error(&error);
    const int code = print(o, advice, dither_output_clock() - display.begun);
    dither_advice_free(advice);
    return code;
}

static int plan(plan_options *o, const dither_parsed *parsed)
{
    static const char *const usual[] = {"bf16,paper-int8,paper-int4,int8"};
    dither_scheme_list schemes;
    if (o->how.run.model && !dither_output_is_model(o->how.run.model))
        return EXIT_FAILURE;
    if (o->how.run.model && !dither_arguments_given(&dither_command_plan, parsed, "lr"))
        o->how.run.lr = 1e-4;
    const int failed = o->schemes.count ? dither_scheme_list_read(o->schemes.items, o->schemes.count, &schemes)
                                        : dither_scheme_list_read(usual, 1, &schemes);
    if (failed)
        return dither_output_fail(DITHER_E_MEMORY, NULL, "no memory");
    o->how.schemes = schemes.items;
    o->how.scheme_count = schemes.count;
    o->how.run.data = o->data.items;
    o->how.run.data_count = o->data.count;
    o->how.run.threads = (int)o->threads;
    o->how.run.train_on = (dither_train_on)o->train_on;
    o->how.run.longer = (dither_long)o->longer;
    const int code = measure(o);
    dither_scheme_list_free(&schemes);
    return code;
}

static int run(int count, char **words)
{
    plan_options options;
    dither_parsed parsed;
    defaults(&options);
    const dither_parse_result result = dither_arguments_parse(&dither_command_plan, count, words, &options, &parsed);
    const int code = result == PARSE_OK ? plan(&options, &parsed) : result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    free(options.data.items);
    free(options.schemes.items);
    return code;
}

const dither_command dither_command_plan = {
    .name = "plan",
    .summary = "how few bits and which batch: advice, and the line to run",
    .usage = "--new SHAPE | --model PATH  --data PATH... [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(plan_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
