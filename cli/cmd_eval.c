/* dither eval: the loss of a model on a text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "dither/train.h"
#include "logits_file.h"
#include "output.h"
#include "terminal.h"

typedef struct eval_options {
    const char *model, *tokenizer, *scheme;
    dither_argument_list data;
    const char *chat_format, *fields;
    int train_on, longer;
    const char *logits;
    uint64_t seq, max_tokens, threads;
    bool json;
} eval_options;

#define AT(member) offsetof(eval_options, member)
static const dither_argument arguments[] = {
    {.group = "What", .name = "model", .value = "PATH", .type = ARGUMENT_TEXT, .offset = AT(model),
     .help = "model folder, or a GGUF file"},
    {.name = "tokenizer", .value = "PATH", .type = ARGUMENT_TEXT, .offset = AT(tokenizer), .absent = "the model's",
     .help = "a tokenizer.json, a folder with one, or a GGUF file"},
    {.name = "data", .value = "PATH...", .type = ARGUMENT_LIST, .offset = AT(data),
     .help = "UTF-8 texts, or records (.jsonl, .json, .ndjson); folders of either"},
    {.group = "How", .name = "seq", .value = "T", .type = ARGUMENT_U64, .offset = AT(seq), .min = 1, .max = 1 << 30,
     .absent = "the model's ctx, or what the longest record takes", .help = "tokens read at once"},
    {.name = "max-tokens", .value = "N", .type = ARGUMENT_U64, .offset = AT(max_tokens), .min = 1, .max = 1e15,
     .absent = "all of them", .help = "stop after N predictions"},
    {.name = "scheme", .value = "S", .type = ARGUMENT_TEXT, .offset = AT(scheme), .absent = "stored weights in f32",
     .help = "preset or scheme the products run in"},
    {.name = "chat-format", .value = "NAME", .type = ARGUMENT_TEXT, .offset = AT(chat_format), .absent = "the model's",
     .help = "records: how chats become text; see Records below"},
    {.name = "fields", .value = "A,B", .type = ARGUMENT_TEXT, .offset = AT(fields), .absent = "the usual ones",
     .help = "records: the question's and the answer's"},
    {.name = "train-on", .value = "WHAT", .type = ARGUMENT_WORD, .offset = AT(train_on), .word = dither_train_on_name,
     .help = "records: the loss is of assistant (answers alone) or all"},
    {.name = "long", .value = "WHAT", .type = ARGUMENT_WORD, .offset = AT(longer), .word = dither_long_name,
     .help = "records longer than --seq: cut or skip"},
    {.name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024, .absent = "all cores",
     .help = "threads; the result does not depend on it"},
    {.name = "logits", .value = "FILE", .type = ARGUMENT_TEXT, .offset = AT(logits),
     .help = "write every prediction's logits there, for NumPy (.npy)"},
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
    "dither eval --model SmolLM2-135M-Instruct.Q4_1.gguf --data wiki.txt --seq 512 --max-tokens 10240",
    "a model in a GGUF file, on the first 20 windows of a text",
    "dither eval --model model --data chats.jsonl --chat-format chatml",
    "the loss of the answers in a file of chats",
    NULL,
};

static void defaults(void *options)
{
    *(eval_options *)options = (eval_options){.model = NULL};
}

static void notes(void)
{
    printf("Window i reads tokens [iT, iT+T) and predicts [iT+1, iT+T], so every token but the first is\n"
           "predicted exactly once. Of records, what training on them would train on is predicted.\n\n");
    dither_output_records_notes();
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

/* What of the records is not in the loss. */
static void print_records(const dither_evaluation *result)
{
    char all[32], count[32];
    dither_output_count(result->records, all);
    printf("records         %s", all);
    if (result->cut + result->skipped > 0) {
        dither_output_count(result->cut + result->skipped, count);
        printf(", %s longer than a sequence %s", count, result->cut > 0 ? "cut" : "skipped");
    }
    if (result->untrained > 0) {
        dither_output_count(result->untrained, count);
        printf(", %s with nothing to predict left out", count);
    }
    putchar('\n');
}

static void print_result(const dither_evaluation *result, bool json)
{
    if (!json) {
        char memory[16];
        if (result->records)
            print_records(result);
        dither_output_bytes(result->peak_rss_bytes, memory);
        printf("nats per token  %.4f\nperplexity      %.4f\nbits per byte   %.4f\n", result->nats_per_token,
               result->perplexity, result->bits_per_byte);
        printf("tokens          %llu\nbytes           %llu\nmemory          %s\n", (unsigned long long)result->tokens,
               (unsigned long long)result->bytes, memory);
        return;
    }
    printf("{\"nats_per_token\":");
    dither_output_json_number(stdout, result->nats_per_token);
    printf(",\"perplexity\":");
    dither_output_json_number(stdout, result->perplexity);
    printf(",\"bits_per_byte\":");
    dither_output_json_number(stdout, result->bits_per_byte);
    printf(",\"tokens\":%llu,\"bytes\":%llu", (unsigned long long)result->tokens, (unsigned long long)result->bytes);
    if (result->records)
        printf(",\"records\":%zu,\"cut\":%zu,\"skipped\":%zu,\"left_out\":%zu", result->records, result->cut,
               result->skipped, result->untrained);
    puts("}");
}

static dither_status evaluate_text(const eval_options *options, const dither_tokenizer *tokenizer, dither_model *model,
                                   dither_terminal *terminal, dither_evaluation *result, dither_error *error)
{
    dither_corpus *corpus = NULL;
    dither_status status =
        dither_corpus_open(&corpus, options->data.items, options->data.count, tokenizer, error);
    if (!status)
        status = dither_evaluate(model, corpus, (size_t)options->seq, options->max_tokens, show_progress, terminal,
                                 result, error);
    dither_corpus_close(corpus);
    return status;
}

static dither_status evaluate_records(const eval_options *options, const dither_tokenizer *tokenizer,
                                      dither_model *model, dither_terminal *terminal, dither_evaluation *result,
                                      dither_error *error)
{
    dither_records *records = NULL;
    const dither_records_options how = {.chat_format = options->chat_format, .fields = options->fields,
                                        .train_on = (dither_train_on)options->train_on, .model = options->model};
    dither_status status =
        dither_records_open(&records, options->data.items, options->data.count, &how, tokenizer, error);
    if (!status)
        status = dither_evaluate_records(model, records, (size_t)options->seq, (dither_long)options->longer,
                                         options->max_tokens, show_progress, terminal, result, error);
    dither_records_close(records);
    return status;
}

/* Before anything large is read: whether the model can read every token. */
static dither_status check_vocabulary(const dither_tokenizer *tokenizer, const char *model, dither_error *error)
{
    dither_model_config config;
    const dither_status status = dither_model_config_read(model, &config, error);
    const size_t ids = dither_tokenizer_id_bound(tokenizer);
    if (status || config.vocab >= ids)
        return status;
    *error = (dither_error){.status = DITHER_E_SHAPE};
    (void)snprintf(error->where, sizeof error->where, "%s", model);
    (void)snprintf(error->text, sizeof error->text, "its tokenizer has %zu tokens, its vocabulary only %zu", ids,
                   config.vocab);
    return error->status;
}

static int evaluate(const eval_options *options, const dither_scheme *scheme)
{
    dither_tokenizer *tokenizer = NULL;
    dither_model *model = NULL;
    dither_error error = {.status = DITHER_OK};
    dither_evaluation result = {.tokens = 0};
    dither_logits_file logits = {.file = NULL};
    dither_terminal terminal;
    dither_terminal_init(&terminal, stderr);
    const bool records = dither_records_path(options->data.items[0]);
    dither_status status =
        dither_tokenizer_open(&tokenizer, options->tokenizer ? options->tokenizer : options->model, &error);
    if (!status)
        status = check_vocabulary(tokenizer, options->model, &error);
    if (!status)
        status = dither_model_open(&model, options->model, scheme, (int)options->threads, &error);
    int code = !status && options->logits ? dither_logits_file_open(&logits, options->logits) : 0;
    if (!status && options->logits)
        dither_model_watch_logits(model, dither_logits_file_add, &logits);
    if (!status && !code)
        status = (records ? evaluate_records : evaluate_text)(options, tokenizer, model, &terminal, &result, &error);
    dither_terminal_clear(&terminal);
    if (!status && !code)
        code = dither_logits_file_close(&logits);
    else if (logits.file)
        (void)fclose(logits.file);
    if (!status && !code)
        print_result(&result, options->json);
    if (model)
        dither_model_close(model);
    if (tokenizer)
        dither_tokenizer_close(tokenizer);
    return status ? dither_output_error(&error) : code;
}

/* All of the data are texts, or all are records. */
static bool are_alike(const eval_options *options)
{
    const bool records = dither_records_path(options->data.items[0]);
    for (size_t i = 1; i < options->data.count; i++)
        if (dither_records_path(options->data.items[i]) != records) {
            (void)dither_output_fail(DITHER_E_USAGE, options->data.items[i],
                                     "texts and records (.jsonl, .ndjson, .json) cannot be mixed");
            return false;
        }
    return true;
}

static int checked(const eval_options *options, const dither_parsed *parsed)
{
    static const char *const about_records[] = {"chat-format", "fields", "train-on", "long", NULL};
    dither_scheme scheme;
    dither_error error = {.status = DITHER_OK};
    if (!options->model)
        return dither_output_fail(DITHER_E_USAGE, "--model", "it is missing; name a model folder or a GGUF file");
    if (!options->data.count)
        return dither_output_fail(DITHER_E_USAGE, "--data", "it is missing; name text files or folders");
    if (options->scheme && dither_scheme_parse(options->scheme, &scheme, &error))
        return dither_output_error(&error);
    if (!are_alike(options) ||
        !dither_output_has_records(&dither_command_eval, parsed, about_records, options->data.items[0]))
        return EXIT_USAGE;
    if (!dither_output_is_model(options->model))
        return EXIT_FAILURE;
    return evaluate(options, options->scheme ? &scheme : NULL);
}

static int run(int count, char **words)
{
    eval_options options = {.model = NULL};
    dither_parsed parsed;
    const dither_parse_result result = dither_arguments_parse(&dither_command_eval, count, words, &options, &parsed);
    const int code = result == PARSE_OK ? checked(&options, &parsed) : result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    free(options.data.items);
    return code;
}

const dither_command dither_command_eval = {
    .name = "eval",
    .summary = "measure the loss of a model on a text",
    .usage = "--model PATH --data PATH... [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(eval_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
