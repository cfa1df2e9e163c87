/* What a run trains on and what it holds out: texts as one stream, or records. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "train/run.h"

/* ---- texts ------------------------------------------------------------------------------------------------- */

static dither_status split_text(dither_run *run, dither_error *error)
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
    run->samples.corpus = run->corpus;
    const dither_status status = dither_sampler_init(&run->samples.sampler, 0, run->train_tokens, o->seq, o->seed);
    if (status)
        return dither_fail(error, status, o->data[0],
                           "%llu tokens to train on are too few for --seq %llu; %llu are needed, or a smaller --seq",
                           (unsigned long long)run->train_tokens, (unsigned long long)o->seq,
                           (unsigned long long)o->seq + 1);
    return DITHER_OK;
}

static dither_status open_text(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    dither_status status = dither_corpus_open(&run->corpus, o->data, o->data_count, run->tokenizer, error);
    if (!status && o->val)
        status = dither_corpus_open(&run->val_corpus, &o->val, 1, run->tokenizer, error);
    if (status)
        return status;
    const uint64_t val_hash = run->val_corpus ? dither_corpus_hash(run->val_corpus) : 0;
    run->data_hash = dither_corpus_hash(run->corpus) ^ val_hash * 0x9E3779B97F4A7C15u;
    return split_text(run, error);
}

/* ---- records ----------------------------------------------------------------------------------------------- */

static dither_status split_records(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    dither_packer_options options = {
        .seq = (size_t)o->seq,
        .longer = o->longer,
        .share = o->val ? DITHER_SHARE_ALL : DITHER_SHARE_TRAIN,
        .held_out = o->val_fraction,
        .shuffled = true,
        .seed = o->seed,
    };
    dither_status status = dither_packer_open(&run->packing, run->records, &options, error);
    if (status)
        return status;
    options.share = o->val ? DITHER_SHARE_ALL : DITHER_SHARE_HELD_OUT;
    options.shuffled = false;
    status = dither_packer_open(&run->val_packing, o->val ? run->val_records : run->records, &options, error);
    if (status == DITHER_E_SHAPE && !o->val) /* too few records to hold one out that has an answer */
        status = DITHER_OK;
    run->train_tokens = run->packing.tokens;
    run->val_tokens = run->val_packing.packed.trained > 0 ? run->val_packing.tokens : 0;
    run->samples.packing = &run->packing;
    return status;
}

static dither_status open_records(dither_run *run, dither_error *error)
{
    dither_train_options *o = &run->options;
    const dither_records_options options = {
        .chat_format = o->chat_format, .fields = o->fields, .train_on = o->train_on, .model = o->model};
    dither_status status =
        dither_records_open(&run->records, o->data, o->data_count, &options, run->tokenizer, error);
    if (!status && o->val)
        status = dither_records_open(&run->val_records, &o->val, 1, &options, run->tokenizer, error);
    if (status)
        return status;
    /* By name from here on: a resumed run needs no template. */
    const dither_records *const from[] = {run->records, run->val_records};
    for (size_t i = 0; i < 2 && !o->chat_format; i++)
        if (from[i] && dither_records_format(from[i]))
            o->chat_format = dither_chat_format_name(dither_records_format(from[i]));
    const uint64_t val_hash = run->val_records ? dither_records_hash(run->val_records) : 0;
    run->data_hash = dither_records_hash(run->records) ^ val_hash * 0x9E3779B97F4A7C15u;
    return split_records(run, error);
}

/* ---- either ------------------------------------------------------------------------------------------------ */

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

/* All of the data are texts, or all are records. */
static dither_status check_alike(const dither_train_options *o, dither_error *error)
{
    const bool records = dither_records_path(o->data[0]);
    for (size_t i = 1; i < o->data_count; i++)
        if (dither_records_path(o->data[i]) != records)
            return dither_fail(error, DITHER_E_USAGE, o->data[i],
                               "texts and records (.jsonl, .ndjson, .json) cannot be mixed; make records "
                               "{\"text\": \"...\"} of the texts");
    if (o->val && dither_records_path(o->val) != records)
        return dither_fail(error, DITHER_E_USAGE, o->val, "%s are held out, but %s are trained on",
                           records ? "texts" : "records", records ? "records" : "texts");
    if (records)
        return DITHER_OK;
    if (o->chat_format || o->fields)
        return dither_fail(error, DITHER_E_USAGE, o->chat_format ? "--chat-format" : "--fields",
                           "it is about records (.jsonl, .ndjson, .json); %s is a text", o->data[0]);
    return DITHER_OK;
}

dither_status dither_run_open_data(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    dither_status status = check_alike(o, error);
    for (size_t i = 0; i < o->data_count && !status; i++)
        status = check_apart(o->out, o->data[i], error);
    if (status)
        return status;
    run->samples.seq = (size_t)o->seq;
    status = dither_records_path(o->data[0]) ? open_records(run, error) : open_text(run, error);
    if (status == DITHER_E_IO && o->resume && error) /* paths are as they were given when the run began */
        return dither_fail(error, status, error->where, "%s; from another folder, say where the text is with --data",
                           error->text);
    return status;
}

void dither_run_close_data(dither_run *run)
{
    dither_packer_close(&run->val_packing);
    dither_packer_close(&run->packing);
    dither_records_close(run->val_records);
    dither_records_close(run->records);
    dither_corpus_close(run->val_corpus);
    dither_corpus_close(run->corpus);
}

dither_status dither_run_count_steps(dither_run *run, dither_error *error)
{
    const double most = 4294967295.0; /* of --steps */
    dither_train_options *o = &run->options;
    if (!(o->epochs > 0))
        return DITHER_OK;
    const uint64_t samples = run->records ? run->packing.packed.sequences : run->samples.sampler.windows;
    const double exact = o->epochs * (double)samples / (double)(o->batch * o->accumulate);
    const double steps = ceil(exact * (1 - 1e-12)); /* 1.1 * 10 is a little more than 11 */
    if (steps > most)
        return dither_fail(error, DITHER_E_USAGE, "--epochs", "%g of %llu samples are more than %.0f steps", o->epochs,
                           (unsigned long long)samples, most);
    o->steps = steps >= 1 ? (uint64_t)steps : 1;
    if (o->warmup > o->steps)
        return dither_fail(error, DITHER_E_USAGE, "--warmup", "%llu is more than the %llu steps of --epochs %g",
                           (unsigned long long)o->warmup, (unsigned long long)o->steps, o->epochs);
    return DITHER_OK;
}

const dither_chat_format *dither_run_chat_format(const dither_run *run)
{
    const dither_chat_format *format = run->records ? dither_records_format(run->records) : NULL;
    return format || !run->val_records ? format : dither_records_format(run->val_records);
}
