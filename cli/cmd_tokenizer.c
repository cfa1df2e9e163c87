/* dither tokenizer: making one. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "commands.h"
#include "dither/tokenizer_train.h"
#include "output.h"
#include "stop.h"
#include "terminal.h"

extern const dither_command dither_command_tokenizer_train;

typedef struct train_options {
    dither_tokenizer_train_options run;
    dither_argument_list data;
    const char *special;
    uint64_t vocab, threads;
    int pattern;
    bool json;
} train_options;

#define OWN(member) offsetof(train_options, member)
static const dither_argument arguments[] = {
    {.group = "What", .name = "data", .value = "PATH...", .type = ARGUMENT_LIST, .offset = OWN(data),
     .help = "UTF-8 text files, or folders of them"},
    {.name = "out", .value = "FILE", .type = ARGUMENT_TEXT, .offset = OWN(run.out),
     .help = "the tokenizer.json to write"},
    {.name = "force", .type = ARGUMENT_FLAG, .offset = OWN(run.replace), .help = "replace FILE where it is there"},
    {.group = "How", .name = "vocab", .value = "N", .type = ARGUMENT_U64, .offset = OWN(vocab),
     .help = "tokens in all: special ones, the 256 bytes, merges"},
    {.name = "special", .value = "T,...", .type = ARGUMENT_TEXT, .offset = OWN(special),
     .help = "tokens that separate texts and are never merged; = for none"},
    {.name = "pattern", .value = "P", .type = ARGUMENT_WORD, .offset = OWN(pattern), .word = dither_tokenizer_pattern,
     .help = "how a text is cut into words, which are then merged"},
    {.name = "min-frequency", .value = "N", .type = ARGUMENT_U64, .offset = OWN(run.min_frequency), .min = 1,
     .max = 1e15, .help = "a pair that occurs less often is not merged"},
    {.group = "Run", .name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = OWN(threads), .max = 1024,
     .absent = "all cores", .help = "threads; the result does not depend on it"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = OWN(json), .help = "print progress, one JSON object a line"},
};
#undef OWN

static const char *const examples[] = {
    "dither tokenizer train --data book.txt --out tok.json",
    "8,192 tokens from one text",
    "dither tokenizer train --vocab 32768 --data texts/ --pattern llama3 --special '<|begin|>,<|end|>' --out tok.json",
    "a larger one with Llama 3's rules for words, and two tokens for what separates texts",
    "dither train --new layers=6,heads=6,dim=384,ctx=256 --tokenizer tok.json --data texts/ --out model",
    "a new model in these tokens",
    "dither tokenizer train --data texts/ --min-frequency 10 --out tok.json --json",
    "nothing that occurs less than ten times; progress for programs",
    NULL,
};

static void defaults(void *options)
{
    train_options *o = options;
    *o = (train_options){.special = "<|endoftext|>"};
    dither_tokenizer_train_options_init(&o->run);
    o->vocab = o->run.vocab;
    while (strcmp(dither_tokenizer_pattern(o->pattern), o->run.pattern) != 0)
        o->pattern++;
}

static void notes(void)
{
    printf("The most frequent pair of neighbours in all words becomes a token, again and again; of equally\n"
           "frequent ones the greater string of bytes. FILE is a byte-level BPE as Hugging Face tokenizers\n"
           "load it, and is written whole or not at all. In memory are the distinct words, never the text.\n"
           "\nExit status: 0 done; 1 failed; 2 wrong usage; 130, 143 stopped by SIGINT, SIGTERM, nothing written.\n");
}

/* ---- the list of special tokens ---------------------------------------------------------------------------- */

/* T,... cut at its commas. @param special  [*count], free() it and *text */
static bool cut_list(const char *list, char **text, const char ***special, size_t *count)
{
    *count = list[0] != '\0';
    for (const char *at = list; *at; at++)
        *count += *at == ',';
    *text = strdup(list);
    *special = malloc((*count + 1) * sizeof **special);
    if (!*text || !*special)
        return false;
    char *next = *text;
    for (size_t i = 0; i < *count; i++) {
        (*special)[i] = next;
        next += strcspn(next, ",");
        if (*next)
            *next++ = '\0';
    }
    return true;
}

/* ---- printing ---------------------------------------------------------------------------------------------- */

static const char *const phase_names[] = {"reading", "merging"};

typedef struct display {
    dither_terminal terminal;
    bool json;
    dither_tokenizer_phase phase;
    double begun;     /* the program */
    double phase_begun;
    uint64_t phase_done; /* when it began */
} display;

static void json_progress(const display *d, uint64_t done, uint64_t total, double rate, double left)
{
    printf("{\"event\":\"progress\",\"phase\":\"%s\",\"done\":%llu,\"total\":%llu,\"per_s\":", phase_names[d->phase],
           (unsigned long long)done, (unsigned long long)total);
    dither_output_json_number(stdout, rate);
    printf(",\"eta_s\":");
    dither_output_json_number(stdout, left);
    printf("}\n");
    fflush(stdout);
}

static void show_progress(void *context, dither_tokenizer_phase phase, uint64_t done, uint64_t total)
{
    display *d = context;
    const double now = dither_output_clock();
    if (phase != d->phase) {
        d->phase = phase;
        d->phase_begun = now;
        d->phase_done = done;
        d->terminal.last = -1;
    }
    if (!dither_terminal_due(&d->terminal, done, total))
        return;
    const double rate = now > d->phase_begun ? (double)(done - d->phase_done) / (now - d->phase_begun) : 0;
    const double left = done == total ? 0 : (double)(total - done) / rate; /* infinite at first */
    if (d->json) {
        json_progress(d, done, total, rate, left);
        return;
    }
    char what[96], speed[48], eta[48], a[32], b[32];
    if (phase == DITHER_TOKENIZER_READING) {
        dither_output_bytes(done, a);
        dither_output_bytes(total, b);
        (void)snprintf(what, sizeof what, "reading  %s of %s", a, b);
        dither_output_bytes((uint64_t)rate, a);
        (void)snprintf(speed, sizeof speed, "%s/s", a);
    } else {
        dither_output_count(done, a);
        dither_output_count(total, b);
        (void)snprintf(what, sizeof what, "merging  %s of %s tokens", a, b);
        (void)snprintf(speed, sizeof speed, "%.0f tokens/s", rate);
    }
    dither_terminal_duration(left, a);
    (void)snprintf(eta, sizeof eta, "ETA %s", a);
    const char *const fields[] = {what, speed, eta};
    dither_terminal_progress(&d->terminal, fields, sizeof fields / sizeof fields[0]);
}

/* Of this process, in bytes. */
static uint64_t peak_memory(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (uint64_t)usage.ru_maxrss * 1024;
}

static void json_end(const train_options *o, const dither_tokenizer_trained *t, double seconds)
{
    printf("{\"event\":\"end\",\"out\":");
    dither_output_json_text(stdout, o->run.out, strlen(o->run.out));
    printf(",\"tokens\":%zu,\"files\":%llu,\"bytes\":%llu,\"words\":%llu,\"distinct_words\":%llu,\"text_tokens\":%llu,"
           "\"peak_rss_bytes\":%llu,\"seconds\":",
           t->tokens, (unsigned long long)t->files, (unsigned long long)t->bytes, (unsigned long long)t->words,
           (unsigned long long)t->distinct, (unsigned long long)t->text_tokens, (unsigned long long)peak_memory());
    dither_output_json_number(stdout, seconds);
    printf("}\n");
}

static void show_end(const train_options *o, const dither_tokenizer_trained *t, double seconds)
{
    char bytes[16], memory[16], took[16], words[32], distinct[32], tokens[32], wanted[32];
    dither_output_bytes(t->bytes, bytes);
    dither_output_bytes(peak_memory(), memory);
    if (seconds < 60)
        (void)snprintf(took, sizeof took, "%.1f s", seconds);
    else
        dither_terminal_duration(seconds, took);
    dither_output_count(t->words, words);
    dither_output_count(t->distinct, distinct);
    dither_output_count(t->tokens, tokens);
    dither_output_count(o->run.vocab, wanted);
    printf("data        %s in %llu file%s: %s words, %s distinct\n", bytes, (unsigned long long)t->files,
           t->files == 1 ? "" : "s", words, distinct);
    printf("done        %s tokens in %s, %.2f bytes of the text a token, peak memory %s\n", tokens, took,
           t->text_tokens ? (double)t->bytes / (double)t->text_tokens : 0, memory);
    if (t->tokens < o->run.vocab)
        printf("note        fewer than %s: no pair occurs %llu times any more\n", wanted,
               (unsigned long long)o->run.min_frequency);
    printf("saved in    %s\nnext        dither train --new SHAPE --data PATH... --out DIR --tokenizer ", o->run.out);
    dither_output_shell_word(stdout, o->run.out);
    putchar('\n');
}

/* ---- running ----------------------------------------------------------------------------------------------- */

static int train(train_options *o)
{
    dither_error error = {.status = DITHER_OK};
    dither_tokenizer_trained trained;
    display d = {.json = o->json, .begun = dither_output_clock()};
    d.phase_begun = d.begun;
    dither_terminal_init(&d.terminal, stdout);
    if (o->json)
        d.terminal.live = false;
    const volatile sig_atomic_t *const stop =
        dither_stop_catch("\ndither: stopping, nothing is written; once more quits at once\n");
    const dither_status status = dither_tokenizer_train(&o->run, show_progress, &d, stop, &trained, &error);
    dither_terminal_clear(&d.terminal);
    if (status == DITHER_E_STOPPED)
        return EXIT_SIGNAL + (*stop ? *stop : SIGINT);
    if (status)
        return dither_output_error(&error);
    const double seconds = dither_output_clock() - d.begun;
    if (o->json)
        json_end(o, &trained, seconds);
    else
        show_end(o, &trained, seconds);
    return EXIT_SUCCESS;
}

static int run_train(int count, char **words)
{
    train_options options;
    dither_parsed parsed;
    char *text = NULL;
    const char **special = NULL;
    defaults(&options);
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_tokenizer_train, count, words, &options, &parsed);
    int code = result == PARSE_ERROR ? EXIT_USAGE : EXIT_SUCCESS;
    if (result == PARSE_OK) {
        options.run.data = options.data.items;
        options.run.data_count = options.data.count;
        options.run.vocab = (size_t)options.vocab;
        options.run.threads = (int)options.threads;
        options.run.pattern = dither_tokenizer_pattern(options.pattern);
        const bool cut = cut_list(options.special, &text, &special, &options.run.special_count);
        options.run.special = special;
        code = cut ? train(&options) : dither_output_fail(DITHER_E_MEMORY, NULL, "no memory for the command line");
    }
    free(special);
    free(text);
    free(options.data.items);
    return code;
}

const dither_command dither_command_tokenizer_train = {
    .name = "tokenizer train",
    .summary = "make a byte-level BPE from texts",
    .usage = "--data PATH... --out FILE [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(train_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run_train,
};

/* ---- the parts --------------------------------------------------------------------------------------------- */

static void help(void)
{
    printf("dither tokenizer - %s\n\nUsage: dither tokenizer train [OPTION]...\n\n  train       %s\n\n"
           "`dither tokenizer train --help` lists its options.\n\nExamples:\n  # %s\n  %s\n\nMore: man dither\n",
           dither_command_tokenizer.summary, dither_command_tokenizer_train.summary, examples[1], examples[0]);
}

static const char *part(const void *context, size_t index)
{
    (void)context;
    static const char *const parts[] = {"train", "--help"};
    return index < sizeof parts / sizeof parts[0] ? parts[index] : NULL;
}

static int run(int count, char **words)
{
    const char *what = count ? words[0] : NULL;
    if (what && (!strcmp(what, "--help") || !strcmp(what, "-h"))) {
        help();
        return EXIT_SUCCESS;
    }
    if (what && !strcmp(what, "train"))
        return run_train(count - 1, words + 1);
    if (what && dither_arguments_nearest(what, part, NULL))
        (void)dither_output_fail(DITHER_E_USAGE, what, "say what to do: train; did you mean '%s'?",
                                 dither_arguments_nearest(what, part, NULL));
    else
        (void)dither_output_fail(DITHER_E_USAGE, what ? what : "tokenizer", "say what to do: train");
    fprintf(stderr, "Try 'dither tokenizer --help'.\n");
    return EXIT_USAGE;
}

const dither_command dither_command_tokenizer = {
    .name = "tokenizer",
    .summary = "make a tokenizer from texts",
    .run = run,
};
