/* dither inspect: what a model folder, a GGUF file or a safetensors file holds. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "commands.h"
#include "dither/model.h"
#include "dither/train.h"
#include "output.h"

typedef struct inspect_options {
    bool json;
} inspect_options;

static const dither_argument arguments[] = {
    {.group = "Options", .name = "json", .type = ARGUMENT_FLAG, .offset = offsetof(inspect_options, json),
     .help = "print one JSON object"},
};

static const char *const examples[] = {
    "dither inspect model",
    "the shape of a model and its tensors by kind",
    "dither inspect model/model.safetensors",
    "the tensors of one file",
    "dither inspect model.gguf",
    "its metadata too",
    "dither inspect model --json",
    "for programs",
    NULL,
};

static void defaults(void *options)
{
    *(inspect_options *)options = (inspect_options){.json = false};
}

/* ---- tensors by kind -------------------------------------------------------------------------------------- */

enum { EMBEDDING, ATTENTION, MLP, NORM, HEAD, OTHER, KINDS };

static const char *const kinds[KINDS] = {"embedding", "attention", "mlp", "norm", "head", "other"};

/* The first row whose part occurs in a tensor's name gives its kind: names of Hugging Face and of GGUF. */
static const struct {
    const char *part;
    size_t kind;
} parts[] = {
    {"norm", NORM}, {"ln_", NORM}, {"embed", EMBEDDING}, {"embd", EMBEDDING}, {"wte", EMBEDDING}, {"wpe", EMBEDDING},
    {"attn", ATTENTION}, {"mlp", MLP}, {"ffn", MLP}, {"lm_head", HEAD}, {"output", HEAD}, {"", OTHER},
};

typedef struct tensor {
    char *name;
    char type[16];
    size_t rows, cols, kind;
    uint64_t bytes;
} tensor;

typedef struct listing {
    tensor *tensors;
    size_t count, capacity;
    bool failed;
} listing;

static size_t kind_of(const char *name)
{
    size_t i = 0;
    while (!strstr(name, parts[i].part))
        i++;
    return parts[i].kind;
}

static bool note(void *context, const dither_tensor_info *info)
{
    listing *all = context;
    if (all->count == all->capacity) {
        const size_t capacity = all->capacity ? 2 * all->capacity : 64;
        tensor *grown = realloc(all->tensors, capacity * sizeof *grown);
        all->failed = !grown;
        if (!grown)
            return false;
        all->tensors = grown;
        all->capacity = capacity;
    }
    tensor *t = &all->tensors[all->count];
    *t = (tensor){strdup(info->name), "", info->rows, info->cols, kind_of(info->name), info->bytes};
    (void)snprintf(t->type, sizeof t->type, "%s", info->type);
    all->failed = !t->name;
    all->count += t->name != NULL;
    return !all->failed;
}

static void release(listing *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->tensors[i].name);
    free(all->tensors);
}

typedef struct sum {
    uint64_t tensors, values, bytes;
} sum;

/* @param kind  KINDS: all of them */
static sum sum_of(const listing *all, size_t kind)
{
    sum s = {0, 0, 0};
    for (size_t i = 0; i < all->count; i++) {
        const tensor *t = &all->tensors[i];
        if (kind != KINDS && t->kind != kind)
            continue;
        s.tensors++;
        s.values += (uint64_t)t->rows * t->cols;
        s.bytes += t->bytes;
    }
    return s;
}

/* ---- metadata of a GGUF file ------------------------------------------------------------------------------ */

enum { KEY_WIDTH = 40, VALUE_WIDTH = 72 };

/* What a terminal shows as it is, cut to a line; the rest as ? */
static void print_value(const dither_metadata_info *info)
{
    char count[32];
    if (info->array) {
        dither_output_count(info->count, count);
        printf("%s x %s", count, info->type);
        return;
    }
    size_t columns = 0;
    for (size_t i = 0; i < info->length; columns++) {
        const int whole = dither_output_utf8((const unsigned char *)info->text + i, info->length - i);
        if (columns == VALUE_WIDTH) {
            printf(" ...");
            return;
        }
        const unsigned char byte = (unsigned char)info->text[i];
        const bool plain = whole > 1 ? byte != 0xC2 : whole == 1 && byte >= 0x20 && byte != 0x7F;
        if (plain)
            fwrite(info->text + i, 1, (size_t)whole, stdout);
        else if (byte == '\n')
            printf("\\n");
        else
            putchar('?');
        i += whole > 0 ? (size_t)whole : 1;
    }
}

static bool print_metadata(void *context, const dither_metadata_info *info)
{
    (void)context;
    const int pad = info->key_length < KEY_WIDTH ? (int)(KEY_WIDTH - info->key_length) : 0;
    printf("%.*s%*s ", (int)info->key_length, info->key, pad, "");
    print_value(info);
    putchar('\n');
    return true;
}

static bool json_metadata(void *context, const dither_metadata_info *info)
{
    bool *first = context;
    printf(*first ? "" : ",");
    *first = false;
    dither_output_json_text(stdout, info->key, info->key_length);
    putchar(':');
    if (info->array)
        printf("{\"type\":\"%s\",\"count\":%llu}", info->type, (unsigned long long)info->count);
    else if (!strcmp(info->type, "string"))
        dither_output_json_text(stdout, info->text, info->length);
    else if (strstr(info->text, "nan") || strstr(info->text, "inf"))
        printf("null");
    else
        fwrite(info->text, 1, info->length, stdout);
    return true;
}

/* ---- the memory of the run, where there is one -------------------------------------------------------------- */

typedef struct run_plan {
    struct {
        const char *kind;
        uint64_t bytes;
    } rows[16];
    size_t count;
    uint64_t predicted;
} run_plan;

static void note_plan(void *context, const dither_event *event)
{
    run_plan *plan = context;
    if (event->kind == DITHER_EVENT_START)
        plan->predicted = event->predicted_bytes;
    if (event->kind != DITHER_EVENT_PLAN || event->plan_name || plan->count == sizeof plan->rows / sizeof plan->rows[0])
        return;
    plan->rows[plan->count].kind = event->plan_kind;
    plan->rows[plan->count++].bytes = event->plan_bytes;
}

/* Left empty where the folder holds no checkpoint, or the run's text is not there any more. */
static void read_plan(const char *path, run_plan *plan)
{
    dither_train_options options;
    void *storage = NULL;
    bool found = false;
    dither_train_options_init(&options);
    options.out = path;
    if (!dither_train_resume_options(path, &options, &found, &storage, NULL) && found) {
        options.dry_run = true;
        options.memory = UINT64_MAX;
        if (dither_train(&options, note_plan, plan, NULL, NULL))
            plan->count = 0;
    }
    free(storage);
}

static void print_plan(const run_plan *plan)
{
    char bytes[16];
    if (!plan->count)
        return;
    printf("\nmemory of its training run\n");
    for (size_t i = 0; i < plan->count; i++) {
        dither_output_bytes(plan->rows[i].bytes, bytes);
        printf("%-14s %9s\n", plan->rows[i].kind, bytes);
    }
    dither_output_bytes(plan->predicted, bytes);
    printf("%-14s %9s\n", "predicted peak", bytes);
}

static void json_plan(const run_plan *plan)
{
    printf(",\"plan\":{");
    for (size_t i = 0; i < plan->count; i++)
        printf("%s\"%s\":%llu", i ? "," : "", plan->rows[i].kind, (unsigned long long)plan->rows[i].bytes);
    printf("}");
}

/* What is printed of a path. */
typedef struct view {
    const char *path;
    bool gguf;
    const listing *tensors;
    const dither_model_config *config; /* NULL: there is none, or it is refused */
    const dither_error *refused;       /* why a GGUF file cannot be run; NULL: it can */
    run_plan plan;
} view;

/* ---- printing --------------------------------------------------------------------------------------------- */

static void print_config(const dither_model_config *c)
{
    char parameters[32];
    dither_output_count(dither_model_parameters(c), parameters);
    printf("model       layers=%zu,heads=%zu,kv_heads=%zu,head_dim=%zu,dim=%zu,ffn=%zu,ctx=%zu,vocab=%zu\n", c->layers,
           c->heads, c->kv_heads, c->head_dim, c->dim, c->ffn, c->ctx, c->vocab);
    printf("head        %s\n", c->tied ? "tied to the embedding" : "untied");
    printf("rope_base   %g\nnorm_eps    %g\nparameters  %s\n\n", c->rope_base, c->norm_eps, parameters);
}

static void print_sum(const char *name, sum s)
{
    char values[32], bytes[16];
    dither_output_count(s.values, values);
    dither_output_bytes(s.bytes, bytes);
    printf("%-10s %6llu %-7s %17s %-6s %9s\n", name, (unsigned long long)s.tensors,
           s.tensors == 1 ? "tensor" : "tensors", values, s.values == 1 ? "value" : "values", bytes);
}

static void print_kind(const listing *all, size_t kind, int width)
{
    for (size_t i = 0; i < all->count; i++) {
        const tensor *t = &all->tensors[i];
        char bytes[16], shape[48];
        if (t->kind != kind)
            continue;
        dither_output_bytes(t->bytes, bytes);
        (void)snprintf(shape, sizeof shape, "%zu x %zu", t->rows, t->cols);
        printf("%-10s %-*s %-6s %16s %9s\n", kinds[kind], width, t->name, t->type, shape, bytes);
    }
}

/* Opened once more: the tensors are listed already, so a failure now leaves the metadata out. */
static void each_value(const view *v, bool (*print)(void *, const dither_metadata_info *))
{
    bool first = true;
    const dither_status status = dither_model_metadata(v->path, print, &first, NULL);
    (void)status;
}

static void print_text(const view *v)
{
    const listing *all = v->tensors;
    int width = 6;
    for (size_t i = 0; i < all->count; i++)
        if ((int)strlen(all->tensors[i].name) > width)
            width = (int)strlen(all->tensors[i].name);
    if (v->gguf) {
        each_value(v, print_metadata);
        putchar('\n');
    }
    if (v->refused)
        printf("model       cannot be run: %s\n\n", v->refused->text);
    if (v->config)
        print_config(v->config);
    printf("%-10s %-*s %-6s %16s %9s\n", "kind", width, "tensor", "type", "rows x cols", "size");
    for (size_t kind = 0; kind < KINDS; kind++)
        print_kind(all, kind, width);
    putchar('\n');
    for (size_t kind = 0; kind < KINDS; kind++)
        if (sum_of(all, kind).tensors)
            print_sum(kinds[kind], sum_of(all, kind));
    print_sum("all", sum_of(all, KINDS));
    print_plan(&v->plan);
}

static void json_config(const dither_model_config *c)
{
    printf("\"config\":{\"layers\":%zu,\"heads\":%zu,\"kv_heads\":%zu,\"head_dim\":%zu,", c->layers, c->heads,
           c->kv_heads, c->head_dim);
    printf("\"dim\":%zu,\"ffn\":%zu,\"vocab\":%zu,\"ctx\":%zu,\"rope_base\":", c->dim, c->ffn, c->vocab, c->ctx);
    dither_output_json_number(stdout, c->rope_base);
    printf(",\"norm_eps\":");
    dither_output_json_number(stdout, c->norm_eps);
    printf(",\"tied\":%s},\"parameters\":%llu,", c->tied ? "true" : "false",
           (unsigned long long)dither_model_parameters(c));
}

static void print_json(const view *v)
{
    const listing *all = v->tensors;
    const sum whole = sum_of(all, KINDS);
    putchar('{');
    if (v->gguf) {
        printf("\"metadata\":{");
        each_value(v, json_metadata);
        printf("},");
    }
    if (v->config)
        json_config(v->config);
    printf("\"values\":%llu,\"bytes\":%llu,\"tensors\":[", (unsigned long long)whole.values,
           (unsigned long long)whole.bytes);
    for (size_t i = 0; i < all->count; i++) {
        const tensor *t = &all->tensors[i];
        printf("%s{\"name\":", i ? "," : "");
        dither_output_json_text(stdout, t->name, strlen(t->name));
        printf(",\"kind\":\"%s\",\"type\":", kinds[t->kind]);
        dither_output_json_text(stdout, t->type, strlen(t->type));
        printf(",\"rows\":%zu,\"cols\":%zu,\"bytes\":%llu}", t->rows, t->cols, (unsigned long long)t->bytes);
    }
    putchar(']');
    if (v->plan.count)
        json_plan(&v->plan);
    printf("}\n");
}

static int inspect(const char *path, bool json)
{
    dither_error error = {.status = DITHER_OK}, refused;
    dither_model_config config;
    struct stat status_of;
    listing all = {.count = 0};
    view v = {.path = path, .gguf = dither_model_is_gguf(path), .tensors = &all};
    const bool folder = !stat(path, &status_of) && S_ISDIR(status_of.st_mode);
    if (!v.gguf && !dither_model_is_safetensors(path) && !dither_output_is_model(path))
        return EXIT_FAILURE;
    dither_status status = folder ? dither_model_config_read(path, &config, &error) : DITHER_OK;
    if (folder)
        v.config = &config;
    if (!status)
        status = dither_model_inspect(path, note, &all, &error);
    if (!status && folder)
        read_plan(path, &v.plan);
    if (!status && v.gguf && dither_model_config_read(path, &config, &refused))
        v.refused = &refused; /* what it holds can be shown all the same */
    else if (v.gguf)
        v.config = &config;
    int code = EXIT_SUCCESS;
    if (status)
        code = dither_output_error(&error);
    else if (all.failed)
        code = dither_output_fail(DITHER_E_MEMORY, path, "no memory for the list of tensors");
    else
        (json ? print_json : print_text)(&v);
    release(&all);
    return code;
}

static int run(int count, char **words)
{
    inspect_options options = {.json = false};
    dither_parsed parsed;
    const dither_parse_result result = dither_arguments_parse(&dither_command_inspect, count, words, &options, &parsed);
    if (result != PARSE_OK)
        return result == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    if (!parsed.positional)
        return dither_output_fail(DITHER_E_USAGE, "PATH",
                                  "it is missing; name a model folder, a GGUF or a .safetensors file");
    return inspect(parsed.positional, options.json);
}

const dither_command dither_command_inspect = {
    .name = "inspect",
    .summary = "show the shape and the tensors of a model",
    .usage = "PATH [--json]",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(inspect_options),
    .defaults = defaults,
    .positional = "PATH",
    .examples = examples,
    .run = run,
};
