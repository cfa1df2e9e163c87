#include "train/train_options.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/json.h"
#include "model/table.h"

void dither_train_options_init(dither_train_options *options)
{
    *options = (dither_train_options){
        .val_fraction = 0.1,
        .scheme = "paper-int8",
        .steps = 1000,
        .batch = 8,
        .accumulate = 1,
        .optimizer = DITHER_OPTIMIZER_ADAMW,
        .lr = 1e-3,
        .min_lr = -1,
        .schedule = DITHER_SCHEDULE_COSINE,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .adam_eps = 1e-8,
        .weight_decay = 0.1,
        .clip = 1,
        .momentum = 0.9,
        .seed = 1,
        .eval_every = 250,
        .eval_tokens = 65536,
        .save_every = 250,
        .noise_every = DITHER_NOISE_EVERY_AUTO,
        .auto_batch_max = 16,
    };
}

const char *dither_optimizer_name(int optimizer)
{
    static const char *const names[] = {"adamw", "sgd"};
    return optimizer >= 0 && optimizer < 2 ? names[optimizer] : NULL;
}

const char *dither_schedule_name(int schedule)
{
    static const char *const names[] = {"cosine", "linear", "constant", "wsd"};
    return schedule >= 0 && schedule < 4 ? names[schedule] : NULL;
}

typedef enum field_type { TEXT, U64, F64, WORD, BOOL } field_type;

typedef struct field {
    const char *name; /* as on the command line, without its dashes */
    field_type type;
    size_t offset;
    bool may_change; /* on resuming */
    double min, max; /* of a number; min exclusive where `above` */
    bool above;
    const char *(*word)(int); /* of an enum */
    bool newer;               /* older checkpoints have it not: the default holds */
} field;

#define FIELD(name, member, type, may_change, min, max, above) \
    {name, type, offsetof(dither_train_options, member), may_change, min, max, above, NULL, false}
#define NEWER(name, member, type, may_change, max) \
    {name, type, offsetof(dither_train_options, member), may_change, 0, max, false, NULL, true}
#define WORDS(name, member, words, newer) \
    {name, WORD, offsetof(dither_train_options, member), false, 0, 0, false, words, newer}
#define COUNT_MAX 4294967295.0
#define TOKENS_MAX 1e15
static const field fields[] = {
    FIELD("new", new_model, TEXT, false, 0, 0, false),
    FIELD("model", model, TEXT, false, 0, 0, false),
    FIELD("tokenizer", tokenizer, TEXT, false, 0, 0, false),
    FIELD("val", val, TEXT, false, 0, 0, false),
    FIELD("val-fraction", val_fraction, F64, false, 0, 0.9, false),
    FIELD("scheme", scheme, TEXT, false, 0, 0, false),
    FIELD("steps", steps, U64, true, 1, COUNT_MAX, false),
    FIELD("batch", batch, U64, false, 1, 1 << 20, false),
    FIELD("accumulate", accumulate, U64, false, 1, DITHER_ACCUMULATE_MAX, false),
    FIELD("seq", seq, U64, false, 0, COUNT_MAX, false),
    WORDS("optimizer", optimizer, dither_optimizer_name, false),
    FIELD("lr", lr, F64, false, 0, 1e6, true),
    FIELD("min-lr", min_lr, F64, false, 0, 1e6, false),
    WORDS("schedule", schedule, dither_schedule_name, false),
    FIELD("warmup", warmup, U64, false, 0, COUNT_MAX, false),
    FIELD("beta1", beta1, F64, false, 0, 0.9999999, false),
    FIELD("beta2", beta2, F64, false, 0, 0.9999999, false),
    FIELD("adam-eps", adam_eps, F64, false, 0, 1, true),
    FIELD("weight-decay", weight_decay, F64, false, 0, 1e6, false),
    FIELD("clip", clip, F64, false, 0, 1e30, false),
    FIELD("momentum", momentum, F64, false, 0, 0.9999999, false),
    FIELD("seed", seed, U64, false, 0, 9007199254740991.0, false),
    FIELD("save-bf16", save_bf16, BOOL, false, 0, 0, false),
    NEWER("chat-format", chat_format, TEXT, false, 0),
    NEWER("fields", fields, TEXT, false, 0),
    WORDS("train-on", train_on, dither_train_on_name, true),
    WORDS("long", longer, dither_long_name, true),
    NEWER("epochs", epochs, F64, true, 1e6),
    NEWER("noise-every", noise_every, U64, true, COUNT_MAX),
    NEWER("auto-batch", auto_batch, BOOL, true, 0),
    NEWER("auto-batch-max", auto_batch_max, U64, true, DITHER_ACCUMULATE_MAX),
    NEWER("save-every", save_every, U64, true, COUNT_MAX),
    NEWER("eval-every", eval_every, U64, true, COUNT_MAX),
    NEWER("eval-tokens", eval_tokens, U64, true, TOKENS_MAX),
    NEWER("tensorboard", tensorboard, BOOL, true, 0),
};
enum { FIELDS = sizeof fields / sizeof fields[0], BYTE_VOCAB = 256 };
#undef FIELD
#undef NEWER
#undef WORDS

static const void *at(const dither_train_options *options, const field *f)
{
    return (const unsigned char *)options + f->offset;
}

static_assert(sizeof(dither_optimizer) == sizeof(int) && sizeof(dither_schedule) == sizeof(int) &&
                  sizeof(dither_train_on) == sizeof(int) && sizeof(dither_long) == sizeof(int),
              "an enum is read and written as int");

static const char *text_of(const dither_train_options *options, const field *f)
{
    if (f->type == WORD) {
        int value;
        memcpy(&value, at(options, f), sizeof value);
        return f->word(value);
    }
    const char *text;
    memcpy(&text, at(options, f), sizeof text);
    return text;
}

static double number_of(const dither_train_options *options, const field *f)
{
    if (f->type == F64) {
        double value;
        memcpy(&value, at(options, f), sizeof value);
        return value;
    }
    if (f->type == BOOL)
        return *(const bool *)at(options, f);
    uint64_t value;
    memcpy(&value, at(options, f), sizeof value);
    return (double)value;
}

static bool is_number(const field *f)
{
    return f->type == U64 || f->type == F64 || f->type == BOOL;
}

static dither_status check_field(const dither_train_options *options, const field *f, dither_error *error)
{
    char where[64];
    (void)snprintf(where, sizeof where, "--%s", f->name);
    if (f->type == WORD) {
        if (!text_of(options, f))
            return dither_fail(error, DITHER_E_USAGE, where, "no such %s", f->name);
        return DITHER_OK;
    }
    if (!is_number(f) || f->type == BOOL)
        return DITHER_OK;
    const double value = number_of(options, f);
    if (isnan(value) || value < f->min || value > f->max || (f->above && value <= f->min))
        return dither_fail(error, DITHER_E_USAGE, where, "%.9g is out of range; it must be %s %.9g and at most %.9g",
                           value, f->above ? "above" : "at least", f->min, f->max);
    return DITHER_OK;
}

static dither_status check_path(const char *where, const char *path, dither_error *error)
{
    if (!path || dither_text_utf8((const unsigned char *)path, strlen(path)) == strlen(path))
        return DITHER_OK;
    return dither_fail(error, DITHER_E_USAGE, where, "the path is not UTF-8, and checkpoints and logs are; rename it");
}

static dither_status check_paths(const dither_train_options *options, dither_error *error)
{
    dither_status status = check_path("--out", options->out, error);
    if (!status)
        status = check_path("--val", options->val, error);
    if (!status)
        status = check_path("--model", options->model, error);
    if (!status)
        status = check_path("--tokenizer", options->tokenizer, error);
    for (size_t i = 0; i < options->data_count && !status; i++)
        status = check_path("--data", options->data[i], error);
    return status;
}

dither_status dither_train_options_check(const dither_train_options *options, dither_error *error)
{
    for (size_t i = 0; i < FIELDS; i++) {
        dither_train_options view = *options;
        if (view.min_lr < 0)
            view.min_lr = 0; /* lr / 10 */
        const dither_status status = check_field(&view, &fields[i], error);
        if (status)
            return status;
    }
    if (options->resume && options->out && !options->new_model && !options->model)
        return dither_fail(error, DITHER_E_USAGE, "--resume",
                           "there is no checkpoint in %s to go on from; check --out, or say --new or --model to start "
                           "there", options->out);
    if (!options->new_model == !options->model)
        return dither_fail(error, DITHER_E_USAGE, options->new_model ? "--model" : "--new",
                           options->new_model ? "a run starts from --new SHAPE or from --model DIR, not from both"
                                              : "say --new SHAPE for a new model or --model DIR for one to start from");
    if (!options->data_count)
        return dither_fail(error, DITHER_E_USAGE, "--data", "it is missing; name text files or folders to train on");
    if (!options->out && !options->dry_run)
        return dither_fail(error, DITHER_E_USAGE, "--out", "it is missing; name a folder for the model");
    if (options->min_lr > options->lr)
        return dither_fail(error, DITHER_E_USAGE, "--min-lr", "%.9g is above --lr %.9g", options->min_lr, options->lr);
    if (options->warmup > options->steps && !(options->epochs > 0)) /* whose steps are not known yet */
        return dither_fail(error, DITHER_E_USAGE, "--warmup", "%llu is more than --steps %llu",
                           (unsigned long long)options->warmup, (unsigned long long)options->steps);
    if (options->auto_batch && (!options->noise_every || !options->auto_batch_max))
        return dither_fail(error, DITHER_E_USAGE, "--auto-batch",
                           "it goes by the noise that is measured on the way; %s",
                           options->noise_every ? "--auto-batch-max must be at least 1" : "leave --noise-every 0 out");
    if (options->threads < 0 || options->threads > 1024)
        return dither_fail(error, DITHER_E_USAGE, "--threads", "%d is out of range; 1 to 1024, or 0 for all cores",
                           options->threads);
    return check_paths(options, error);
}

static bool add_data(cJSON *object, const dither_train_options *options)
{
    cJSON *data = cJSON_AddArrayToObject(object, "data");
    for (size_t i = 0; data && i < options->data_count; i++) {
        cJSON *item = cJSON_CreateString(options->data[i]);
        if (!item || !cJSON_AddItemToArray(data, item))
            return false;
    }
    return data != NULL;
}

cJSON *dither_train_options_json(const dither_train_options *options)
{
    cJSON *object = cJSON_CreateObject();
    bool whole = object && add_data(object, options);
    for (size_t i = 0; i < FIELDS && whole; i++) {
        const field *f = &fields[i];
        if (f->type == BOOL)
            whole = cJSON_AddBoolToObject(object, f->name, number_of(options, f) != 0);
        else if (is_number(f))
            whole = cJSON_AddNumberToObject(object, f->name, number_of(options, f));
        else if (text_of(options, f))
            whole = cJSON_AddStringToObject(object, f->name, text_of(options, f));
    }
    if (!whole) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

static dither_status read_word(const char *text, const field *f, unsigned char *member, const char *path,
                               dither_error *error)
{
    for (int i = 0; f->word(i); i++)
        if (!strcmp(f->word(i), text)) {
            memcpy(member, &i, sizeof i);
            return DITHER_OK;
        }
    return dither_fail(error, DITHER_E_FORMAT, path, "\"%s\" is not a word this version knows", text);
}

static dither_status read_field(const cJSON *object, const field *f, const char *path, dither_train_options *options,
                                dither_error *error)
{
    unsigned char *member = (unsigned char *)options + f->offset;
    bool there = true, flag = false;
    bool *found = f->newer || f->type == TEXT ? &there : NULL;
    const char *text = NULL;
    uint64_t whole = 0;
    double real = 0;
    dither_status status = DITHER_OK;
    switch (f->type) {
    case U64:
        status = dither_json_u64(object, f->name, (uint64_t)f->min, (uint64_t)f->max, &whole, found, path, error);
        if (!status && there)
            memcpy(member, &whole, sizeof whole);
        break;
    case F64:
        status = dither_json_f64(object, f->name, &real, found, path, error);
        if (!status && there)
            memcpy(member, &real, sizeof real);
        break;
    case BOOL:
        status = dither_json_bool(object, f->name, &flag, found, path, error);
        if (!status && there)
            memcpy(member, &flag, sizeof flag);
        break;
    case TEXT:
        status = dither_json_text(object, f->name, &text, found, path, error);
        if (!status && there)
            memcpy(member, &text, sizeof text);
        break;
    case WORD:
        status = dither_json_text(object, f->name, &text, found, path, error);
        if (!status && there)
            status = read_word(text, f, member, path, error);
        break;
    }
    return status;
}

/* Move every text that options points to into one block that outlives the JSON. */
static dither_status own_texts(dither_train_options *options, const cJSON *data, void **storage)
{
    const size_t count = (size_t)cJSON_GetArraySize(data);
    size_t bytes = count * sizeof(char *);
    const cJSON *item;
    cJSON_ArrayForEach(item, data) bytes += strlen(item->valuestring) + 1;
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].type == TEXT && text_of(options, &fields[i]))
            bytes += strlen(text_of(options, &fields[i])) + 1;
    char **paths = malloc(bytes ? bytes : 1);
    if (!paths)
        return DITHER_E_MEMORY;
    char *text = (char *)(paths + count);
    size_t n = 0;
    cJSON_ArrayForEach(item, data)
    {
        paths[n++] = text;
        text = stpcpy(text, item->valuestring) + 1;
    }
    for (size_t i = 0; i < FIELDS; i++) {
        const char *old = fields[i].type == TEXT ? text_of(options, &fields[i]) : NULL;
        if (!old)
            continue;
        const char *copy = text;
        text = stpcpy(text, old) + 1;
        memcpy((unsigned char *)options + fields[i].offset, &copy, sizeof copy);
    }
    options->data = (const char *const *)paths;
    options->data_count = count;
    *storage = paths;
    return DITHER_OK;
}

dither_status dither_train_options_read(const cJSON *object, const char *path, dither_train_options *options,
                                        void **storage, dither_error *error)
{
    *storage = NULL;
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(object, "data");
    const cJSON *item;
    bool texts = cJSON_IsArray(data) && cJSON_GetArraySize(data) > 0;
    cJSON_ArrayForEach(item, data) texts = texts && cJSON_IsString(item);
    if (!texts)
        return dither_fail(error, DITHER_E_FORMAT, path, "\"data\" is not a list of paths");
    dither_train_options read = *options;
    read.new_model = read.model = read.val = read.chat_format = read.fields = NULL;
    for (size_t i = 0; i < FIELDS; i++) {
        const dither_status status = read_field(object, &fields[i], path, &read, error);
        if (status)
            return status;
    }
    dither_status status = own_texts(&read, data, storage);
    if (status)
        return dither_fail(error, status, path, "no memory");
    *options = read;
    return DITHER_OK;
}

/* A shape without a vocabulary has that of bytes; one with a smaller vocabulary says so. */
static bool parse_shape(const char *text, dither_model_config *config)
{
    return dither_model_config_parse(text, BYTE_VOCAB, config, NULL) == DITHER_OK ||
           dither_model_config_parse(text, 1, config, NULL) == DITHER_OK;
}

/* Equal, or two spellings of one scheme or one shape. */
static bool same_texts(const field *f, const char *a, const char *b)
{
    if (!a || !b || !strcmp(a, b))
        return a == b || (a && b);
    if (f->offset == offsetof(dither_train_options, scheme)) {
        dither_scheme x, y;
        char text_x[DITHER_SCHEME_TEXT], text_y[DITHER_SCHEME_TEXT];
        if (dither_scheme_parse(a, &x, NULL) || dither_scheme_parse(b, &y, NULL))
            return false;
        dither_scheme_print(&x, text_x);
        dither_scheme_print(&y, text_y);
        return !strcmp(text_x, text_y);
    }
    if (f->offset == offsetof(dither_train_options, new_model)) {
        dither_model_config x, y;
        char text_x[DITHER_SHAPE_TEXT], text_y[DITHER_SHAPE_TEXT];
        if (!parse_shape(a, &x) || !parse_shape(b, &y))
            return false;
        dither_shape_print(&x, text_x);
        dither_shape_print(&y, text_y);
        return !strcmp(text_x, text_y);
    }
    return false;
}

/* As the command line would have it: numbers in the fewest digits that are theirs, what was not given as none. */
static void print_value(const dither_train_options *options, const field *f, char *text, size_t size)
{
    if (f->type == BOOL) {
        (void)snprintf(text, size, "%s", number_of(options, f) != 0 ? "bf16" : "f32");
    } else if (is_number(f)) {
        double back = NAN;
        for (int digits = 6; digits <= 17 && back != number_of(options, f); digits++) {
            dither_text_print_f64(number_of(options, f), digits, text, size);
            if (!dither_text_f64(text, &back))
                break;
        }
    } else {
        (void)snprintf(text, size, "%.120s", text_of(options, f) ? text_of(options, f) : "none");
    }
}

dither_status dither_train_options_compare(const dither_train_options *options, const dither_train_options *saved,
                                           dither_error *error)
{
    for (size_t i = 0; i < FIELDS; i++) {
        const field *f = &fields[i];
        if (f->may_change || (is_number(f) ? number_of(options, f) == number_of(saved, f)
                                           : same_texts(f, text_of(options, f), text_of(saved, f))))
            continue;
        char where[64], here[128], there[128], free_ones[128] = "";
        (void)snprintf(where, sizeof where, "--%s", f->type == BOOL ? "save-format" : f->name);
        print_value(options, f, here, sizeof here);
        print_value(saved, f, there, sizeof there);
        for (size_t k = 0; k < FIELDS; k++) {
            const size_t used = strlen(free_ones);
            if (fields[k].may_change)
                (void)snprintf(free_ones + used, sizeof free_ones - used, "--%s, ", fields[k].name);
        }
        return dither_fail(error, DITHER_E_USAGE, where,
                           "%s here, %s in the checkpoint; a run goes on as it began: leave it out with --resume, "
                           "where only %s--stop-at, --threads, --memory and what is printed may change, or start anew "
                           "in another --out", here, there, free_ones);
    }
    return DITHER_OK;
}
