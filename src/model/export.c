/* dither_convert: a model from one kind of file into another, tensor by tensor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "base/philox.h"
#include "dither/convert.h"
#include "file/gguf.h"
#include "file/kind.h"
#include "model/export_folder.h"
#include "model/export_metadata.h"
#include "model/export_plan.h"
#include "model/export_rows.h"
#include "model/export_shards.h"

enum { PATH_BYTES = 4096, RESIDENT_VALUES = 1 << 23 };
static const uint64_t SHARD_BYTES = UINT64_C(5000000000);

typedef struct export {
    const dither_convert_options *options;
    void (*report)(void *context, const dither_convert_event *event);
    void *context;
    const volatile sig_atomic_t *stop;
    char target[PATH_BYTES];    /* without slashes at its end */
    char temporary[PATH_BYTES]; /* the folder that is written, "" until it is there */
    int threads;
    dither_source *source;
    dither_export_plan plan;
    dither_gguf_writer *gguf;
    dither_export_shards shards;
    uint64_t done, total; /* values */
    uint64_t forgotten;   /* the source's are let go up to here */
} export;

static void notify(const export *e, const char *notice)
{
    const dither_convert_event event = {.done = e->done, .total = e->total, .notice = notice};
    if (e->report != NULL)
        e->report(e->context, &event);
}

/* ---- what is asked for -------------------------------------------------------------------------------------- */

static dither_status read_type(export *e, dither_error *error)
{
    const char *name = e->options->type;
    e->plan.as_stored = name == NULL;
    if (name == NULL)
        return DITHER_OK;
    if (!dither_block_from_name(name, &e->plan.type) || !dither_block_info_of(e->plan.type)->writes)
        return dither_fail(error, DITHER_E_USAGE, name, "not a type that can be written; f32, f16, bf16, q8_0, q4_0 "
                           "and q4_1 can");
    if (!e->plan.gguf && dither_block_info_of(e->plan.type)->values > 1)
        return dither_fail(error, DITHER_E_USAGE, name, "a folder has f32, f16 or bf16; a name that ends in .gguf "
                           "makes a file that has blocks");
    return DITHER_OK;
}

static bool same_place(const char *a, const char *b)
{
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

static dither_status check_target(export *e, dither_error *error)
{
    struct stat info;
    if (same_place(e->options->source, e->target))
        return dither_fail(error, DITHER_E_USAGE, e->target, "source and target are the same");
    if (!e->plan.gguf)
        return dither_export_folder_open(e->target, e->options->force, e->temporary, error);
    if (stat(e->target, &info) != 0)
        return DITHER_OK;
    if (!S_ISREG(info.st_mode))
        return dither_fail(error, DITHER_E_USAGE, e->target, "it is there and no file");
    if (!e->options->force)
        return dither_fail(error, DITHER_E_USAGE, e->target, "it is there already; --force replaces it");
    return DITHER_OK;
}

static dither_status read_options(export *e, dither_error *error)
{
    size_t length = strlen(e->options->target);
    while (length > 1 && e->options->target[length - 1] == '/')
        length--;
    if (length == 0 || length >= sizeof e->target)
        return dither_fail(error, DITHER_E_USAGE, "target", "a path of %zu bytes; 1 to %zu are possible", length,
                           sizeof e->target - 1);
    memcpy(e->target, e->options->target, length);
    e->threads = e->options->threads > 0 ? e->options->threads : dither_cores();
    e->plan.gguf = dither_name_ends(e->target, ".gguf");
    return read_type(e, error);
}

/* ---- the source --------------------------------------------------------------------------------------------- */

static dither_status open_source(export *e, dither_error *error)
{
    dither_export_plan *plan = &e->plan;
    dither_status status = dither_source_open(&e->source, e->options->source, error);
    if (status == DITHER_OK)
        status = dither_source_config(e->source, &plan->config, error);
    if (status != DITHER_OK)
        return status;
    plan->count = dither_table_count(&plan->config);
    plan->table = calloc(plan->count, sizeof *plan->table);
    plan->stored = calloc(plan->count, sizeof *plan->stored);
    if (plan->table == NULL || plan->stored == NULL)
        return dither_fail(error, DITHER_E_MEMORY, e->options->source, "no memory for %zu tensors", plan->count);
    (void)dither_table_fill(&plan->config, plan->table);
    status = dither_source_find(e->source, &plan->config, plan->table, plan->count, plan->stored, error);
    if (status == DITHER_OK)
        status = dither_export_plan_make(plan, error);
    for (size_t i = 0; i < plan->tensors; i++)
        e->total += dither_export_tensor_values(&plan->tensor[i]);
    return status;
}

static void notify_types(const export *e)
{
    char text[256];
    const dither_export_plan *plan = &e->plan;
    if (plan->odd > 0) {
        (void)snprintf(text, sizeof text, "%zu %s rows that are no multiple of 32 and stay f16 (%s%s)", plan->odd,
                       plan->odd == 1 ? "matrix has" : "matrices have", plan->first_odd, plan->odd == 1 ? "" : ", ...");
        notify(e, text);
    }
    if (plan->head_apart) {
        (void)snprintf(text, sizeof text, "%s is in q8_0: the output head loses most by 4 bits",
                       plan->config.tied ? "token_embd.weight, which is the output head too," : "output.weight");
        notify(e, text);
    }
}

/* ---- the target --------------------------------------------------------------------------------------------- */

static dither_status put(void *context, const void *bytes, size_t size, uint64_t values, dither_error *error)
{
    export *e = context;
    const dither_status status = e->plan.gguf ? dither_gguf_writer_data(e->gguf, bytes, size, error)
                                              : dither_export_shards_data(&e->shards, bytes, size, error);
    if (status != DITHER_OK)
        return status;
    e->done += values;
    if (e->done - e->forgotten >= RESIDENT_VALUES) {
        dither_source_forget(e->source);
        e->forgotten = e->done;
    }
    notify(e, NULL);
    if (e->stop != NULL && *e->stop)
        return dither_fail(error, DITHER_E_STOPPED, e->target, "stopped; nothing was left there");
    return DITHER_OK;
}

static dither_status write_tensors(export *e, dither_error *error)
{
    const dither_draw draw = {.seed = e->options->seed, .role = DITHER_FIELD_EXPORT};
    const dither_export_sink sink = {put, e};
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < e->plan.tensors && status == DITHER_OK; i++)
        status = dither_export_rows(&e->plan, i, e->options->stochastic ? &draw : NULL, e->threads, &sink, error);
    return status;
}

/* What the model is called: the last part of the target's path without its ending. */
static void model_name(const export *e, char text[static PATH_BYTES])
{
    const char *slash = strrchr(e->target, '/'), *name = slash != NULL ? slash + 1 : e->target;
    if (e->options->name != NULL)
        (void)snprintf(text, PATH_BYTES, "%s", e->options->name);
    else
        (void)snprintf(text, PATH_BYTES, "%.*s", (int)(strlen(name) - strlen(".gguf")), name);
}

static dither_status write_gguf(export *e, dither_error *error)
{
    char name[PATH_BYTES];
    const dither_gguf *from = dither_source_gguf(e->source);
    model_name(e, name);
    dither_status status = dither_gguf_writer_open(&e->gguf, e->target, error);
    if (status != DITHER_OK)
        return status;
    if (from != NULL)
        dither_export_metadata_copy(e->gguf, from, &e->plan, name);
    else
        status = dither_export_metadata_make(e->gguf, e->options->source, &e->plan, name, error);
    for (size_t i = 0; i < e->plan.tensors && status == DITHER_OK; i++) {
        const dither_export_tensor *tensor = &e->plan.tensor[i];
        const uint64_t matrix[2] = {tensor->cols, tensor->rows}, vector[1] = {tensor->rows};
        dither_gguf_writer_tensor(e->gguf, tensor->name, tensor->type, tensor->vector ? 1 : 2,
                                  tensor->vector ? vector : matrix);
    }
    if (status == DITHER_OK)
        status = write_tensors(e, error);
    dither_gguf_writer *writer = e->gguf;
    if (status == DITHER_OK) {
        e->gguf = NULL;
        status = dither_gguf_writer_commit(writer, error);
    }
    return status;
}

static dither_block_type folder_type(const export *e)
{
    return e->plan.tensors > 0 ? e->plan.tensor[0].type : DITHER_BLOCK_F32; /* the embedding's */
}

static dither_status write_folder(export *e, dither_error *error)
{
    dither_status status = dither_export_shards_open(&e->shards, &e->plan, e->temporary,
                                                     e->options->shard > 0 ? e->options->shard : SHARD_BYTES, error);
    if (status == DITHER_OK)
        status = dither_export_beside(e->temporary, e->options->source, &e->plan.config, folder_type(e), error);
    if (status == DITHER_OK)
        status = write_tensors(e, error);
    if (status == DITHER_OK)
        status = dither_export_shards_commit(&e->shards, error);
    return status == DITHER_OK ? dither_export_folder_commit(e->target, e->temporary, error) : status;
}

static void fill_result(const export *e, dither_convert_result *result)
{
    *result = (dither_convert_result){.tensors = e->plan.tensors, .values = e->total,
                                      .files = e->plan.gguf ? 1 : e->shards.files};
    for (size_t i = 0; i < e->plan.tensors; i++)
        result->bytes += dither_export_tensor_bytes(&e->plan.tensor[i]);
}

static void close_all(export *e, dither_status status)
{
    dither_gguf_writer_abandon(e->gguf);
    dither_export_shards_abandon(&e->shards);
    if (status != DITHER_OK && e->temporary[0] != '\0')
        dither_export_folder_abandon(e->temporary);
    dither_export_plan_free(&e->plan);
    dither_source_close(e->source);
}

dither_status dither_convert(const dither_convert_options *options,
                             void (*report)(void *context, const dither_convert_event *event), void *context,
                             const volatile sig_atomic_t *stop, dither_convert_result *result, dither_error *error)
{
    export *e = calloc(1, sizeof *e);
    if (e == NULL)
        return dither_fail(error, DITHER_E_MEMORY, options->source, "no memory");
    *e = (export){.options = options, .report = report, .context = context, .stop = stop};
    dither_status status = read_options(e, error);
    if (status == DITHER_OK)
        status = open_source(e, error);
    if (status == DITHER_OK)
        status = check_target(e, error);
    if (status == DITHER_OK) {
        notify_types(e);
        status = e->plan.gguf ? write_gguf(e, error) : write_folder(e, error);
    }
    if (status == DITHER_OK && result != NULL)
        fill_result(e, result);
    close_all(e, status);
    free(e);
    return status;
}
