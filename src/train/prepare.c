/* From options to a run that is laid out and counted; nothing is written here. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "base/text.h"
#include "kernel/gemm_f32.h"
#include "kernel/vector.h"
#include "model/weights.h"
#include "train/memory.h"
#include "train/run.h"
#include "train/train_options.h"

/* What becomes resident beside the plan: the program's own pages that only a step runs, and stacks (a block of B). */
enum { CODE_BYTES = 384 << 10, STACK_BYTES = 256 << 10 };

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
        status = dither_tokenizer_bytes(&run->tokenizer, error);
    }
    dither_state_close(&file);
    return status;
}

static dither_status open_new_shape(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    dither_status status = o->model ? dither_tokenizer_open(&run->tokenizer, o->model, error)
                                    : dither_tokenizer_bytes(&run->tokenizer, error);
    if (status)
        return status;
    const size_t vocab = dither_tokenizer_vocab(run->tokenizer);
    status = o->model ? dither_model_config_read(o->model, &run->config, error)
                      : dither_model_config_parse(o->new_model, vocab, &run->config, error);
    if (!status && run->config.vocab < vocab)
        return dither_fail(error, DITHER_E_SHAPE, o->model, "its tokenizer has %zu tokens, its vocabulary only %zu",
                           vocab, run->config.vocab);
    return status;
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

static dither_status split_data(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    const uint64_t all = dither_corpus_tokens(run->corpus);
    run->train_tokens = all;
    if (run->val_corpus) {
        run->val_tokens = dither_corpus_tokens(run->val_corpus);
    } else {
        run->train_tokens = (uint64_t)((double)all * (1 - o->val_fraction));
        run->val_first = run->train_tokens;
        run->val_tokens = all - run->train_tokens;
    }
    if (run->val_tokens < 2) { /* nothing to predict */
        if (run->val_corpus)
            return dither_fail(error, DITHER_E_SHAPE, o->val,
                               "one token of held-out text; at least 2 are needed to predict one");
        run->val_tokens = 0;
    }
    const dither_status status = dither_sampler_init(&run->sampler, 0, run->train_tokens, o->seq, o->seed);
    if (status)
        return dither_fail(error, status, o->data[0],
                           "%llu tokens to train on are too few for --seq %llu; %llu are needed, or a smaller --seq",
                           (unsigned long long)run->train_tokens, (unsigned long long)o->seq,
                           (unsigned long long)o->seq + 1);
    return DITHER_OK;
}

/* A model folder inside a folder of texts would be read as text the next time. */
static dither_status check_apart(const char *out, const char *data, dither_error *error)
{
    char parent[PATH_MAX], *folder = realpath(data, NULL), *place = NULL;
    bool inside = false;
    struct stat info;
    if (out && folder && !stat(folder, &info) && S_ISDIR(info.st_mode) &&
        (size_t)snprintf(parent, sizeof parent, "%s", out) < sizeof parent) {
        while (!(place = realpath(parent, NULL)) && strcmp(parent, ".")) { /* the part of OUT that exists */
            char *slash = strrchr(parent, '/');
            if (slash == parent)
                slash++;
            if (slash)
                *slash = 0;
            else
                (void)snprintf(parent, sizeof parent, ".");
        }
        const size_t length = strlen(folder);
        inside = place && !strncmp(place, folder, length) && (place[length] == '/' || !place[length] || length == 1);
    }
    free(place);
    free(folder);
    return inside ? dither_fail(error, DITHER_E_USAGE, "--out",
                                "%s lies inside the folder %s, whose files are the text", out, data)
                  : DITHER_OK;
}

static dither_status open_data(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < o->data_count && !status; i++)
        status = check_apart(o->out, o->data[i], error);
    if (status)
        return status;
    status = dither_corpus_open(&run->corpus, o->data, o->data_count, run->tokenizer, error);
    if (!status && o->val)
        status = dither_corpus_open(&run->val_corpus, &o->val, 1, run->tokenizer, error);
    if (status == DITHER_E_IO && o->resume && error) /* paths are as they were given when the run began */
        return dither_fail(error, status, error->where, "%s; from another folder, say where the text is with --data",
                           error->text);
    if (status)
        return status;
    const uint64_t val_hash = run->val_corpus ? dither_corpus_hash(run->val_corpus) : 0;
    run->data_hash = dither_corpus_hash(run->corpus) ^ val_hash * 0x9E3779B97F4A7C15u;
    return split_data(run, error);
}

/* The scratch of a step: the network's, and what the loop itself needs. */
static size_t scratch_bytes(dither_run *run)
{
    return dither_align_up(dither_network_scratch(&run->network, run->threads));
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
    run->ids = dither_plan_u32(&net->plan, DITHER_PLAN_BATCH, DITHER_LIFETIME_MICROBATCH, "ids", o->batch, o->seq);
    run->targets =
        dither_plan_u32(&net->plan, DITHER_PLAN_BATCH, DITHER_LIFETIME_MICROBATCH, "targets", o->batch, o->seq);
    run->window = dither_plan_u32(&net->plan, DITHER_PLAN_BATCH, DITHER_LIFETIME_OPERATION, "window", 1, o->seq + 1);
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

/* Before anything is written: whether the model to start from is whole. */
static dither_status check_model(const dither_run *run, dither_error *error)
{
    char path[4096];
    dither_safetensors *file = NULL;
    dither_status status = dither_weights_open(&file, run->options.model, path, sizeof path, error);
    if (!status)
        status = dither_weights_check(&run->network, file, NULL, path, error);
    dither_safetensors_close(file);
    return status;
}

static dither_status fill_defaults(dither_run *run, dither_error *error)
{
    dither_train_options *o = &run->options;
    if (o->min_lr < 0)
        o->min_lr = o->lr / 10;
    if (!o->seq)
        o->seq = run->config.ctx;
    if (o->seq > run->config.ctx)
        return dither_fail(error, DITHER_E_USAGE, "--seq", "%llu is longer than the model's context of %zu",
                           (unsigned long long)o->seq, run->config.ctx);
    return DITHER_OK;
}

dither_status dither_run_open(dither_run *run, const dither_train_options *options, dither_error *error)
{
    *run = (dither_run){.options = *options, .lock = -1, .log = {.fd = -1}};
    run->cpu = dither_cpu_detect(getenv("DITHER_CPU"));
    run->threads = options->threads > 0 ? options->threads : dither_cores();
    dither_status status = dither_train_options_check(options, error);
    if (!status && !run->cpu.level)
        status = dither_fail(error, DITHER_E_USAGE, "DITHER_CPU", "no level \"%.40s\"; dither cpu lists them",
                             getenv("DITHER_CPU"));
    if (!status)
        status = dither_scheme_parse(options->scheme, &run->scheme, error);
    if (!status)
        status = open_shape(run, error);
    if (!status)
        status = fill_defaults(run, error);
    if (!status)
        status = open_data(run, error);
    if (!status)
        status = dither_run_count(run, error);
    return status || !options->model || run->resumes ? status : check_model(run, error);
}

static uint64_t largest_batch(dither_run *run, uint64_t base, uint64_t limit)
{
    const uint64_t wanted = run->options.batch;
    uint64_t fits = 0, fails = wanted;
    while (fits + 1 < fails) {
        const uint64_t middle = fits + (fails - fits) / 2;
        run->options.batch = middle;
        const size_t bytes = count_memory(run);
        if (bytes != SIZE_MAX && base + bytes <= limit)
            fits = middle;
        else
            fails = middle;
    }
    run->options.batch = wanted;
    return fits;
}

dither_status dither_run_check_memory(dither_run *run, dither_error *error)
{
    const uint64_t limit = run->options.memory ? run->options.memory : dither_memory_available();
    if (run->predicted <= limit)
        return DITHER_OK;
    char needed[16], allowed[16];
    dither_text_bytes(run->predicted, needed);
    dither_text_bytes(limit, allowed);
    const uint64_t batch = largest_batch(run, run->predicted - run->memory_total, limit);
    const char *source = run->options.memory ? "--memory allows" : "the machine has";
    if (batch)
        return dither_fail(error, DITHER_E_MEMORY, "", "the run would need %s and %s %s; --batch %llu would fit",
                           needed, source, allowed, (unsigned long long)batch);
    return dither_fail(error, DITHER_E_MEMORY, "",
                       "the run would need %s and %s %s; even --batch 1 is too much: try a smaller --seq or model",
                       needed, source, allowed);
}
