/* dither study mnist: the paper's repeated-batch experiment. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd_study.h"
#include "output.h"
#include "stop.h"

typedef struct mnist_options {
    const char *data, *out;
    dither_argument_list nets, batches;
    uint64_t steps, seeds, threads;
    bool json;
} mnist_options;

#define AT(member) offsetof(mnist_options, member)
static const dither_argument arguments[] = {
    {.group = "Data", .name = "data", .value = "DIR", .type = ARGUMENT_TEXT, .offset = AT(data),
     .help = "folder with train-images-idx3-ubyte and train-labels-idx1-ubyte,\n"
             "                          as they are or with .gz"},
    {.group = "Output", .name = "out", .value = "DIR", .type = ARGUMENT_TEXT, .offset = AT(out),
     .help = "folder for results and for finished runs; created where it is\n"
             "                          not there"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json),
     .help = "print progress and claims, one JSON object a line"},
    {.group = "Protocol", .name = "net", .value = "WIDTHS...", .type = ARGUMENT_LIST, .offset = AT(nets),
     .absent = "784-100-10 784-100-100-10 784-100-100-100-10", .help = "widths from the pixels to the classes"},
    {.name = "batch", .value = "B...", .type = ARGUMENT_LIST, .offset = AT(batches),
     .absent = "512 1024 2048 4096", .help = "multiples of the 512 samples that are repeated"},
    {.name = "steps", .value = "N", .type = ARGUMENT_U64, .offset = AT(steps), .min = 1, .max = 1e9,
     .help = "steps of SGD in each run"},
    {.name = "seeds", .value = "N", .type = ARGUMENT_U64, .offset = AT(seeds), .min = 1, .max = 100,
     .help = "runs of each cell, seeds 1 to N"},
    {.group = "Run", .name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024,
     .absent = "all cores", .help = "runs at the same time; the results do not depend on it"},
};
#undef AT

static const char *const examples[] = {
    "dither study mnist --data mnist --out study",
    "the paper's protocol: three nets, four steps, four batches, four seeds",
    "dither study mnist --data mnist --out quick --net 784-100-10 --steps 500 --seeds 2",
    "the first look at one net",
    "dither study mnist --data mnist --out study --seeds 8",
    "more seeds in the same folder: what is there is kept",
    NULL,
};

static void defaults(void *options)
{
    dither_study_mnist_options protocol;
    dither_study_mnist_init(&protocol);
    *(mnist_options *)options = (mnist_options){.steps = protocol.steps, .seeds = protocol.seeds};
}

static void notes(void)
{
    printf("A batch is the same 512 training samples B/512 times, so that only the noise of stochastic rounding is\n"
           "left. Forward is f32; backward rounds x and dy to fixed point with steps of 1/2, 1/4, 1/8 and 1/16. After\n"
           "N steps of SGD (learning rate 0.001): the norm of each layer's f32 gradient on the samples, and the noise\n"
           "of the quantized one; powers of step and batch fitted to both.\n"
           "Finished runs are kept in DIR/cells. After Ctrl-C or kill the same command goes on there, and ends with\n"
           "the same results, byte for byte.\n");
}

/* @return false: the mistake has been printed */
static bool take_batches(const dither_argument_list *list, uint64_t *batches)
{
    for (size_t i = 0; i < list->count; i++) {
        char *end = NULL;
        const char *const text = list->items[i];
        batches[i] = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
        if (!end || *end) {
            (void)dither_output_fail(DITHER_E_USAGE, "--batch", "'%s' is not a whole number", text);
            return false;
        }
    }
    return true;
}

static int study(const mnist_options *o, char *command)
{
    dither_study_mnist_options protocol;
    dither_error error = {.status = DITHER_OK};
    dither_study_display display;
    dither_study_mnist_init(&protocol);
    uint64_t *const batches = calloc(o->batches.count + 1, sizeof *batches);
    dither_claims *const claims = calloc(1, sizeof *claims);
    int code = EXIT_FAILURE;
    if (!batches || !claims || !command) {
        (void)dither_output_fail(DITHER_E_MEMORY, NULL, "no memory");
    } else if (!take_batches(&o->batches, batches)) {
        code = EXIT_USAGE;
    } else {
        protocol.data = o->data;
        protocol.out = o->out;
        protocol.steps = o->steps;
        protocol.seeds = o->seeds;
        protocol.threads = (int)o->threads;
        protocol.origin = (dither_study_origin){command, DITHER_VERSION};
        if (o->nets.count) {
            protocol.nets = o->nets.items;
            protocol.net_count = o->nets.count;
        }
        if (o->batches.count) {
            protocol.batches = batches;
            protocol.batch_count = o->batches.count;
        }
        const volatile sig_atomic_t *const stop = dither_stop_catch(
            "\ndither: stopping; finished runs are kept, and the same command goes on\n");
        dither_study_display_init(&display, o->json);
        const dither_status status =
            dither_study_mnist(&protocol, dither_study_display_event, &display, stop, claims, &error);
        code = dither_study_display_end(&display, status, claims, o->out, *stop, &error);
    }
    free(claims);
    free(batches);
    return code;
}

static int run(int count, char **words)
{
    mnist_options options;
    dither_parsed parsed;
    char *const command = dither_study_command_line(count + 1, words - 1); /* before words change places */
    defaults(&options);
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_study_mnist, count, words, &options, &parsed);
    int code = result == PARSE_ERROR ? EXIT_USAGE : EXIT_SUCCESS;
    if (result == PARSE_OK)
        code = study(&options, command);
    free(options.nets.items);
    free(options.batches.items);
    free(command);
    return code;
}

const dither_command dither_command_study_mnist = {
    .name = "study mnist",
    .summary = "batches of repeated samples: how rounding's noise falls with step and batch",
    .usage = "--data DIR --out DIR [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(mnist_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
