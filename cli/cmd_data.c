/* dither data: what fine-tuning on a file would train on. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "dither/model.h"
#include "dither/records.h"
#include "output.h"
#include "record_example.h"

typedef struct data_options {
    const char *model, *chat_format, *fields;
    uint64_t seq, examples;
    int train_on, longer;
    bool json;
} data_options;

#define AT(member) offsetof(data_options, member)
static const dither_argument arguments[] = {
    {.group = "What", .name = "model", .value = "DIR", .type = ARGUMENT_TEXT, .offset = AT(model),
     .absent = "bytes are tokens", .help = "whose tokenizer and chat template it is for"},
    {.group = "How", .name = "seq", .value = "T", .type = ARGUMENT_U64, .offset = AT(seq), .min = 1, .max = 1 << 30,
     .help = "tokens in a sequence"},
    {.name = "chat-format", .value = "NAME", .type = ARGUMENT_TEXT, .offset = AT(chat_format), .absent = "the model's",
     .help = "how chats become text; see Records below"},
    {.name = "fields", .value = "A,B", .type = ARGUMENT_TEXT, .offset = AT(fields), .absent = "the usual ones",
     .help = "the question's and the answer's"},
    {.name = "train-on", .value = "WHAT", .type = ARGUMENT_WORD, .offset = AT(train_on), .word = dither_train_on_name,
     .help = "assistant (answers alone) or all"},
    {.name = "long", .value = "WHAT", .type = ARGUMENT_WORD, .offset = AT(longer), .word = dither_long_name,
     .help = "records longer than a sequence: cut or skip"},
    {.group = "Output", .name = "examples", .value = "N", .type = ARGUMENT_U64, .offset = AT(examples), .max = 1000000,
     .help = "records to show, spread over all"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object"},
};
#undef AT

static const char *const examples[] = {
    "dither data chats.jsonl --model model",
    "three records as the model would read them, trained tokens marked; lengths, what is cut",
    "dither data a.jsonl:2 b.jsonl --model model --seq 1024 --chat-format chatml --long skip",
    "two files, the first seen twice as often; another format, longer sequences",
    "dither data faq.json --fields query,reply --chat-format zephyr --json",
    "other names of the fields, without a model, for programs",
    NULL,
};

static void defaults(void *options)
{
    *(data_options *)options = (data_options){.seq = 512, .examples = 3};
}

static void notes(void)
{
    printf("Trained tokens are bold and green on a terminal, between [[ and ]] elsewhere or with NO_COLOR set.\n\n");
    dither_output_records_notes();
}

/* ---- lengths ----------------------------------------------------------------------------------------------- */

enum { BINS = 32, BAR = 40 };

typedef struct lengths {
    uint64_t bins[BINS]; /* [b]: records of at most 2^b tokens, and of more than half as many */
    uint64_t shortest, longest, tokens;
    size_t first, last; /* bins that are not empty */
} lengths;

static lengths count_lengths(const dither_records *records)
{
    lengths l = {.shortest = UINT64_MAX, .first = BINS};
    for (size_t i = 0; i < dither_records_count(records); i++) {
        const uint64_t count = dither_records_at(records, i).count;
        size_t bin = 0;
        while (bin + 1 < BINS && count > UINT64_C(1) << bin)
            bin++;
        l.bins[bin]++;
        l.tokens += count;
        l.shortest = count < l.shortest ? count : l.shortest;
        l.longest = count > l.longest ? count : l.longest;
        l.first = bin < l.first ? bin : l.first;
        l.last = bin > l.last ? bin : l.last;
    }
    return l;
}

static void print_lengths(const lengths *l)
{
    uint64_t most = 1;
    for (size_t b = l->first; b <= l->last; b++)
        most = l->bins[b] > most ? l->bins[b] : most;
    printf("\n%-24s %11s\n", "length in tokens", "records");
    for (size_t b = l->first; b <= l->last; b++) {
        char low[32], high[32], records[32];
        const int bar = (int)((l->bins[b] * BAR + most - 1) / most);
        dither_output_count(b ? (UINT64_C(1) << (b - 1)) + 1 : 0, low);
        dither_output_count(UINT64_C(1) << b, high);
        dither_output_count(l->bins[b], records);
        printf("%10s .. %-10s %11s  %.*s\n", low, high, records, bar, "########################################");
    }
}

/* ---- examples ---------------------------------------------------------------------------------------------- */

/* https://no-color.org */
static bool has_colour(void)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
}

/* Record of example i of n: spread over all. */
static size_t example_record(const dither_records *records, size_t i, size_t n)
{
    return (size_t)((double)i * (double)dither_records_count(records) / (double)n);
}

static dither_status show_examples(const dither_records *records, const dither_tokenizer *tokenizer,
                                   const data_options *o)
{
    const size_t count = dither_records_count(records);
    const size_t n = o->examples < count ? (size_t)o->examples : count;
    for (size_t i = 0; i < n; i++) {
        const dither_record record = dither_records_at(records, example_record(records, i, n));
        fputs(o->json && i ? "," : "", stdout);
        const bool shown = o->json ? dither_record_example_json(tokenizer, &record)
                                   : dither_record_example_print(tokenizer, &record, has_colour());
        if (!shown)
            return DITHER_E_MEMORY;
    }
    return DITHER_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------- */

/* Trained tokens of a file that an epoch sees, in the mean of many epochs. */
static double trained_an_epoch(const dither_records_file *file)
{
    return file->records ? (double)file->trained * (double)file->epoch_records / (double)file->records : 0;
}

/* What of the training is the file's: the loss is a mean over trained tokens. */
static double share_of(const dither_records *records, const dither_records_file *file)
{
    double all = 0;
    for (size_t i = 0; i < dither_records_files(records); i++) {
        const dither_records_file each = dither_records_file_at(records, i);
        all += trained_an_epoch(&each);
    }
    return all > 0 ? trained_an_epoch(file) / all : 0;
}

static void print_files(const dither_records *records)
{
    const size_t count = dither_records_files(records);
    bool weighted = count > 1;
    for (size_t i = 0; i < count; i++)
        weighted = weighted || dither_records_file_at(records, i).weight < 1 ||
                   dither_records_file_at(records, i).weight > 1;
    if (!weighted)
        return;
    printf("\n%6s %11s %11s %8s  %s\n", "weight", "records", "an epoch", "share", "file");
    for (size_t i = 0; i < count; i++) {
        const dither_records_file file = dither_records_file_at(records, i);
        char all[32], epoch[32];
        dither_output_count(file.records, all);
        dither_output_count(file.epoch_records, epoch);
        printf("%6g %11s %11s %6.1f %%  %s\n", file.weight, all, epoch, 100 * share_of(records, &file), file.path);
    }
}

static void json_files(const dither_records *records)
{
    printf(",\"files\":[");
    for (size_t i = 0; i < dither_records_files(records); i++) {
        const dither_records_file file = dither_records_file_at(records, i);
        printf("%s{\"file\":", i ? "," : "");
        dither_output_json_text(stdout, file.path, strlen(file.path));
        printf(",\"weight\":");
        dither_output_json_number(stdout, file.weight);
        printf(",\"records\":%zu,\"records_an_epoch\":%zu,\"tokens\":%llu,\"trained\":%llu,\"share\":", file.records,
               file.epoch_records, (unsigned long long)file.tokens, (unsigned long long)file.trained);
        dither_output_json_number(stdout, share_of(records, &file));
        putchar('}');
    }
    putchar(']');
}

/* ---- all together ------------------------------------------------------------------------------------------ */

static void print_count(const char *name, uint64_t value, const char *more)
{
    char text[32];
    dither_output_count(value, text);
    printf("%-11s %13s%s\n", name, text, more);
}

static void print_summary(const dither_records *records, const dither_tokenizer *tokenizer,
                          const dither_records_packed *packed, const data_options *o)
{
    const dither_chat_format *format = dither_records_format(records);
    const uint64_t tokens = dither_records_tokens(records), trained = dither_records_trained(records);
    const lengths l = count_lengths(records);
    char text[160], names[512], shortest[32], longest[32], seq[32];
    dither_output_count(l.shortest, shortest);
    dither_output_count(l.longest, longest);
    dither_output_count(o->seq, seq);
    print_count("records", dither_records_count(records), "");
    if (format)
        printf("chat format %s (%s)\n", dither_chat_format_name(format), dither_chat_format_models(format));
    if (format && dither_chat_format_lacking(format, tokenizer, names, sizeof names) > 0)
        printf("no tokens   %s: ordinary text to the model\n", names);
    (void)snprintf(text, sizeof text, ", %.1f a record, %s to %s",
                   (double)tokens / (double)dither_records_count(records), shortest, longest);
    print_count("tokens", tokens, text);
    (void)snprintf(text, sizeof text, ", %.1f %% of them", tokens ? 100 * (double)trained / (double)tokens : 0);
    print_count("trained", trained, text);
    if (dither_records_unanswered(records) > 0)
        print_count("unanswered", dither_records_unanswered(records), " with empty answers, whose ends are trained on"
                                                                      " alone");
    print_files(records);
    print_lengths(&l);
    printf("\nat --seq %s\n", seq);
    dither_output_count(o->seq + 1, seq);
    (void)snprintf(text, sizeof text, " of more than %s tokens", seq);
    print_count(o->longer == DITHER_LONG_CUT ? "cut" : "skipped", packed->cut + packed->skipped, text);
    print_count("left out", packed->untrained, " with nothing to train on");
    const double places = (double)packed->sequences * (double)o->seq;
    (void)snprintf(text, sizeof text, " an epoch, %.1f %% of their tokens trained on, %.1f %% padding",
                   100 * (double)packed->trained / places, 100 * (double)packed->padding / places);
    print_count("sequences", packed->sequences, text);
}

static void json_summary(const dither_records *records, const dither_records_packed *p, const data_options *o)
{
    const dither_chat_format *format = dither_records_format(records);
    const lengths l = count_lengths(records);
    printf("],\"records\":%zu,\"chat_format\":", dither_records_count(records));
    if (format)
        printf("\"%s\"", dither_chat_format_name(format));
    else
        printf("null");
    printf(",\"tokens\":%llu,\"trained\":%llu,\"shortest\":%llu,\"longest\":%llu,\"lengths\":[",
           (unsigned long long)l.tokens, (unsigned long long)dither_records_trained(records),
           (unsigned long long)l.shortest, (unsigned long long)l.longest);
    for (size_t b = l.first; b <= l.last; b++)
        printf("%s{\"at_most\":%llu,\"records\":%llu}", b > l.first ? "," : "", 1ull << b,
               (unsigned long long)l.bins[b]);
    printf("],\"seq\":%llu,\"sequences\":%zu,\"cut\":%zu,\"skipped\":%zu,\"left_out\":%zu,\"padding\":%llu,"
           "\"trained_an_epoch\":%llu", (unsigned long long)o->seq, p->sequences, p->cut, p->skipped, p->untrained,
           (unsigned long long)p->padding, (unsigned long long)p->trained);
    printf(",\"empty_answers\":%zu", dither_records_unanswered(records));
    json_files(records);
    puts("}");
}

static dither_status show(const dither_records *records, const dither_tokenizer *tokenizer, const data_options *o,
                          dither_error *error)
{
    dither_records_packed packed;
    dither_status status = dither_records_pack(records, (size_t)o->seq, (dither_long)o->longer, &packed, error);
    if (status && status != DITHER_E_SHAPE)
        return status;
    if (o->json)
        printf("{\"examples\":[");
    if (show_examples(records, tokenizer, o))
        return DITHER_E_MEMORY;
    if (status && o->json)
        return status; /* what was printed is no object, and the error says why */
    if (!status && o->json)
        json_summary(records, &packed, o);
    else if (!status)
        print_summary(records, tokenizer, &packed, o);
    return status;
}

static int show_files(const char *const *paths, size_t count, const data_options *o)
{
    dither_tokenizer *tokenizer = NULL;
    dither_records *records = NULL;
    dither_error error = {.status = DITHER_OK};
    const dither_records_options how = {.chat_format = o->chat_format, .fields = o->fields,
                                        .train_on = (dither_train_on)o->train_on,
                                        .model = o->model};
    dither_status status = o->model ? dither_tokenizer_open(&tokenizer, o->model, &error)
                                    : dither_tokenizer_bytes(&tokenizer, &error);
    if (!status)
        status = dither_records_open(&records, paths, count, &how, tokenizer, &error);
    if (!status)
        status = show(records, tokenizer, o, &error);
    if (status && !error.status)
        error.status = status;
    dither_records_close(records);
    if (tokenizer)
        dither_tokenizer_close(tokenizer);
    return status ? dither_output_error(&error) : EXIT_SUCCESS;
}

/* What training would take for a text is nothing to show here. */
static int check_and_show(const char *const *paths, size_t count, const data_options *o)
{
    for (size_t i = 0; i < count; i++) {
        if (dither_records_path(paths[i]))
            continue;
        if (access(paths[i], F_OK))
            return dither_output_fail(DITHER_E_IO, paths[i], "cannot open: %s; check the path", strerror(errno));
        return dither_output_fail(DITHER_E_USAGE, paths[i],
                                  "a text, by its name; those of records end in .jsonl, .json or .ndjson");
    }
    return show_files(paths, count, o);
}

static int run(int count, char **words)
{
    data_options options;
    dither_parsed parsed;
    defaults(&options);
    const dither_parse_result result = dither_arguments_parse(&dither_command_data, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    if (!parsed.positional)
        return dither_output_fail(DITHER_E_USAGE, "FILE",
                                  "it is missing; name files of records: .jsonl, .json, .ndjson");
    const char **paths = calloc(parsed.more_count + 1, sizeof *paths);
    if (!paths)
        return dither_output_fail(DITHER_E_MEMORY, NULL, "no memory for a list of files");
    paths[0] = parsed.positional;
    for (size_t i = 0; i < parsed.more_count; i++)
        paths[i + 1] = parsed.more[i];
    const int code = check_and_show(paths, parsed.more_count + 1, &options);
    free(paths);
    return code;
}

const dither_command dither_command_data = {
    .name = "data",
    .summary = "show what fine-tuning on records would train on",
    .usage = "FILE... [--model DIR] [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(data_options),
    .defaults = defaults,
    .positional = "FILE",
    .several = true,
    .notes = notes,
    .examples = examples,
    .run = run,
};
