#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/text.h"
#include "data/chat_tokens.h"
#include "data/files.h"
#include "data/record_chat.h"
#include "data/record_reader.h"
#include "data/records_data.h"
#include "file/json.h"

enum { WEIGHT_MAX = 1000 };

const char *dither_train_on_name(int train_on)
{
    static const char *const names[] = {"assistant", "all"};
    return train_on >= 0 && train_on < 2 ? names[train_on] : NULL;
}

const char *dither_long_name(int what)
{
    static const char *const names[] = {"cut", "skip"};
    return what >= 0 && what < 2 ? names[what] : NULL;
}

/* ---- paths ------------------------------------------------------------------------------------------------- */

static bool exists(const char *path, bool *folder)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return false;
    *folder = S_ISDIR(info.st_mode);
    return true;
}

/* How much of a path is the file's, where ":WEIGHT" may follow. A file whose own name ends so has no weight. */
static size_t split_weight(const char *path, double *weight)
{
    bool folder;
    const char *colon = strrchr(path, ':');
    *weight = 1;
    if (!colon || colon == path || exists(path, &folder) || !dither_text_f64(colon + 1, weight))
        return strlen(path);
    return (size_t)(colon - path);
}

static bool is_record_file(const char *path, size_t length)
{
    static const char *const endings[] = {".jsonl", ".ndjson", ".json"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t size = strlen(endings[i]);
        if (length > size && !strncasecmp(path + length - size, endings[i], size))
            return true;
    }
    return false;
}

bool dither_records_path(const char *path)
{
    double weight;
    bool folder = false;
    const size_t length = split_weight(path, &weight);
    if (length < strlen(path) || !exists(path, &folder) || !folder)
        return is_record_file(path, length);
    dither_files files = {0};
    bool all = dither_files_add(&files, path, NULL) == DITHER_OK;
    for (size_t i = 0; i < files.count; i++)
        all = all && is_record_file(files.paths[i], strlen(files.paths[i]));
    dither_files_close(&files);
    return all;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

typedef struct reading {
    dither_records *records;
    const dither_records_options *options;
    dither_record_chat chat;
    dither_record_reader reader;
} reading;

static bool push(dither_bytes *buffer, const void *value, size_t size)
{
    dither_bytes_add(buffer, value, size);
    return !buffer->failed;
}

static uint64_t tokens_of(const dither_records *records)
{
    return records->tokens.size / sizeof(uint32_t);
}

/* A text: its tokens, between those that the tokenizer puts around every text, trained on whole. */
static dither_status add_text(dither_records *records, const char *text, size_t length, dither_error *error)
{
    const dither_tokenizer_marks *marks = dither_tokenizer_marks_get(records->tokenizer);
    const uint32_t bos = marks->bos, eos = marks->eos;
    dither_chat_text whole = {.length = length};
    if (marks->add_bos && bos != UINT32_MAX && !push(&records->tokens, &bos, sizeof bos))
        return dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for the tokens of a text");
    const uint64_t first = tokens_of(records);
    /* Rendering only reads: the text is the record's own. */
    memcpy(&whole.text, &text, sizeof text);
    const dither_status status = dither_chat_tokens(records->tokenizer, &whole, NULL, &records->tokens, error);
    if (status != DITHER_OK)
        return status;
    if (eos != UINT32_MAX && !push(&records->tokens, &eos, sizeof eos))
        return dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for the tokens of a text");
    uint32_t *tokens = (uint32_t *)(void *)records->tokens.bytes;
    for (uint64_t i = first; i < tokens_of(records); i++)
        tokens[i] |= DITHER_RECORD_TRAINED;
    return DITHER_OK;
}

static dither_status choose_format(reading *r, dither_error *error)
{
    dither_records *records = r->records;
    if (records->format)
        return DITHER_OK;
    const dither_status status = dither_chat_format_choose(r->options->chat_format, records->tokenizer,
                                                           r->options->model, &records->format, error);
    if (status == DITHER_OK)
        dither_chat_marks_get(records->format, records->tokenizer, &records->marks);
    return status;
}

/* Spans come in the order of the assistant's messages: what is left out of one is said by the other. */
static void move_flags(dither_record_chat *chat)
{
    size_t span = 0;
    for (size_t i = 0; i < chat->count; i++)
        if (chat->messages[i].role == DITHER_CHAT_ASSISTANT)
            chat->unweighted[span++] = chat->unweighted[i];
}

static dither_status add_chat(reading *r, dither_error *error)
{
    dither_records *records = r->records;
    dither_chat_text rendered;
    dither_status status = dither_chat_render(records->format, &records->marks, r->chat.messages, r->chat.count, false,
                                              &rendered, error);
    if (status != DITHER_OK)
        return status;
    move_flags(&r->chat);
    const uint64_t first = tokens_of(records);
    status = dither_chat_tokens(records->tokenizer, &rendered, r->chat.unweighted, &records->tokens, error);
    dither_chat_text_free(&rendered);
    uint32_t *tokens = (uint32_t *)(void *)records->tokens.bytes;
    for (uint64_t i = first; i < tokens_of(records) && r->options->train_on == DITHER_TRAIN_ON_ALL; i++)
        tokens[i] |= DITHER_RECORD_TRAINED;
    return status;
}

static dither_status add_record(reading *r, size_t line, dither_error *error)
{
    dither_records *records = r->records;
    const uint64_t first = tokens_of(records);
    const uint32_t number = line < UINT32_MAX ? (uint32_t)line : UINT32_MAX;
    /* Before the chat is rendered, which moves its flags. */
    const bool empty = r->options->train_on == DITHER_TRAIN_ON_ASSISTANT && dither_record_chat_unanswered(&r->chat);
    const dither_status status =
        r->chat.count > 0 ? add_chat(r, error) : add_text(records, r->chat.text, r->chat.length, error);
    if (status != DITHER_OK)
        return status;
    const uint64_t end = tokens_of(records);
    if (end - first >= DITHER_RECORD_ID || records->count >= UINT32_MAX - 1)
        return dither_fail(error, DITHER_E_SHAPE, NULL, "more records, or more tokens in one, than can be counted");
    if (!push(&records->starts, &end, sizeof end) || !push(&records->lines, &number, sizeof number))
        return dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for another record");
    const uint32_t *tokens = (const uint32_t *)(const void *)records->tokens.bytes;
    uint64_t trained = 0;
    for (uint64_t i = first; i < end; i++)
        trained += tokens[i] >> 31;
    records->all_trained += trained;
    records->count++;
    records->unanswered += empty;
    records->answered += trained > 0 && !empty;
    return DITHER_OK;
}

/* The parser counts lines from the record's first. */
static dither_status fail_json(const reading *r, size_t line, const dither_error *inner, dither_status status,
                               dither_error *error)
{
    const char *colon = strrchr(inner->where, ':');
    const size_t behind = colon ? strtoul(colon + 1, NULL, 10) : 1;
    return dither_record_fail(error, status, r->reader.path, line + (behind > 0 ? behind - 1 : 0), "%s", inner->text);
}

static dither_status read_record(reading *r, size_t line, dither_error *error)
{
    cJSON *object = NULL;
    dither_error inner = {.status = DITHER_OK};
    const dither_bytes *value = &r->reader.value;
    dither_status status = dither_json_parse(value->bytes, value->size, "", &object, &inner);
    if (status != DITHER_OK)
        return fail_json(r, line, &inner, status, error);
    status = dither_record_chat_read(&r->chat, object, r->options->fields, &inner);
    const bool needs_format = status == DITHER_OK && r->chat.count > 0 && !r->records->format;
    if (needs_format)
        status = choose_format(r, error);
    if (status != DITHER_OK && needs_format) {
        cJSON_Delete(object);
        return status; /* nothing that the record could help */
    }
    if (status == DITHER_OK)
        status = add_record(r, line, &inner);
    cJSON_Delete(object);
    return status == DITHER_OK ? status : dither_record_fail(error, status, r->reader.path, line, "%s", inner.text);
}

static dither_status read_file(reading *r, dither_record_file *file, dither_error *error)
{
    file->first = r->records->count;
    dither_status status = dither_record_reader_open(&r->reader, file->path, error);
    for (bool found = true; status == DITHER_OK && found;) {
        size_t line = 0;
        status = dither_record_reader_next(&r->reader, &line, &found, error);
        if (status == DITHER_OK && found)
            status = read_record(r, line, error);
    }
    dither_record_reader_close(&r->reader);
    file->count = r->records->count - file->first;
    if (status == DITHER_OK && file->count == 0)
        status =
            dither_fail(error, DITHER_E_FORMAT, file->path, "no records in it; one JSON object a line is expected");
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------- */

static dither_status add_files(dither_records *records, const dither_files *found, double weight, dither_error *error)
{
    dither_record_file *files = realloc(records->files, (records->file_count + found->count + 1) * sizeof *files);
    if (!files)
        return dither_fail(error, DITHER_E_MEMORY, "data", "no memory for %zu files", found->count);
    records->files = files;
    for (size_t i = 0; i < found->count; i++) {
        files[records->file_count] = (dither_record_file){.path = strdup(found->paths[i]), .weight = weight};
        if (!files[records->file_count++].path)
            return dither_fail(error, DITHER_E_MEMORY, "data", "no memory for %zu files", found->count);
    }
    return DITHER_OK;
}

static dither_status add_path(dither_records *records, const char *path, dither_error *error)
{
    double weight;
    dither_files found = {0};
    const size_t length = split_weight(path, &weight);
    if (!(weight > 0 && weight <= WEIGHT_MAX))
        return dither_fail(error, DITHER_E_USAGE, path, "the weight must be above 0 and at most %d", WEIGHT_MAX);
    char *name = strndup(path, length);
    dither_status status = name ? dither_files_add(&found, name, error)
                                : dither_fail(error, DITHER_E_MEMORY, path, "no memory for its name");
    if (status == DITHER_OK)
        status = add_files(records, &found, weight, error);
    dither_files_close(&found);
    free(name);
    return status;
}

static dither_status read_all(dither_records *records, const dither_records_options *options, dither_error *error)
{
    reading r = {.records = records, .options = options};
    const uint64_t none = 0;
    dither_status status = dither_record_fields_check(options->fields, error);
    if (status == DITHER_OK && options->chat_format) /* a misspelt name is an error even where no chat is */
        status = choose_format(&r, error);
    if (status == DITHER_OK && !push(&records->starts, &none, sizeof none))
        status = dither_fail(error, DITHER_E_MEMORY, "data", "no memory for records");
    for (size_t i = 0; i < records->file_count && status == DITHER_OK; i++)
        status = read_file(&r, &records->files[i], error);
    dither_record_chat_free(&r.chat);
    return status;
}

dither_status dither_records_open(dither_records **records, const char *const *paths, size_t count,
                                  const dither_records_options *options, const dither_tokenizer *tokenizer,
                                  dither_error *error)
{
    *records = NULL;
    dither_records *opened = calloc(1, sizeof *opened);
    if (!opened)
        return dither_fail(error, DITHER_E_MEMORY, "data", "no memory to open it");
    opened->tokenizer = tokenizer;
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < count && status == DITHER_OK; i++)
        status = add_path(opened, paths[i], error);
    if (status == DITHER_OK)
        status = read_all(opened, options, error);
    if (status == DITHER_OK)
        *records = opened;
    else
        dither_records_close(opened);
    return status;
}

void dither_records_close(dither_records *records)
{
    if (!records)
        return;
    for (size_t i = 0; i < records->file_count; i++)
        free(records->files[i].path);
    free(records->files);
    free(records->tokens.bytes);
    free(records->starts.bytes);
    free(records->lines.bytes);
    free(records);
}

/* ---- what is there ----------------------------------------------------------------------------------------- */

size_t dither_records_count(const dither_records *records)
{
    return records->count;
}

size_t dither_records_unanswered(const dither_records *records)
{
    return records->unanswered;
}

size_t dither_record_file_entries(const dither_record_file *file, size_t count)
{
    const size_t entries = (size_t)round(file->weight * (double)count);
    return count > 0 && entries == 0 ? 1 : entries;
}

size_t dither_records_files(const dither_records *records)
{
    return records->file_count;
}

dither_records_file dither_records_file_at(const dither_records *records, size_t index)
{
    const dither_record_file *file = &records->files[index];
    const uint64_t *starts = (const uint64_t *)(const void *)records->starts.bytes;
    const uint32_t *tokens = (const uint32_t *)(const void *)records->tokens.bytes;
    const uint64_t first = starts[file->first], end = starts[file->first + file->count];
    dither_records_file about = {.path = file->path, .weight = file->weight, .records = file->count,
                                 .epoch_records = dither_record_file_entries(file, file->count),
                                 .tokens = end - first};
    for (uint64_t i = first; i < end; i++)
        about.trained += tokens[i] >> 31;
    return about;
}

uint64_t dither_records_tokens(const dither_records *records)
{
    return tokens_of(records);
}

uint64_t dither_records_trained(const dither_records *records)
{
    return records->all_trained;
}

size_t dither_records_vocab(const dither_records *records)
{
    return dither_tokenizer_id_bound(records->tokenizer);
}

const dither_chat_format *dither_records_format(const dither_records *records)
{
    return records->format;
}

dither_record dither_records_at(const dither_records *records, size_t index)
{
    const uint64_t *starts = (const uint64_t *)(const void *)records->starts.bytes;
    const uint32_t *tokens = (const uint32_t *)(const void *)records->tokens.bytes;
    size_t file = 0;
    while (index >= records->files[file].first + records->files[file].count)
        file++;
    return (dither_record){
        .tokens = tokens + starts[index],
        .count = (size_t)(starts[index + 1] - starts[index]),
        .path = records->files[file].path,
        .line = ((const uint32_t *)(const void *)records->lines.bytes)[index],
    };
}

static uint64_t mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio, odd */
    return state ^ state >> 29;
}

uint64_t dither_records_hash(const dither_records *records)
{
    const uint32_t *tokens = (const uint32_t *)(const void *)records->tokens.bytes;
    const uint64_t *starts = (const uint64_t *)(const void *)records->starts.bytes;
    uint64_t state = mix(0, records->count);
    for (size_t i = 0; i <= records->count; i++)
        state = mix(state, starts[i]);
    for (uint64_t i = 0; i < tokens_of(records); i++)
        state = mix(state, tokens[i]);
    for (size_t i = 0; i < records->file_count; i++) {
        uint64_t weight;
        memcpy(&weight, &records->files[i].weight, sizeof weight);
        state = mix(mix(state, weight), records->files[i].count);
    }
    return mix(state, 0);
}
