/* Beginning, saving and ending a run. */
#include "train/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "data/tokenizer_file.h"
#include "file/atomic.h"
#include "file/config.h"
#include "file/vocabulary_files.h"
#include "model/export_folder.h"
#include "model/weights.h"
#include "train/disk.h"
#include "train/train_options.h"

/* A descriptor of 0 is the caller's standard input, so that memory of zeros is no such run. */
void dither_run_init(dither_run *run)
{
    *run = (dither_run){.lock = -1, .log = {.fd = -1}, .board = {.fd = -1}};
}

void dither_run_close(dither_run *run)
{
    dither_log_close(&run->log);
    dither_tensorboard_close(&run->board);
    if (run->lock >= 0)
        (void)close(run->lock);
    dither_network_free(&run->network);
    if (run->arena.base)
        dither_arena_close(&run->arena);
    dither_run_close_data(run);
    dither_tokenizer_close(run->tokenizer);
}

dither_status dither_run_report(dither_run *run, const dither_event *event, dither_error *error)
{
    if (run->report)
        run->report(run->report_context, event);
    const dither_status status = run->log.fd >= 0 ? dither_log_write(&run->log, event, error) : DITHER_OK;
    if (status || run->board.fd < 0)
        return status;
    return dither_tensorboard_write(&run->board, event, error);
}

/* A role whose grid stands where the format puts it, although training's values may be anywhere. */
static bool lacks_scale(const dither_quantizer *quantizer)
{
    const dither_format *format = &quantizer->format;
    if (quantizer->shape != DITHER_SCALE_NONE)
        return false;
    return format->kind == DITHER_KIND_INT || (format->kind == DITHER_KIND_FLOAT && format->exponent_bits < 8);
}

static dither_status report_missing_scales(dither_run *run, dither_error *error)
{
    char text[256] = "without a scale:";
    size_t used = strlen(text);
    bool any = false;
    for (int role = 0; role < DITHER_ROLES; role++) {
        const dither_quantizer *quantizer = &run->scheme.role[role];
        if (!lacks_scale(quantizer))
            continue;
        used += (size_t)snprintf(text + used, sizeof text - used, " %s=%s", dither_role_name((dither_role)role),
                                 quantizer->format.name);
        any = true;
    }
    (void)snprintf(text + used, sizeof text - used,
                   "; values far from 1 are lost, FORMAT/row gives each vector its own scale");
    const dither_event event = {
        .kind = DITHER_EVENT_NOTICE, .step = run->step, .steps = run->options.steps, .text = text};
    return any ? dither_run_report(run, &event, error) : DITHER_OK;
}

dither_status dither_run_report_start(dither_run *run, dither_error *error)
{
    char scheme[DITHER_SCHEME_TEXT];
    dither_scheme_print(&run->scheme, scheme);
    const dither_disk disk = dither_run_disk(run);
    const dither_event event = {
        .kind = DITHER_EVENT_START,
        .step = run->step,
        .steps = run->options.steps,
        .options = &run->options,
        .config = &run->config,
        .scheme = scheme,
        .cpu = run->cpu.model,
        .threads = run->threads,
        .parameters = dither_model_parameters(&run->config),
        .predicted_bytes = run->predicted,
        .model_bytes = disk.model,
        .state_bytes = disk.state,
        .disk_bytes = disk.peak,
        .disk_free_bytes = disk.free,
        .train_tokens = run->train_tokens,
        .val_tokens = run->val_tokens,
        .train_records = run->packing.count,
        .val_records = run->val_packing.count,
        .trained_tokens = run->records ? run->packing.packed.trained : run->train_tokens,
        .resumed = run->step > 0,
    };
    dither_status status = dither_run_report(run, &event, error);
    if (!status)
        status = dither_run_report_data(run, error);
    return status ? status : report_missing_scales(run, error);
}

void dither_run_report_plan(dither_run *run)
{
    const dither_plan *plan = &run->network.plan;
    if (!run->report)
        return;
    for (int kind = 0; kind < DITHER_PLAN_KINDS; kind++) {
        dither_event event = {.kind = DITHER_EVENT_PLAN, .plan_kind = dither_plan_kind_name((dither_plan_kind)kind)};
        uint64_t sum = 0;
        for (size_t i = 0; i < plan->count; i++) {
            const dither_plan_row *row = &plan->rows[i];
            if ((int)row->kind != kind)
                continue;
            event.plan_name = row->name;
            event.plan_format = row->format;
            event.plan_lifetime = dither_lifetime_name(row->lifetime);
            event.plan_rows = row->rows;
            event.plan_cols = row->cols;
            event.plan_bytes = row->bytes;
            sum += row->bytes;
            run->report(run->report_context, &event);
        }
        event.plan_name = event.plan_format = event.plan_lifetime = NULL;
        event.plan_bytes = sum;
        run->report(run->report_context, &event);
    }
}

static dither_state state_of(dither_run *run)
{
    return (dither_state){
        .network = &run->network,
        .block = {run->network.parameters, run->moment1, run->moment2},
        .step = run->step,
        .samples = run->drawn,
        .data_hash = run->data_hash,
        .noise = run->noise,
    };
}

static bool exists(const char *folder, const char *name)
{
    char path[4096];
    struct stat info;
    return (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path && !stat(path, &info);
}

static bool is_file(const char *folder, const char *name)
{
    char path[4096];
    struct stat info;
    return (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path && !stat(path, &info) &&
           S_ISREG(info.st_mode);
}

/* Whether a path is the folder, or a file in it that mark_begun removes. */
static bool is_of(const char *out, const char *path)
{
    struct stat asked, there;
    char name[4096];
    const char *file;
    dither_disk_kind kind;
    if (!path || stat(path, &asked))
        return false;
    bool same = !stat(out, &there) && there.st_dev == asked.st_dev && there.st_ino == asked.st_ino;
    for (size_t i = 0; !same && (file = dither_disk_file(i, &kind)) != NULL; i++)
        same = kind == DITHER_DISK_MODEL && (size_t)snprintf(name, sizeof name, "%s/%s", out, file) < sizeof name &&
               !stat(name, &there) && there.st_dev == asked.st_dev && there.st_ino == asked.st_ino;
    return same;
}

/* A run that begins anew where another was killed removes what that one left: it cannot start from it. */
static dither_status check_begun(const dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    const bool model = is_of(o->out, o->model);
    if (!model && !is_of(o->out, o->tokenizer))
        return DITHER_OK;
    return dither_fail(error, DITHER_E_USAGE, model ? "--model" : "--tokenizer",
                       "%s was left by a run that was killed before its first checkpoint, and goes when another begins "
                       "there; name what that run began with, or another --out", model ? o->model : o->tokenizer);
}

/* What is in OUT already decides whether this run may write there. */
static dither_status check_out(const dither_run *run, const dither_state_file *file, dither_error *error)
{
    const char *out = run->options.out;
    if (file->file && !run->options.resume)
        return dither_fail(error, DITHER_E_USAGE, out,
                           "it holds a run at step %llu of %llu; --resume goes on with it, another --out starts anew",
                           (unsigned long long)file->step, (unsigned long long)file->options.steps);
    if (exists(out, DITHER_DISK_BEGUN))
        return file->file ? DITHER_OK : check_begun(run, error);
    /* Our own first write says that a run has begun: without it and a checkpoint these are somebody else's. */
    const char *name = "model.safetensors.index.json";
    dither_disk_kind kind = DITHER_DISK_MODEL;
    for (size_t i = 0; name && !file->file; name = dither_disk_file(i++, &kind))
        if ((kind == DITHER_DISK_MODEL || kind == DITHER_DISK_LOG) && exists(out, name))
            return dither_fail(error, DITHER_E_USAGE, out,
                               "it holds a %s without a checkpoint, which would be lost; name another --out", name);
    return DITHER_OK;
}

static dither_status check_resumed(dither_run *run, const dither_state_file *file, dither_error *error)
{
    dither_status status = dither_train_options_compare(&run->options, &file->options, error);
    if (!status && run->data_hash != file->data_hash)
        status = dither_fail(error, DITHER_E_USAGE, run->options.data[0],
                             "the data are not those that the run in %s began with, by their bytes; leave --data and "
                             "--val out with --resume, or start anew in another --out", run->options.out);
    if (!status && file->options.accumulate << file->noise.doublings > DITHER_ACCUMULATE_MAX)
        status = dither_fail(error, DITHER_E_FORMAT, file->path, "%llu micro-batches a step; at most %d can be",
                             (unsigned long long)(file->options.accumulate << file->noise.doublings),
                             DITHER_ACCUMULATE_MAX);
    if (!status && run->options.stop_at && run->options.stop_at < file->step)
        status = dither_fail(error, DITHER_E_USAGE, "--stop-at", "%llu, but the checkpoint is at step %llu already",
                             (unsigned long long)run->options.stop_at, (unsigned long long)file->step);
    if (!status && file->step > run->options.steps)
        status = dither_fail(error, DITHER_E_USAGE, run->options.epochs > 0 ? "--epochs" : "--steps",
                             "%llu%s, but the checkpoint is at step %llu already",
                             (unsigned long long)run->options.steps, run->options.epochs > 0 ? " steps" : "",
                             (unsigned long long)file->step);
    return status;
}

dither_status dither_run_take_memory(dither_run *run, dither_error *error)
{
    dither_network_free(&run->network);
    dither_status status = dither_arena_open(&run->arena, run->memory_total);
    if (!status)
        status = dither_run_layout(run);
    if (status)
        return dither_fail(error, status, "", "the machine has no memory for this run");
    run->context = (dither_context){
        .scratch = &run->scratch,
        .clips = &run->clips,
        .roles = run->roles,
        .profile = run->options.profile ? &run->profile : NULL,
        .seed = run->options.seed,
        .threads = run->threads,
    };
    return DITHER_OK;
}

/* What of the model folder is not there yet, or not any more. */
static dither_status write_missing(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    dither_status status = DITHER_OK;
    const bool bare = !is_file(o->out, "config.json") || !is_file(o->out, "tokenizer.json");
    struct stat info;
    const bool described =
        o->model && !stat(o->model, &info) && (S_ISREG(info.st_mode) || is_file(o->model, "config.json"));
    if (described && bare) /* what it says of itself beside the weights, and its tokenizer, are those of its model */
        status = dither_export_beside(o->out, o->model, &run->config,
                                      o->save_bf16 ? DITHER_BLOCK_BF16 : DITHER_BLOCK_F32, error);
    else if (!is_file(o->out, "config.json"))
        status = dither_config_write(o->out, &run->config, o->save_bf16 ? "bfloat16" : "float32", NULL, error);
    const char *const from = o->tokenizer ? o->tokenizer : o->model;
    const bool whole = is_file(o->out, "tokenizer.json") && is_file(o->out, "tokenizer_config.json");
    if ((!described || o->tokenizer) && !status && !whole)
        status = from ? dither_tokenizer_copy(from, o->out, error)
                      : dither_tokenizer_write(run->tokenizer, o->out, error);
    if (!status && !is_file(o->out, "model.safetensors"))
        status = dither_weights_write(&run->network, o->out, o->save_bf16, error);
    return status;
}

static dither_status remove_from(const char *out, const char *name, dither_error *error)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", out, name) >= sizeof path)
        return dither_fail(error, DITHER_E_IO, out, "the path is too long");
    return dither_path_remove(path, error);
}

/* What a run that was killed before its first checkpoint left goes: it may have been of another model. */
static dither_status mark_begun(const dither_run *run, dither_error *error)
{
    static const char text[] = "A run begins here: without state/checkpoint.safetensors this folder is of no use.\n";
    const char *const out = run->options.out;
    char path[4096];
    const char *name;
    dither_disk_kind kind;
    dither_status status = DITHER_OK;
    const bool again = exists(out, DITHER_DISK_BEGUN);
    for (size_t i = 0; again && !status && (name = dither_disk_file(i, &kind)) != NULL; i++)
        if (kind == DITHER_DISK_MODEL)
            status = remove_from(out, name, error);
    if ((size_t)snprintf(path, sizeof path, "%s/state", out) >= sizeof path - sizeof DITHER_DISK_BEGUN)
        return dither_fail(error, DITHER_E_IO, out, "the path is too long");
    if (!status)
        status = dither_folder_create(path, error);
    (void)snprintf(path, sizeof path, "%s/%s", out, DITHER_DISK_BEGUN);
    return status ? status : dither_atomic_file(path, text, sizeof text - 1, error);
}

/* Halves of files that runs of this folder left when they were killed. */
static void sweep(const char *out)
{
    char path[4096];
    const char *name;
    dither_disk_kind kind;
    for (size_t i = 0; (name = dither_disk_file(i, &kind)) != NULL; i++)
        if ((kind == DITHER_DISK_MODEL || kind == DITHER_DISK_STATE) &&
            (size_t)snprintf(path, sizeof path, "%s/%s", out, name) < sizeof path)
            dither_atomic_sweep(path);
}

/* Whoever opens the folder talks to the model as it was trained. */
static dither_status write_template(dither_run *run, dither_error *error)
{
    const dither_chat_format *format = dither_run_chat_format(run);
    const char *own = dither_tokenizer_chat_template(run->tokenizer);
    dither_chat_marks marks;
    char *text = NULL;
    if (!format || (own && dither_chat_format_find(own) == format))
        return DITHER_OK;
    dither_chat_marks_get(format, run->tokenizer, &marks);
    dither_status status = dither_chat_format_template(format, &marks, &text, error);
    if (!status)
        status = dither_tokenizer_set_template(run->options.out, text, error);
    free(text);
    return status;
}

static dither_status write_folder(dither_run *run, dither_error *error)
{
    const dither_status status = write_missing(run, error);
    return status ? status : write_template(run, error);
}

/* Step 0. The state goes last, as in every checkpoint: where there is one, there is a model that can be loaded. */
static dither_status write_first(dither_run *run, dither_error *error)
{
    dither_status status = mark_begun(run, error);
    if (!status)
        status = write_folder(run, error);
    const dither_state state = state_of(run);
    if (status || (run->stop && *run->stop)) /* what is written then goes again */
        return status;
    status = dither_state_write(run->options.out, &state, &run->options, error);
    return status ? status : remove_from(run->options.out, DITHER_DISK_BEGUN, error);
}

static dither_status start_weights(dither_run *run, const dither_state_file *file, dither_error *error)
{
    const char *const out = run->options.out;
    if (file->file || exists(out, DITHER_DISK_BEGUN))
        sweep(out);
    dither_status status = DITHER_OK;
    if (file->file) {
        dither_state state = state_of(run);
        status = dither_state_load(file, &state, error);
        run->step = state.step;
        run->drawn = state.samples;
        run->noise = state.noise;
    } else if (run->options.model) {
        status = dither_run_find_model(run, run->network.parameters, error);
    } else {
        dither_network_init(&run->network, run->options.seed);
    }
    if (status)
        return status;
    if (!file->file)
        return write_first(run, error);
    const dither_status missing = write_folder(run, error);
    return missing ? missing : remove_from(out, DITHER_DISK_BEGUN, error);
}

dither_status dither_run_begin(dither_run *run, dither_error *error)
{
    const char *out = run->options.out;
    run->found = exists(out, DITHER_DISK_BEGUN) ? 0 : dither_disk_files(out);
    dither_status status = dither_folder_create(out, error);
    if (!status)
        status = dither_folder_lock(out, &run->lock, error);
    if (status)
        return status;
    dither_state_file file;
    status = dither_state_open(&file, out, error);
    if (status)
        return status;
    run->fresh = !file.file;
    status = check_out(run, &file, error);
    if (!status && file.file)
        status = check_resumed(run, &file, error);
    if (!status)
        status = dither_run_take_memory(run, error);
    if (!status)
        status = start_weights(run, &file, error);
    dither_state_close(&file);
    return status ? status : dither_log_open(&run->log, out, run->step > 0, run->step, error);
}

dither_status dither_run_checkpoint(dither_run *run, dither_error *error)
{
    /* The state goes last: where it says a step is done, the model is of that step. */
    dither_status status = dither_weights_write(&run->network, run->options.out, run->options.save_bf16, error);
    const dither_state state = state_of(run);
    if (!status)
        status = dither_state_write(run->options.out, &state, &run->options, error);
    const dither_event event = {
        .kind = DITHER_EVENT_CHECKPOINT, .step = run->step, .steps = run->options.steps, .path = run->options.out};
    return status ? status : dither_run_report(run, &event, error);
}
