#include "dither/tokenizer_train.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "base/text.h"
#include "data/bpe_file.h"
#include "data/pretokenizer_names.h"
#include "data/tokenizer_parts.h"
#include "data/word_count.h"
#include "file/atomic.h"

enum { VOCAB_MAX = 1 << 24 };

void dither_tokenizer_train_options_init(dither_tokenizer_train_options *options)
{
    static const char *const end_of_text[] = {"<|endoftext|>"};
    *options = (dither_tokenizer_train_options){
        .vocab = 8192, .special = end_of_text, .special_count = 1, .pattern = "gpt2", .min_frequency = 2};
}

const char *dither_tokenizer_pattern(int index)
{
    return index < 0 ? NULL : dither_pretokenizer_kind((size_t)index);
}

/* ---- options ------------------------------------------------------------------------------------------------- */

/*
 * Whether a token of the vocabulary could have this text: all of its characters stand for bytes, and they are a single
 * byte, or not the bytes of the text itself. (Of ASCII they are, and a special token's text occurs in no word.)
 */
static bool may_be_token(const char *special)
{
    char bytes[DITHER_SPECIAL_BYTES];
    const size_t length = strlen(special), characters = dither_byte_text_decode(special, length, bytes);
    return characters != SIZE_MAX && (characters == 1 || characters < length);
}

static dither_status check_special(const dither_tokenizer_train_options *o, dither_error *error)
{
    if (o->special_count > DITHER_SPECIAL_MAX)
        return dither_fail(error, DITHER_E_USAGE, "--special", "%zu are too many; at most %d", o->special_count,
                           DITHER_SPECIAL_MAX);
    for (size_t i = 0; i < o->special_count; i++) {
        const char *text = o->special[i];
        const size_t length = strlen(text);
        if (length == 0 || length > DITHER_SPECIAL_BYTES)
            return dither_fail(error, DITHER_E_USAGE, "--special", "token %zu has %zu bytes; 1 to %d are possible",
                               i + 1, length, DITHER_SPECIAL_BYTES);
        if (dither_text_utf8((const unsigned char *)text, length) < length)
            return dither_fail(error, DITHER_E_USAGE, "--special", "token %zu is not UTF-8", i + 1);
        if (may_be_token(text))
            return dither_fail(error, DITHER_E_USAGE, "--special",
                               "'%s' would be an ordinary token as well; take a text like <|%s|>", text, text);
        for (size_t k = 0; k < i; k++)
            if (strcmp(text, o->special[k]) == 0)
                return dither_fail(error, DITHER_E_USAGE, "--special", "'%s' is there twice", text);
    }
    return DITHER_OK;
}

static dither_status check_options(const dither_tokenizer_train_options *o, dither_error *error)
{
    if (o->data_count == 0)
        return dither_fail(error, DITHER_E_USAGE, "--data", "it is missing; name text files or folders");
    if (o->out == NULL)
        return dither_fail(error, DITHER_E_USAGE, "--out", "it is missing; name the tokenizer.json to write");
    const size_t least = DITHER_BPE_BYTES + o->special_count;
    if (o->vocab < least || o->vocab > VOCAB_MAX)
        return dither_fail(error, DITHER_E_USAGE, "--vocab",
                           "%zu is out of range; %zu (the bytes and the special tokens) to %d are possible", o->vocab,
                           least, VOCAB_MAX);
    if (o->min_frequency == 0)
        return dither_fail(error, DITHER_E_USAGE, "--min-frequency", "0 is out of range; 1 merges all that occurs");
    return check_special(o, error);
}

static dither_status fail_there(const char *out, dither_error *error)
{
    return dither_fail(error, DITHER_E_USAGE, "--out", "%s is there already; --force replaces it", out);
}

/* Before the work: whether the file can be written, and is none of the texts. */
static dither_status check_out(const char *out, bool replace, const dither_files *files, dither_error *error)
{
    struct stat place, text;
    const bool there = stat(out, &place) == 0;
    if (there && S_ISDIR(place.st_mode))
        return dither_fail(error, DITHER_E_USAGE, "--out", "%s is a folder; name a file, as %s/tokenizer.json", out,
                           out);
    for (size_t i = 0; i < files->count && there; i++)
        if (stat(files->paths[i], &text) == 0 && text.st_dev == place.st_dev && text.st_ino == place.st_ino)
            return dither_fail(error, DITHER_E_USAGE, "--out", "%s is one of the texts; it would be written over", out);
    if (there && !S_ISREG(place.st_mode))
        return dither_fail(error, DITHER_E_USAGE, "--out", "%s is no regular file; name another", out);
    if (!replace && lstat(out, &place) == 0)
        return fail_there(out, error);
    dither_atomic file;
    const dither_status status = dither_atomic_open(&file, out, error);
    if (status == DITHER_OK)
        dither_atomic_abandon(&file);
    return status;
}

/* ---- training ------------------------------------------------------------------------------------------------ */

typedef struct listener {
    dither_tokenizer_progress progress;
    void *context;
    const volatile sig_atomic_t *stop;
    size_t special;
} listener;

static bool report(const listener *l, dither_tokenizer_phase phase, uint64_t done, uint64_t total)
{
    if (l->progress != NULL)
        l->progress(l->context, phase, done, total);
    return l->stop == NULL || *l->stop == 0;
}

static bool report_reading(void *context, uint64_t done, uint64_t total)
{
    return report(context, DITHER_TOKENIZER_READING, done, total);
}

static bool report_merging(void *context, size_t done, size_t wanted)
{
    const listener *l = context;
    return report(l, DITHER_TOKENIZER_MERGING, done + l->special, wanted + l->special);
}

static dither_status count_words(const dither_tokenizer_train_options *o, const dither_files *files, listener *l,
                                 dither_words *words, dither_tokenizer_trained *trained, dither_error *error)
{
    dither_pretokenizer *pretokenizer = NULL;
    dither_status status = dither_pretokenizer_open(&pretokenizer, o->pattern, error);
    if (status != DITHER_OK)
        return status;
    const dither_word_source source = {files,
                                       pretokenizer,
                                       o->special,
                                       o->special_count,
                                       DITHER_WORD_PIECE,
                                       o->threads > 0 ? o->threads : dither_cores()};
    status = dither_words_count(words, &source, &trained->bytes, report_reading, l, error);
    dither_pretokenizer_close(pretokenizer);
    trained->files = files->count;
    trained->distinct = words->count;
    for (size_t i = 0; i < words->count; i++)
        trained->words += words->words[i].count;
    return status;
}

static dither_status merge_and_write(const dither_tokenizer_train_options *o, const dither_words *words, listener *l,
                                     dither_tokenizer_trained *trained, dither_error *error)
{
    dither_trained_bpe bpe = {0};
    dither_status status =
        dither_bpe_train(&bpe, words, o->vocab - o->special_count, o->min_frequency, report_merging, l, error);
    if (status == DITHER_OK && !report_merging(l, bpe.tokens.count, o->vocab - o->special_count))
        status = DITHER_E_STOPPED;
    struct stat place;
    if (status == DITHER_OK && !o->replace && lstat(o->out, &place) == 0) /* since the work began */
        status = fail_there(o->out, error);
    if (status == DITHER_OK)
        status = dither_bpe_write(&bpe, o->special, o->special_count, o->pattern, o->out, error);
    trained->tokens = bpe.tokens.count + o->special_count;
    trained->text_tokens = bpe.text_tokens;
    dither_trained_bpe_close(&bpe);
    return status;
}

dither_status dither_tokenizer_train(const dither_tokenizer_train_options *options, dither_tokenizer_progress progress,
                                     void *context, const volatile sig_atomic_t *stop,
                                     dither_tokenizer_trained *trained, dither_error *error)
{
    listener l = {progress, context, stop, options->special_count};
    dither_files files = {0};
    dither_words words = {0};
    *trained = (dither_tokenizer_trained){0};
    dither_status status = check_options(options, error);
    for (size_t i = 0; i < options->data_count && status == DITHER_OK; i++)
        status = dither_files_add(&files, options->data[i], error);
    if (status == DITHER_OK)
        status = check_out(options->out, options->replace, &files, error);
    if (status == DITHER_OK)
        status = count_words(options, &files, &l, &words, trained, error);
    if (status == DITHER_OK)
        status = merge_and_write(options, &words, &l, trained, error);
    dither_words_close(&words);
    dither_files_close(&files);
    return status;
}
