/* dither generate: text written by a model, or a conversation with it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat_session.h"
#include "commands.h"
#include "dither/model.h"
#include "generation.h"
#include "output.h"

typedef struct generate_options {
    const char *model, *tokenizer, *prompt, *scheme, *system, *chat_format;
    dither_argument_list stop;
    uint64_t tokens, ctx, top_k, repeat_last, seed, threads, logprobs;
    double temperature, top_p, min_p, repeat_penalty;
    bool chat, json;
} generate_options;

#define AT(member) offsetof(generate_options, member)
static const dither_argument arguments[] = {
    {.group = "What", .name = "model", .value = "PATH", .type = ARGUMENT_TEXT, .offset = AT(model),
     .help = "model folder, or a GGUF file"},
    {.name = "tokenizer", .value = "PATH", .type = ARGUMENT_TEXT, .offset = AT(tokenizer), .absent = "the model's",
     .help = "a tokenizer.json, a folder with one, or a GGUF file"},
    {.name = "prompt", .value = "TEXT", .type = ARGUMENT_TEXT, .offset = AT(prompt), .absent = "a newline",
     .help = "text to go on from; with --chat, what is said"},
    {.name = "tokens", .value = "N", .type = ARGUMENT_U64, .offset = AT(tokens), .min = 1, .max = 1e9,
     .absent = "256; --chat: until it is done", .help = "how many tokens to write"},
    {.name = "stop", .value = "TEXT...", .type = ARGUMENT_LIST, .offset = AT(stop),
     .help = "end before one of these would be written"},
    {.name = "ctx", .value = "N", .type = ARGUMENT_U64, .offset = AT(ctx), .max = 1 << 30, .absent = "the model's",
     .help = "tokens that are kept in view"},
    {.group = "Chat", .name = "chat", .type = ARGUMENT_FLAG, .offset = AT(chat),
     .help = "answer --prompt, or one message after another"},
    {.name = "system", .value = "TEXT", .type = ARGUMENT_TEXT, .offset = AT(system), .absent = "the model's own",
     .help = "what the conversation begins with"},
    {.name = "chat-format", .value = "NAME", .type = ARGUMENT_TEXT, .offset = AT(chat_format), .absent = "the model's",
     .help = "how a conversation becomes text: chatml, llama-3, ..."},
    {.group = "Sampling", .name = "temperature", .value = "X", .type = ARGUMENT_F64, .offset = AT(temperature),
     .max = 100,
     .help = "0: always the likeliest; 1: as the model says"},
    {.name = "top-k", .value = "N", .type = ARGUMENT_U64, .offset = AT(top_k), .absent = "0, all",
     .help = "only among the N likeliest"},
    {.name = "top-p", .value = "X", .type = ARGUMENT_F64, .offset = AT(top_p), .max = 1, .above = true,
     .absent = "1, all",
     .help = "only among the likeliest that together have X"},
    {.name = "min-p", .value = "X", .type = ARGUMENT_F64, .offset = AT(min_p), .max = 1, .absent = "0, all",
     .help = "only what is X times as likely as the likeliest"},
    {.name = "repeat-penalty", .value = "X", .type = ARGUMENT_F64, .offset = AT(repeat_penalty), .max = 100,
     .above = true, .absent = "1, none", .help = "divide the logits of what was there before by X"},
    {.name = "repeat-last", .value = "N", .type = ARGUMENT_U64, .offset = AT(repeat_last), .max = 1 << 30,
     .help = "of the last N tokens; 0: of all in view"},
    {.name = "seed", .value = "S", .type = ARGUMENT_U64, .offset = AT(seed),
     .help = "the same seed writes the same text"},
    {.group = "How", .name = "scheme", .value = "S", .type = ARGUMENT_TEXT, .offset = AT(scheme),
     .absent = "stored weights in f32", .help = "preset or scheme the products run in"},
    {.name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024, .absent = "all cores",
     .help = "threads; the text does not depend on it"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object at the end of a text"},
    {.name = "logprobs", .value = "N", .type = ARGUMENT_U64, .offset = AT(logprobs), .max = 1000,
     .absent = "none", .help = "in JSON, each token and the N likeliest in its place"},
};
#undef AT

static const char *const examples[] = {
    "dither generate --model model --prompt \"It was a dark night\"",
    "256 tokens after a prompt",
    "dither generate --model SmolLM2-135M-Instruct.Q4_1.gguf --chat",
    "a conversation with a model in a GGUF file",
    "dither generate --model model --tokens 1000 --temperature 1 --top-k 40 --seed 7",
    "more text, more surprise, another seed",
    "dither generate --model model --chat --prompt \"What is 12 * 7?\" --temperature 0 --json",
    "the likeliest answer to one question, for programs",
    NULL,
};

static void defaults(void *options)
{
    *(generate_options *)options = (generate_options){
        .temperature = 0.8, .top_p = 1, .repeat_penalty = 1, .repeat_last = 64, .seed = 1, .logprobs = UINT64_MAX};
}

static void notes(void)
{
    dither_chat_session_notes();
    printf("\nThe prompt is printed first, then what the model writes as it comes. Texts of special tokens in it,\n"
           "like <|im_start|>, become those tokens. The writing ends at a token that ends a text or a turn. Bytes\n"
           "that are not UTF-8 are shown as U+FFFD on a terminal and in JSON, and pass unchanged into files and\n"
           "pipes.\n");
}

static volatile sig_atomic_t interrupt;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupt = 1;
}

/* Everything that a text or a conversation needs. */
typedef struct generate_job {
    const generate_options *options;
    dither_tokenizer *tokenizer;
    dither_model *model;
    dither_writer *writer;
    dither_stops *stops;
    dither_generation generation;
} generate_job;

static void close_job(generate_job *job)
{
    dither_stops_close(job->stops);
    dither_writer_close(job->writer);
    if (job->model)
        dither_model_close(job->model);
    if (job->tokenizer)
        dither_tokenizer_close(job->tokenizer);
}

/* A tokenizer from elsewhere may be any. */
static dither_status check_vocabulary(const generate_job *job, dither_error *error)
{
    const size_t ids = dither_tokenizer_id_bound(job->tokenizer), vocab = dither_model_config_get(job->model)->vocab;
    if (ids <= vocab)
        return DITHER_OK;
    *error = (dither_error){.status = DITHER_E_SHAPE, .where = "--tokenizer"};
    (void)snprintf(error->text, sizeof error->text, "it has %zu tokens, the model's vocabulary only %zu", ids, vocab);
    return error->status;
}

static dither_status open_job(generate_job *job, const dither_scheme *scheme, dither_error *error)
{
    const generate_options *o = job->options;
    const char *const tokenizer = o->tokenizer ? o->tokenizer : o->model;
    dither_status status = dither_tokenizer_open(&job->tokenizer, tokenizer, error);
    if (!status)
        status = dither_model_open(&job->model, o->model, scheme, (int)o->threads, error);
    if (!status && o->tokenizer)
        status = check_vocabulary(job, error);
    if (!status)
        status = dither_writer_open(&job->writer, job->model, (size_t)o->ctx, error);
    if (!status && o->stop.count)
        status = dither_stops_open(&job->stops, o->stop.items, o->stop.count, error);
    const bool terminal = isatty(STDOUT_FILENO);
    job->generation = (dither_generation){
        .writer = job->writer,
        .tokenizer = job->tokenizer,
        .stops = job->stops,
        .sampling = {.temperature = o->temperature,
                     .top_k = (size_t)o->top_k,
                     .top_p = o->top_p,
                     .min_p = o->min_p,
                     .repeat_penalty = o->repeat_penalty,
                     .repeat_last = (size_t)o->repeat_last,
                     .seed = o->seed},
        .tokens = o->tokens ? o->tokens : o->chat ? UINT64_MAX : 256,
        .slides = !o->chat,
        .stop_id = UINT32_MAX,
        .out = o->json ? NULL : stdout,
        .clean = terminal,
        .live = terminal || o->chat,
        .likeliest = o->logprobs == UINT64_MAX ? 0 : (size_t)o->logprobs,
    };
    return status;
}

/* ---- one text ----------------------------------------------------------------------------------------------- */

/* The prompt as a model expects a text: with the token that begins one in front, where there is such. */
static uint32_t *encode_prompt(const generate_job *job, size_t *count)
{
    const char *text = job->options->prompt ? job->options->prompt : "\n";
    const dither_tokenizer_marks *marks = dither_tokenizer_marks_get(job->tokenizer);
    const size_t front = marks->add_bos && marks->bos != UINT32_MAX ? 1 : 0, length = strlen(text);
    const size_t own = dither_tokenizer_encode_special(job->tokenizer, text, length, NULL, 0);
    uint32_t *ids = own == SIZE_MAX ? NULL : malloc((own + front + 1) * sizeof *ids);
    if (!ids || dither_tokenizer_encode_special(job->tokenizer, text, length, ids + front, own) != own) {
        free(ids);
        return NULL;
    }
    if (front)
        ids[0] = marks->bos;
    *count = own + front;
    return ids;
}

static void print_json(const generate_job *job, const char *text, size_t length, const char *log)
{
    const char *prompt = job->options->prompt ? job->options->prompt : "\n";
    printf("{\"prompt\":");
    dither_output_json_text(stdout, prompt, strlen(prompt));
    printf(",\"text\":");
    dither_output_json_text(stdout, text, length);
    dither_generation_json(&job->generation);
    if (log)
        printf(",\"logprobs\":[%s]", log);
    printf("}\n");
}

/* Text and log in memory, for JSON. */
static dither_status write_json(generate_job *job, const uint32_t *ids, size_t count, dither_error *error)
{
    char *text = NULL, *log = NULL;
    size_t length = 0, log_length = 0;
    dither_generation *g = &job->generation;
    const bool logs = job->options->logprobs != UINT64_MAX;
    g->tee = open_memstream(&text, &length);
    g->log = logs ? open_memstream(&log, &log_length) : NULL;
    dither_status status = DITHER_E_MEMORY;
    bool whole = g->tee && (g->log || !logs);
    if (whole)
        status = dither_generation_run(g, ids, count, error);
    whole = (!g->tee || !fclose(g->tee)) && whole;
    whole = (!g->log || !fclose(g->log)) && whole;
    if (!whole && (!status || status == DITHER_E_MEMORY)) {
        *error = (dither_error){.status = DITHER_E_MEMORY, .text = "no memory for the text"};
        status = error->status;
    }
    if (!status)
        print_json(job, text, length, log);
    free(text);
    free(log);
    return status;
}

static dither_status write_text(generate_job *job, const uint32_t *ids, size_t count, dither_error *error)
{
    dither_generation *g = &job->generation;
    if (job->options->prompt) {
        dither_utf8_stream prompt;
        dither_utf8_stream_init(&prompt, stdout, g->clean);
        dither_utf8_stream_write(&prompt, job->options->prompt, strlen(job->options->prompt));
        dither_utf8_stream_end(&prompt);
        if (g->live)
            fflush(stdout);
    }
    const dither_status status = dither_generation_run(g, ids, count, error);
    putchar('\n');
    fflush(stdout);
    if (!status && isatty(STDERR_FILENO))
        dither_generation_report(g);
    return status;
}

static dither_status one_text(generate_job *job, dither_error *error)
{
    size_t count = 0;
    uint32_t *ids = encode_prompt(job, &count);
    if (!ids) {
        *error = (dither_error){.status = DITHER_E_MEMORY, .text = "no memory for the prompt"};
        return error->status;
    }
    const dither_status status =
        job->options->json ? write_json(job, ids, count, error) : write_text(job, ids, count, error);
    free(ids);
    return status;
}

/* ---- a conversation ----------------------------------------------------------------------------------------- */

/* The text that ends the assistant's turn: a token, or else a stop text of its own. */
static dither_status end_turns(generate_job *job, const dither_chat_session *session, dither_error *error)
{
    const generate_options *o = job->options;
    const char *stop = dither_chat_stop(session->format, &session->marks);
    if (!stop || !stop[0] ||
        dither_tokenizer_find(job->tokenizer, stop, strlen(stop), &job->generation.stop_id))
        return DITHER_OK;
    const char **texts = calloc(o->stop.count + 1, sizeof *texts);
    if (!texts) {
        *error = (dither_error){.status = DITHER_E_MEMORY, .text = "no memory"};
        return error->status;
    }
    for (size_t i = 0; i < o->stop.count; i++)
        texts[i] = o->stop.items[i];
    texts[o->stop.count] = stop;
    dither_stops_close(job->stops);
    const dither_status status = dither_stops_open(&job->stops, texts, o->stop.count + 1, error);
    job->generation.stops = job->stops;
    free(texts);
    return status;
}

static int converse(generate_job *job)
{
    const generate_options *o = job->options;
    dither_chat_session session = {.json = false};
    const dither_chat_format *format = NULL;
    dither_error error = {.status = DITHER_OK};
    dither_status status = dither_chat_format_choose(o->chat_format, job->tokenizer, o->model, &format, &error);
    if (!status)
        status = dither_chat_session_open(&session, &job->generation, format, o->system, &error);
    session.json = o->json;
    if (!status)
        status = end_turns(job, &session, &error);
    int code = EXIT_SUCCESS;
    if (!status && !o->prompt) {
        struct sigaction action = {.sa_handler = on_interrupt}; /* a read is to end, too */
        sigemptyset(&action.sa_mask);
        if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
            sigaction(SIGINT, &action, NULL);
        job->generation.interrupted = &interrupt;
        code = dither_chat_session_run(&session);
    } else if (!status) {
        status = dither_chat_session_say(&session, o->prompt, &error);
        if (!o->json)
            putchar('\n');
        fflush(stdout);
        if (!status && isatty(STDERR_FILENO))
            dither_generation_report(&job->generation);
    }
    dither_chat_session_close(&session);
    return status ? dither_output_error(&error) : code;
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static int generate(const generate_options *options, const dither_scheme *scheme)
{
    generate_job job = {.options = options};
    dither_error error = {.status = DITHER_OK};
    dither_status status = open_job(&job, scheme, &error);
    int code;
    if (!status && options->chat) {
        code = converse(&job);
    } else {
        if (!status)
            status = one_text(&job, &error);
        code = status ? dither_output_error(&error) : EXIT_SUCCESS;
    }
    close_job(&job);
    return code;
}

static int checked(const generate_options *options)
{
    dither_scheme scheme;
    dither_error error = {.status = DITHER_OK};
    if (!options->model)
        return dither_output_fail(DITHER_E_USAGE, "--model", "it is missing; name a model folder or a GGUF file");
    if (options->chat && options->prompt && !options->prompt[0])
        return dither_output_fail(DITHER_E_USAGE, "--prompt", "it is empty; leave it out for a conversation");
    if (!options->chat && (options->system || options->chat_format))
        return dither_output_fail(DITHER_E_USAGE, options->system ? "--system" : "--chat-format",
                                  "it is for conversations; add --chat");
    if (options->logprobs != UINT64_MAX && (options->chat || !options->json))
        return dither_output_fail(DITHER_E_USAGE, "--logprobs", "it is for the JSON of one text: --json, not --chat");
    if (options->scheme && dither_scheme_parse(options->scheme, &scheme, &error))
        return dither_output_error(&error);
    if (!dither_output_is_model(options->model))
        return EXIT_FAILURE;
    return generate(options, options->scheme ? &scheme : NULL);
}

static int run(int count, char **words)
{
    generate_options options;
    defaults(&options);
    dither_parsed parsed;
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_generate, count, words, &options, &parsed);
    const int code = result == PARSE_OK ? checked(&options) : result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    free(options.stop.items);
    return code;
}

const dither_command dither_command_generate = {
    .name = "generate",
    .summary = "write text with a model, or talk with it",
    .usage = "--model PATH [--prompt TEXT | --chat] [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(generate_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
