/* dither train: a run from options to a model folder. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "dither/bench.h"
#include "dither/train.h"
#include "output.h"
#include "stop.h"
#include "train_display.h"

typedef struct train_options {
    dither_train_options run;
    dither_argument_list data;
    uint64_t threads;
    int optimizer, schedule, save_format, train_on, longer;
    bool json, verbose, profile;
} train_options;

static const char *save_format_name(int format)
{
    static const char *const names[] = {"f32", "bf16"};
    return format >= 0 && format < 2 ? names[format] : NULL;
}

#define OWN(member) offsetof(train_options, member)
#define RUN(member) offsetof(train_options, run.member)
static const dither_argument arguments[] = {
    {.group = "Model", .name = "new", .value = "SHAPE", .type = ARGUMENT_TEXT, .offset = RUN(new_model),
     .help = "a new model: layers=4,heads=4,dim=128,ctx=64 and, where wanted,\n"
             "                          kv_heads, ffn, head_dim, vocab, tied=0|1, rope_base, norm_eps; arch=qwen3 in\n"
             "                          front of it: another architecture"},
    {.name = "model", .value = "DIR", .type = ARGUMENT_TEXT, .offset = RUN(model),
     .help = "or the model folder to start from"},
    {.name = "tokenizer", .value = "PATH", .type = ARGUMENT_TEXT, .offset = RUN(tokenizer), .absent = "bytes",
     .help = "of a --new model, or of a --model without one: a\n"
             "                          tokenizer.json or a folder with one"},
    {.group = "Data", .name = "data", .value = "PATH...", .type = ARGUMENT_LIST, .offset = OWN(data),
     .help = "UTF-8 texts; or records of chats: .jsonl, .json, .ndjson,\n"
             "                          as FILE:2 seen twice as often; or folders of either"},
    {.name = "val", .value = "PATH", .type = ARGUMENT_TEXT, .offset = RUN(val),
     .help = "what to hold out, a file or folder"},
    {.name = "val-fraction", .value = "X", .type = ARGUMENT_F64, .offset = RUN(val_fraction),
     .help = "or hold out the last X of the data"},
    {.name = "seq", .value = "T", .type = ARGUMENT_U64, .offset = RUN(seq), .min = 1, .max = 4294967295.0,
     .absent = "the model's ctx, of records or a --model at most 512", .help = "tokens in a sequence"},
    {.name = "chat-format", .value = "NAME", .type = ARGUMENT_TEXT, .offset = RUN(chat_format),
     .absent = "the model's", .help = "records: how chats become text; see Records below"},
    {.name = "fields", .value = "A,B", .type = ARGUMENT_TEXT, .offset = RUN(fields), .absent = "the usual ones",
     .help = "records: the question's and the answer's"},
    {.name = "train-on", .value = "WHAT", .type = ARGUMENT_WORD, .offset = OWN(train_on),
     .word = dither_train_on_name, .help = "records: assistant (answers alone) or all"},
    {.name = "long", .value = "WHAT", .type = ARGUMENT_WORD, .offset = OWN(longer), .word = dither_long_name,
     .help = "records longer than a sequence: cut or skip"},
    {.group = "Output", .name = "out", .value = "DIR", .type = ARGUMENT_TEXT, .offset = RUN(out),
     .help = "model folder to write; created where it is not there"},
    {.name = "save-every", .value = "N", .type = ARGUMENT_U64, .offset = RUN(save_every),
     .help = "steps between checkpoints; 0: only at the end"},
    {.name = "save-format", .value = "F", .type = ARGUMENT_WORD, .offset = OWN(save_format), .word = save_format_name,
     .help = "numbers in model.safetensors: f32 or bf16"},
    {.name = "eval-every", .value = "N", .type = ARGUMENT_U64, .offset = RUN(eval_every),
     .help = "steps between evaluations; 0: only at the end"},
    {.name = "eval-tokens", .value = "N", .type = ARGUMENT_U64, .offset = RUN(eval_tokens), .min = 1, .max = 1e15,
     .help = "tokens of an evaluation on the way; the last takes all"},
    {.name = "tensorboard", .type = ARGUMENT_FLAG, .offset = RUN(tensorboard),
     .help = "also write the figures as TensorBoard reads them, in --out"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = OWN(json), .help = "print events, one JSON object a line"},
    {.group = "Precision", .name = "scheme", .value = "S", .type = ARGUMENT_TEXT, .offset = RUN(scheme),
     .help = "how linear layers compute; see Schemes below"},
    {.group = "Training", .name = "steps", .value = "N", .type = ARGUMENT_U64, .offset = RUN(steps),
     .help = "steps in all"},
    {.name = "epochs", .value = "X", .type = ARGUMENT_F64, .offset = RUN(epochs), .max = 1e6, .above = true,
     .absent = "as --steps says", .help = "or the steps in which all data are seen X times"},
    {.name = "batch", .value = "B", .type = ARGUMENT_U64, .offset = RUN(batch), .help = "sequences in a micro-batch"},
    {.name = "accumulate", .value = "K", .type = ARGUMENT_U64, .offset = RUN(accumulate),
     .help = "micro-batches in a step"},
    {.name = "optimizer", .value = "O", .type = ARGUMENT_WORD, .offset = OWN(optimizer),
     .word = dither_optimizer_name,
     .help = "adamw or sgd"},
    {.name = "lr", .value = "X", .type = ARGUMENT_F64, .offset = RUN(lr), .help = "largest learning rate"},
    {.name = "min-lr", .value = "X", .type = ARGUMENT_F64, .offset = RUN(min_lr), .max = 1e6, .absent = "lr / 10",
     .help = "learning rate at the end"},
    {.name = "schedule", .value = "S", .type = ARGUMENT_WORD, .offset = OWN(schedule), .word = dither_schedule_name,
     .help = "cosine, linear, constant or wsd"},
    {.name = "warmup", .value = "N", .type = ARGUMENT_U64, .offset = RUN(warmup),
     .help = "steps over which lr rises from 0"},
    {.name = "beta1", .value = "X", .type = ARGUMENT_F64, .offset = RUN(beta1),
     .help = "AdamW: decay of the mean gradient"},
    {.name = "beta2", .value = "X", .type = ARGUMENT_F64, .offset = RUN(beta2), .help = "AdamW: decay of its square"},
    {.name = "adam-eps", .value = "X", .type = ARGUMENT_F64, .offset = RUN(adam_eps),
     .help = "AdamW: added to the root"},
    {.name = "weight-decay", .value = "X", .type = ARGUMENT_F64, .offset = RUN(weight_decay),
     .help = "decoupled, on matrices alone"},
    {.name = "momentum", .value = "X", .type = ARGUMENT_F64, .offset = RUN(momentum), .help = "SGD"},
    {.name = "clip", .value = "X", .type = ARGUMENT_F64, .offset = RUN(clip),
     .help = "largest norm of a gradient; 0: no clipping"},
    {.name = "noise-every", .value = "N", .type = ARGUMENT_U64, .offset = RUN(noise_every), .max = 4294967295.0,
     .absent = "at less than 1 % of the time",
     .help = "steps between probes of rounding's noise; 0: none"},
    {.name = "auto-batch", .type = ARGUMENT_FLAG, .offset = RUN(auto_batch),
     .help = "double --accumulate whenever that noise drowns the gradient"},
    {.name = "auto-batch-max", .value = "X", .type = ARGUMENT_U64, .offset = RUN(auto_batch_max), .min = 1, .max = 4095,
     .help = "to at most so many times what it was"},
    {.name = "seed", .value = "S", .type = ARGUMENT_U64, .offset = RUN(seed), .help = "decides everything random"},
    {.group = "Run", .name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = OWN(threads), .max = 1024,
     .absent = "all cores", .help = "threads; the result does not depend on it"},
    {.name = "memory", .value = "SIZE", .type = ARGUMENT_SIZE, .offset = RUN(memory),
     .absent = "what the machine has",
     .help = "refuse a run that would take more, as 512M or 2G"},
    {.name = "resume", .type = ARGUMENT_FLAG, .offset = RUN(resume),
     .help = "go on from the checkpoint in --out with its options, or start\n"
             "                          where there is none"},
    {.name = "profile", .type = ARGUMENT_FLAG, .offset = OWN(profile),
     .help = "print where the time went, against this machine's peaks"},
    {.name = "stop-at", .value = "N", .type = ARGUMENT_U64, .offset = RUN(stop_at), .min = 1, .max = 4294967295.0,
     .absent = "run to the end", .help = "save after step N and exit"},
    {.name = "dry-run", .type = ARGUMENT_FLAG, .offset = RUN(dry_run),
     .help = "print what the run would take in memory, write nothing"},
    {.name = "verbose", .type = ARGUMENT_FLAG, .offset = OWN(verbose),
     .help = "with --dry-run: every tensor and buffer, not the sums alone"},
};
#undef OWN
#undef RUN

static const char *const examples[] = {
    "dither train --new layers=4,heads=4,dim=128,ctx=64 --data book.txt --out model",
    "a new model from one text, with the defaults (scheme paper-int8)",
    "dither train --new layers=6,heads=6,kv_heads=2,dim=384,ctx=256 --data texts/ --val heldout.txt \\\n"
    "      --scheme int8 --batch 12 --steps 5000 --warmup 100 --out model",
    "a larger one from a folder of texts, all products in int8",
    "dither train --model model --data chats.jsonl --val more.jsonl --chat-format chatml --lr 1e-4 --out tuned",
    "fine-tune on chats, of which the answers alone are trained on",
    "dither train --new layers=6,heads=6,dim=384,ctx=256 --tokenizer tok.json --data texts/ --out model",
    "in the tokens of `dither tokenizer train`, or of any other tokenizer",
    "dither train --resume --out model",
    "go on with a run that was stopped",
    "dither train --model model --data new.txt --scheme mxfp4 --lr 1e-4 --steps 200 --out tuned",
    "start from a trained model, in 4 bits",
    "dither train --new layers=12,heads=12,dim=768,ctx=1024 --data book.txt --dry-run",
    "how much memory would this take?",
    NULL,
};

static void defaults(void *options)
{
    train_options *o = options;
    *o = (train_options){.json = false};
    dither_train_options_init(&o->run);
    o->optimizer = (int)o->run.optimizer;
    o->schedule = (int)o->run.schedule;
    o->save_format = o->run.save_bf16;
    o->train_on = (int)o->run.train_on;
    o->longer = (int)o->run.longer;
}

static void notes(void)
{
    printf("Schemes:\n  Presets:");
    for (size_t i = 0; dither_preset_name(i); i++)
        printf(" %s", dither_preset_name(i));
    printf("\n  Or ROLE=QUANTIZER,... for the roles act, weight (forward), bact, bweight, goact, goweight (backward),\n"
           "  each FORMAT[/SCALE][:ROUNDING], and same_input, same_weight, same_grad, rht=N. A role left out is f32.\n"
           "  head.ROLE=QUANTIZER is for the output head alone; a preset may come first: int8,head.goact=bf16\n"
           "  Without /SCALE there is no scale: the step is that of the format, 1 for int8; int8/row has one.\n"
           "  paper-X: backward in X with stochastic rounding, activations of forward in bf16.\n"
           "  `dither formats PRESET` explains one, `dither formats --schemes` lists them.\n"
           "\n");
    dither_output_records_notes();
    printf("\nExit status: 0 done, or --stop-at reached; 1 failed; 2 wrong usage; 130, 143 stopped by SIGINT, SIGTERM\n"
           "with a checkpoint written. A second signal quits at once.\n");
}

/* ---- options ---------------------------------------------------------------------------------------------- */

/*
 * What the checkpoint says, where there is one; then the command line is read again over it, so that what was said
 * there wins.
 */
static int take_checkpoint(train_options *o, dither_parsed *parsed, int count, char **words, void **storage)
{
    dither_error error = {.status = DITHER_OK};
    bool found = false;
    if (!o->run.out)
        return dither_output_fail(DITHER_E_USAGE, "--out", "it is missing; --resume looks for a checkpoint there");
    const char *const out = o->run.out;
    train_options stored;
    defaults(&stored);
    if (dither_train_resume_options(out, &stored.run, &found, storage, &error))
        return dither_output_error(&error);
    if (!found)
        return EXIT_SUCCESS;
    stored.optimizer = (int)stored.run.optimizer;
    stored.schedule = (int)stored.run.schedule;
    stored.save_format = stored.run.save_bf16;
    stored.train_on = (int)stored.run.train_on;
    stored.longer = (int)stored.run.longer;
    /* A choice between two options is made anew by saying either. */
    if (dither_arguments_given(&dither_command_train, parsed, "new"))
        stored.run.model = NULL;
    if (dither_arguments_given(&dither_command_train, parsed, "model"))
        stored.run.new_model = NULL;
    if (dither_arguments_given(&dither_command_train, parsed, "val-fraction"))
        stored.run.val = NULL;
    if (dither_arguments_given(&dither_command_train, parsed, "steps"))
        stored.run.epochs = 0;
    free(o->data.items);
    *o = stored;
    return dither_arguments_parse(&dither_command_train, count, words, o, parsed) == PARSE_OK ? EXIT_SUCCESS
                                                                                              : EXIT_USAGE;
}

static int check(const train_options *o, const dither_parsed *parsed)
{
    static const char *const about_records[] = {"chat-format", "fields", "train-on", "long", NULL};
    const char *const first = o->data.count ? o->data.items[0] : o->run.data_count ? o->run.data[0] : NULL;
    if (first && !dither_output_has_records(&dither_command_train, parsed, about_records, first))
        return EXIT_USAGE;
    if (dither_arguments_given(&dither_command_train, parsed, "val") &&
        dither_arguments_given(&dither_command_train, parsed, "val-fraction"))
        return dither_output_fail(DITHER_E_USAGE, "--val-fraction",
                                  "--val names the text to hold out already; say one of the two");
    if (dither_arguments_given(&dither_command_train, parsed, "steps") &&
        dither_arguments_given(&dither_command_train, parsed, "epochs"))
        return dither_output_fail(DITHER_E_USAGE, "--epochs",
                                  "--steps says how long to train already; say one of the two");
    if (!o->run.out && !o->run.dry_run)
        return dither_output_fail(DITHER_E_USAGE, "--out", "it is missing; name a folder for the model");
    if (o->profile && o->run.dry_run)
        return dither_output_fail(DITHER_E_USAGE, "--profile", "--dry-run takes no step whose time could be measured");
    if (o->verbose && !o->run.dry_run)
        return dither_output_fail(DITHER_E_USAGE, "--verbose", "it lists what --dry-run predicts; add --dry-run");
    if (dither_arguments_given(&dither_command_train, parsed, "model") && !dither_output_is_model(o->run.model))
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}

static void complete(train_options *o)
{
    if (o->data.count) {
        o->run.data = o->data.items;
        o->run.data_count = o->data.count;
    }
    o->run.threads = (int)o->threads;
    o->run.optimizer = (dither_optimizer)o->optimizer;
    o->run.schedule = (dither_schedule)o->schedule;
    o->run.save_bf16 = o->save_format == 1;
    o->run.train_on = (dither_train_on)o->train_on;
    o->run.longer = (dither_long)o->longer;
}

static int train(train_options *o)
{
    dither_error error = {.status = DITHER_OK};
    dither_train_display display;
    dither_peaks peaks;
    const volatile sig_atomic_t *const stop =
        dither_stop_catch("\ndither: finishing this step, then saving; once more quits at once\n");
    if (o->profile && dither_bench_peak(o->run.threads, &peaks, &error))
        return dither_output_error(&error);
    if (*stop) /* while the peaks were measured: nothing has begun */
        return EXIT_SIGNAL + *stop;
    o->run.profile = o->profile ? &peaks : NULL;
    dither_train_display_init(&display, o->run.dry_run ? NULL : o->run.out, o->json, o->verbose);
    const dither_status status = dither_train(&o->run, dither_train_display_event, &display, stop, &error);
    dither_train_display_end(&display);
    if (status == DITHER_E_STOPPED)
        return EXIT_SIGNAL + (*stop ? *stop : SIGINT);
    return status ? dither_output_error(&error) : EXIT_SUCCESS;
}

static int run(int count, char **words)
{
    train_options options;
    dither_parsed parsed;
    void *storage = NULL;
    defaults(&options);
    const dither_parse_result result = dither_arguments_parse(&dither_command_train, count, words, &options, &parsed);
    int code = result == PARSE_ERROR ? EXIT_USAGE : EXIT_SUCCESS;
    if (result == PARSE_OK && options.run.resume)
        code = take_checkpoint(&options, &parsed, count, words, &storage);
    if (result == PARSE_OK && !code)
        code = check(&options, &parsed);
    if (result == PARSE_OK && !code) {
        complete(&options);
        code = train(&options);
    }
    free(options.data.items);
    free(storage);
    return code;
}

const dither_command dither_command_train = {
    .name = "train",
    .summary = "train a model on text",
    .usage = "--new SHAPE | --model DIR  --data PATH... --out DIR [OPTION]...\n"
             "       dither train --resume --out DIR [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(train_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
