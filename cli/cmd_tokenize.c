/* dither tokenize: text to ids, and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "dither/tokenizer.h"
#include "output.h"
#include "utf8_stream.h"

typedef struct tokenize_options {
    const char *tokenizer;
    bool decode, special, json;
} tokenize_options;

static const dither_argument arguments[] = {
    {.group = "Options", .name = "tokenizer", .value = "PATH", .type = ARGUMENT_TEXT,
     .offset = offsetof(tokenize_options, tokenizer),
     .help = "a model folder, a tokenizer.json, or a GGUF file", .absent = "bytes"},
    {.name = "decode", .type = ARGUMENT_FLAG, .offset = offsetof(tokenize_options, decode),
     .help = "the files hold ids: print the text of each line's"},
    {.name = "special", .type = ARGUMENT_FLAG, .offset = offsetof(tokenize_options, special),
     .help = "the texts of special tokens, such as <|im_end|>, become those tokens"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = offsetof(tokenize_options, json),
     .help = "print one JSON object a line: a file's ids, or a line's text"},
};

static const char *const examples[] = {
    "dither tokenize --tokenizer model book.txt",
    "the ids of a text",
    "dither tokenize --tokenizer model book.txt | dither tokenize --tokenizer model --decode",
    "there and back",
    "dither tokenize --tokenizer model.gguf --special --json chat.txt",
    "a chat with its marks, for programs",
    NULL,
};

static void defaults(void *options)
{
    *(tokenize_options *)options = (tokenize_options){.tokenizer = NULL};
}

static void notes(void)
{
    printf("Without FILE it reads standard input. Ids stand on one line a file, with spaces between them; nothing is\n"
           "put in front or behind.\n");
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

typedef struct contents {
    char *bytes; /* with a 0 behind them */
    size_t size;
} contents;

/* All of a file, or of standard input where path is NULL; what went wrong has been printed. */
static bool read_all(const char *path, contents *all)
{
    FILE *file = path ? fopen(path, "rb") : stdin;
    size_t capacity = 0;
    *all = (contents){.bytes = NULL};
    if (!file)
        return dither_output_fail(DITHER_E_IO, path, "cannot open: %s", strerror(errno)), false;
    for (size_t got = 1; got;) {
        if (capacity - all->size < 65536) {
            capacity = 2 * capacity + 131072;
            char *grown = realloc(all->bytes, capacity);
            if (!grown)
                break;
            all->bytes = grown;
        }
        got = fread(all->bytes + all->size, 1, capacity - all->size - 1, file);
        all->size += got;
    }
    const bool whole = feof(file) && !ferror(file);
    if (!whole)
        (void)dither_output_fail(DITHER_E_IO, path ? path : "standard input", "cannot be read whole");
    else
        all->bytes[all->size] = '\0';
    if (path)
        fclose(file);
    return whole;
}

/* ---- text to ids --------------------------------------------------------------------------------------------- */

static void print_ids(const char *path, const contents *text, const uint32_t *ids, size_t count, bool json)
{
    if (json) {
        printf("{\"file\":");
        dither_output_json_text(stdout, path ? path : "-", strlen(path ? path : "-"));
        printf(",\"bytes\":%zu,\"tokens\":%zu,\"ids\":[", text->size, count);
    }
    for (size_t i = 0; i < count; i++)
        printf("%s%u", i ? json ? "," : " " : "", ids[i]);
    printf(json ? "]}\n" : "\n");
}

static int encode(const tokenize_options *options, const dither_tokenizer *tokenizer, const char *path,
                  const contents *text)
{
    size_t (*const convert)(const dither_tokenizer *, const char *, size_t, uint32_t *, size_t) =
        options->special ? dither_tokenizer_encode_special : dither_tokenizer_encode;
    /* most tokens have several bytes; where they do not, it is done again with enough room */
    size_t capacity = text->size / 2 + 16, count = 0;
    uint32_t *ids = malloc(capacity * sizeof *ids);
    if (ids)
        count = convert(tokenizer, text->bytes, text->size, ids, capacity);
    if (ids && count > capacity && count != SIZE_MAX) {
        free(ids);
        capacity = count;
        ids = count <= SIZE_MAX / sizeof *ids ? malloc(count * sizeof *ids) : NULL;
        if (ids)
            count = convert(tokenizer, text->bytes, text->size, ids, capacity);
    }
    if (!ids || count == SIZE_MAX) {
        free(ids);
        return dither_output_fail(DITHER_E_MEMORY, path, "no memory for its ids");
    }
    print_ids(path, text, ids, count, options->json);
    free(ids);
    return EXIT_SUCCESS;
}

/* ---- ids to text --------------------------------------------------------------------------------------------- */

/* Writes one line's text; a number that is no id is said and ends it. */
static bool decode_line(const dither_tokenizer *tokenizer, const char *path, size_t number, char *line,
                        dither_utf8_stream *stream, size_t *count)
{
    bool first = dither_tokenizer_space_prefix(tokenizer);
    char *rest = NULL;
    *count = 0;
    for (const char *word = strtok_r(line, " \t\r,[]", &rest); word; word = strtok_r(NULL, " \t\r,[]", &rest)) {
        const char *bytes = NULL;
        char *end;
        errno = 0;
        const unsigned long long id = strtoull(word, &end, 10);
        size_t length = *word >= '0' && *word <= '9' && !*end && !errno && id < UINT32_MAX
                            ? dither_tokenizer_decode(tokenizer, (uint32_t)id, &bytes) : 0;
        if (!bytes) {
            char where[288];
            (void)snprintf(where, sizeof where, "%.255s:%zu", path ? path : "standard input", number);
            return dither_output_fail(DITHER_E_FORMAT, where, "'%.40s' is no id of the tokenizer", word), false;
        }
        const bool skip = first && length && *bytes == ' ' && !dither_tokenizer_is_special(tokenizer, (uint32_t)id);
        first = first && dither_tokenizer_is_special(tokenizer, (uint32_t)id);
        dither_utf8_stream_write(stream, bytes + skip, length - skip);
        ++*count;
    }
    dither_utf8_stream_end(stream);
    return true;
}

/* The same into a JSON object. */
static bool decode_json(const dither_tokenizer *tokenizer, const char *path, size_t number, char *line)
{
    char *text = NULL;
    size_t length = 0, count = 0;
    FILE *memory = open_memstream(&text, &length);
    dither_utf8_stream stream;
    if (!memory)
        return dither_output_fail(DITHER_E_MEMORY, path, "no memory for its text"), false;
    dither_utf8_stream_init(&stream, memory, false);
    const bool good = decode_line(tokenizer, path, number, line, &stream, &count);
    if (fclose(memory))
        return free(text), dither_output_fail(DITHER_E_MEMORY, path, "no memory for its text"), false;
    if (good) {
        printf("{\"file\":");
        dither_output_json_text(stdout, path ? path : "-", strlen(path ? path : "-"));
        printf(",\"line\":%zu,\"tokens\":%zu,\"text\":", number, count);
        dither_output_json_text(stdout, text, length);
        printf("}\n");
    }
    free(text);
    return good;
}

static int decode(const tokenize_options *options, const dither_tokenizer *tokenizer, const char *path,
                  const contents *ids)
{
    char *line = ids->bytes;
    size_t number = 1, count;
    dither_utf8_stream stream;
    dither_utf8_stream_init(&stream, stdout, isatty(STDOUT_FILENO));
    if (strlen(ids->bytes) < ids->size)
        return dither_output_fail(DITHER_E_FORMAT, path, "it holds a byte 0; it must hold ids in decimal");
    while (*line) {
        char *end = strchr(line, '\n');
        char *next = end ? end + 1 : line + strlen(line);
        if (end)
            *end = '\0';
        const bool good = options->json ? decode_json(tokenizer, path, number, line)
                                        : decode_line(tokenizer, path, number, line, &stream, &count);
        if (!good)
            return EXIT_FAILURE;
        line = next;
        number++;
    }
    return EXIT_SUCCESS;
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int convert_file(const tokenize_options *options, const dither_tokenizer *tokenizer, const char *path)
{
    contents all;
    int code = EXIT_FAILURE;
    if (read_all(path, &all))
        code = options->decode ? decode(options, tokenizer, path, &all) : encode(options, tokenizer, path, &all);
    free(all.bytes);
    return code;
}

static int run(int count, char **words)
{
    tokenize_options options = {.tokenizer = NULL};
    dither_parsed parsed;
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_tokenize, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    dither_tokenizer *tokenizer = NULL;
    dither_error error = {.status = DITHER_OK};
    const dither_status status = options.tokenizer ? dither_tokenizer_open(&tokenizer, options.tokenizer, &error)
                                                   : dither_tokenizer_bytes(&tokenizer, &error);
    if (status)
        return dither_output_error(&error);
    int code = convert_file(&options, tokenizer, parsed.positional);
    for (size_t i = 0; i < parsed.more_count && !code; i++)
        code = convert_file(&options, tokenizer, parsed.more[i]);
    dither_tokenizer_close(tokenizer);
    return code;
}

const dither_command dither_command_tokenize = {
    .name = "tokenize",
    .summary = "turn text into the ids of a tokenizer, and back",
    .usage = "[--tokenizer PATH] [FILE...] [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(tokenize_options),
    .defaults = defaults,
    .positional = "FILE",
    .several = true,
    .notes = notes,
    .examples = examples,
    .run = run,
};
