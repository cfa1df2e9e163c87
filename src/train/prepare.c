/* From options to a run that is laid out and counted; nothing is written here. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "base/text.h"
#include "file/gguf.h"
#include "kernel/gemm_f32.h"
#include "kernel/vector.h"
#include "model/stored.h"
#include "train/memory.h"
#include "train/noise_probe.h"
#include "train/run.h"
#include "train/train_options.h"

/* What becomes resident beside the plan: the program's own pages that only a step runs, and stacks (a block of B). */
enum { CODE_BYTES = 384 << 10, STACK_BYTES = 256 << 10 };

/* What a sequence has at most unless --seq says more: contexts of models that people start from are longer by far. */
enum { DEFAULT_SEQ = 512 };

/* That of the options. */
static dither_status open_first_tokenizer(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    const char *const path = o->tokenizer ? o->tokenizer : o->model;
    return path ? dither_tokenizer_open(&run->tokenizer, path, error)
                : dither_tokenizer_bytes(&run->tokenizer, error);
}

/* That of the folder it has written; of the options, where it was killed before it wrote one. */
static dither_status open_resumed_tokenizer(dither_run *run, dither_error *error)
{
    char path[4096];
    struct stat info;
    const char *const out = run->options.out;
    if ((size_t)snprintf(path, sizeof path, "%s/tokenizer.json", out) < sizeof path && !stat(path, &info))
        return dither_tokenizer_open(&run->tokenizer, out, error);
    return open_first_tokenizer(run, error);
}

/* Whether the model can read every token. */
static dither_status check_vocabulary(const dither_run *run, const char *where, dither_error *error)
{
    const size_t ids = dither_tokenizer_id_bound(run->tokenizer);
    if (run->config.vocab >= ids)
        return DITHER_OK;
    return dither_fail(error, DITHER_E_SHAPE, where, "its tokenizer has %zu tokens, its vocabulary only %zu", ids,
                       run->config.vocab);
}

/* What is resumed has its shape from the checkpoint: the folder it once started from may be gone. */
static dither_status open_resumed_shape(dither_run *run, bool *found, dither_error *error)
{
    dither_state_file file;
    dither_status status = dither_state_open(&file, run->options.out, error);
    if (status)
        return status;
    *found = file.file;
    if (*found) {
        run->config = file.config;
        status = open_resumed_tokenizer(run, error);
        if (!status)
            status = check_vocabulary(run, run->options.out, error);
    }
    dither_state_close(&file);
    return status;
}

/* A tokenizer goes with a new model, or with a folder that lacks one. */
static dither_status check_tokenizer(const dither_train_options *o, dither_error *error)
{
    char path[4096];
    struct stat info;
    if (!o->tokenizer || !o->model)
        return DITHER_OK;
    const bool folder = (size_t)snprintf(path, sizeof path, "%s/tokenizer.json", o->model) < sizeof path &&
                        !stat(o->model, &info) && S_ISDIR(info.st_mode);
    if (folder && stat(path, &info))
        return DITHER_OK;
    return dither_fail(error, DITHER_E_USAGE, "--tokenizer", "it is for a --new model, or a folder without one; %s has "
                       "its own", o->model);
}

static dither_status open_new_shape(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    if (check_tokenizer(o, error))
        return DITHER_E_USAGE;
    if (o->tokenizer && dither_gguf_is(o->tokenizer)) /* and nothing to copy into the model folder */
        return dither_fail(error, DITHER_E_USAGE, "--tokenizer", "%s is a GGUF file; name a tokenizer.json or a folder "
                           "with one", o->tokenizer);
    dither_status status = open_first_tokenizer(run, error);
    if (status)
        return status;
    status = o->model ? dither_model_config_read(o->model, &run->config, error)
                      : dither_model_config_parse(o->new_model, dither_tokenizer_id_bound(run->tokenizer), &run->config,
                                                  error);
    return status ? status : check_vocabulary(run, o->model, error);
}

static dither_status open_shape(dither_run *run, dither_error *error)
{
    bool found = false;
    const dither_status status =
        run->options.resume && run->options.out ? open_resumed_shape(run, &found, error) : DITHER_OK;
    if (status || found) {
        run->resumes = found;
        return status;
    }
    return open_new_shape(run, error);
}

/* The scratch of a step: the network's, and what the loop itself needs. */
static size_t scratch_bytes(dither_run *run)
{
    return dither_align_up(dither_network_scratch(&run->network, run->threads));
}

static uint32_t *batch_array(dither_run *run, const char *name)
{
    return dither_plan_u32(&run->network.plan, DITHER_PLAN_BATCH, DITHER_LIFETIME_MICROBATCH, name, run->options.batch,
                           run->options.seq);
}

static void lay_out_batch(dither_run *run)
{
    dither_batch_buffers *b = &run->batch;
    b->ids = batch_array(run, "ids");
    b->targets = batch_array(run, "targets");
    if (run->records) {
        b->positions = batch_array(run, "positions");
        b->first = batch_array(run, "documents");
    } else {
        b->window = dither_plan_u32(&run->network.plan, DITHER_PLAN_BATCH, DITHER_LIFETIME_OPERATION, "window", 1,
                                    run->options.seq + 1);
    }
}

dither_status dither_run_layout(dither_run *run)
{
    const dither_train_options *o = &run->options;
    dither_network *net = &run->network;
    const dither_status status = dither_network_layout(net, &run->config, &run->scheme, true, (size_t)o->batch,
                                                       (size_t)o->seq, &run->arena);
    if (status)
        return status;
    const bool adamw = o->optimizer == DITHER_OPTIMIZER_ADAMW;
    if (adamw || o->momentum > 0)
        run->moment1 = dither_network_block(net, DITHER_PLAN_OPTIMIZER, adamw ? "moment 1 " : "momentum ");
    if (adamw)
        run->moment2 = dither_network_block(net, DITHER_PLAN_OPTIMIZER, "moment 2 ");
    lay_out_batch(run);
    const size_t pieces = dither_vector_pieces(net->elements);
    run->partial = dither_plan_bytes(&net->plan, DITHER_PLAN_WORKSPACE, DITHER_LIFETIME_OPERATION, "gradient norm",
                                     "f64", pieces, 1, dither_multiply(pieces, sizeof(double)));
    const size_t bytes = scratch_bytes(run);
    run->scratch = (dither_arena){.size = bytes};
    run->scratch.base = dither_plan_bytes(&net->plan, DITHER_PLAN_WORKSPACE, DITHER_LIFETIME_OPERATION, "scratch",
                                          "bytes", 1, bytes, bytes);
    return net->plan.failed ? DITHER_E_MEMORY : DITHER_OK;
}

/* Lay out on a dry arena, for this batch. @return bytes, SIZE_MAX where it cannot be */
static size_t count_memory(dither_run *run)
{
    dither_network_free(&run->network);
    run->arena = dither_arena_dry();
    const dither_status status = dither_run_layout(run);
    return status ? SIZE_MAX : dither_align_up(run->arena.used);
}

dither_status dither_run_count(dither_run *run, dither_error *error)
{
    const size_t bytes = count_memory(run);
    if (bytes == SIZE_MAX)
        return dither_fail(error, DITHER_E_MEMORY, "", "a run of this shape cannot be laid out: too large");
    run->memory_total = bytes;
    if (!dither_gemm_f32_ready(run->threads, 0))
        return dither_fail(error, DITHER_E_MEMORY, "", "no address space for %d threads, 200 MB each; "
                           "fewer --threads, or a larger limit (ulimit -v)", run->threads);
    dither_memory_warm(run->threads);
    /* Program, libraries and text are resident by now; the arena is what comes on top. */
    run->predicted = dither_memory_resident() + bytes + CODE_BYTES + (uint64_t)run->threads * STACK_BYTES;
    return DITHER_OK;
}

dither_status dither_run_find_model(const dither_run *run, float *parameters, dither_error *error)
{
    const dither_network *net = &run->network;
    dither_source *source = NULL;
    dither_stored *stored = calloc(net->table_count, sizeof *stored);
    dither_status status = stored ? DITHER_OK : dither_fail(error, DITHER_E_MEMORY, "", "no memory");
    if (!status)
        status = dither_source_open(&source, run->options.model, error);
    if (!status)
        status = dither_source_find(source, &net->config, net->table, net->table_count, stored, error);
    if (!status && parameters)
        dither_stored_load(net->table, net->table_count, stored, parameters, run->threads);
    dither_source_close(source);
    free(stored);
    return status;
}

static bool are_records(const dither_train_options *o)
{
    return o->data_count > 0 && dither_records_path(o->data[0]);
}

static dither_status fill_defaults(dither_run *run, dither_error *error)
{
    dither_train_options *o = &run->options;
    if (o->min_lr < 0)
        o->min_lr = o->lr / 10;
    if (!o->seq)
        o->seq = run->config.ctx > DEFAULT_SEQ && (o->model || are_records(o)) ? DEFAULT_SEQ : run->config.ctx;
    if (o->seq > run->config.ctx)
        return dither_fail(error, DITHER_E_USAGE, "--seq", "%llu is longer than the model's context of %zu",
                           (unsigned long long)o->seq, run->config.ctx);
    return DITHER_OK;
}

dither_status dither_run_open(dither_run *run, const dither_train_options *options, dither_error *error)
{
    dither_run_init(run);
    run->options = *options;
    run->cpu = dither_cpu_detect(getenv("DITHER_CPU"));
    run->threads = options->threads > 0 ? options->threads : dither_cores();
    dither_status status = dither_train_options_check(options, error);
    if (!status && !run->cpu.level)
        status = dither_cpu_check(error);
    if (!status)
        status = dither_scheme_parse(options->scheme, &run->scheme, error);
    if (!status && options->auto_batch && !dither_probe_exists(&run->scheme))
        status = dither_fail(error, DITHER_E_USAGE, "--auto-batch", "it goes by the noise of stochastic rounding, and "
                             "scheme %s rounds nothing so for each micro-batch", options->scheme);
    if (!status)
        status = open_shape(run, error);
    if (!status)
        status = fill_defaults(run, error);
    if (!status)
        status = dither_run_open_data(run, error);
    if (!status)
        status = dither_run_count_steps(run, error);
    if (!status)
        status = dither_run_count(run, error);
    /* Before anything is written: whether the model to start from is whole. */
    return status || !options->model || run->resumes ? status : dither_run_find_model(run, NULL, error);
}

/* What of *count, at least 1 and below what it is, fits; 0: nothing. A little is left: two runs differ by pages. */
static uint64_t largest(dither_run *run, uint64_t *count, uint64_t base, uint64_t limit)
{
    const uint64_t wanted = *count, room = limit - limit / 64;
    uint64_t fits = 0, fails = wanted;
    while (fits + 1 < fails) {
        const uint64_t middle = fits + (fails - fits) / 2;
        *count = middle;
        const size_t bytes = count_memory(run);
        if (bytes != SIZE_MAX && base + bytes <= room)
            fits = middle;
        else
            fails = middle;
    }
    *count = wanted;
    return fits;
}

/* The options that would fit, as words. Short sequences are no advice where fewer of them fit. */
static void advise(dither_run *run, uint64_t base, uint64_t limit, char *text, size_t size)
{
    enum { ROUND = 16, SHORT = 64 };
    dither_train_options *o = &run->options;
    const uint64_t wanted = o->batch, batch = largest(run, &o->batch, base, limit);
    o->batch = batch ? wanted : 1;
    uint64_t seq = largest(run, &o->seq, base, limit);
    o->batch = wanted;
    seq = seq > ROUND ? seq / ROUND * ROUND : seq;
    if (batch && seq >= SHORT)
        (void)snprintf(text, size, "--batch %llu would fit, or --seq %llu with --batch %llu", (unsigned long long)batch,
                       (unsigned long long)seq, (unsigned long long)wanted);
    else if (batch)
        (void)snprintf(text, size, "--batch %llu would fit", (unsigned long long)batch);
    else if (seq)
        (void)snprintf(text, size, "--batch 1 --seq %llu would fit", (unsigned long long)seq);
    else
        (void)snprintf(text, size, "even --batch 1 --seq 1 is too much: a smaller model is needed");
}

dither_status dither_run_check_memory(dither_run *run, dither_error *error)
{
    const uint64_t limit = run->options.memory ? run->options.memory : dither_memory_available();
    if (run->predicted <= limit)
        return DITHER_OK;
    char needed[16], allowed[16], advice[128];
    dither_text_bytes(run->predicted, needed);
    dither_text_bytes(limit, allowed);
    const char *source = run->options.memory ? "--memory allows" : "the machine has";
    advise(run, run->predicted - run->memory_total, limit, advice, sizeof advice);
    return dither_fail(error, DITHER_E_MEMORY, "",
                       "the run of %llu x %llu tokens at once would need %s and %s %s; %s",
                       (unsigned long long)run->options.batch, (unsigned long long)run->options.seq, needed, source,
                       allowed, advice);
}
