#include "train/evaluation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "model/opened.h"
#include "train/memory.h"

dither_evaluation dither_eval_result(const dither_eval_sums *sums)
{
    return (dither_evaluation){
        .nats_per_token = sums->nats / (double)sums->tokens,
        .perplexity = exp(sums->nats / (double)sums->tokens),
        .bits_per_byte = sums->bytes ? sums->nats / 0.69314718055994530942 / (double)sums->bytes : NAN,
        .tokens = sums->tokens,
        .bytes = sums->bytes,
        .peak_rss_bytes = dither_memory_peak(),
    };
}

/* Predictions of window w: T, but for the last. */
static size_t window_length(const dither_eval_job *job, uint64_t window)
{
    const uint64_t left = job->tokens - 1 - window * job->seq;
    return left < job->seq ? (size_t)left : job->seq;
}

static void read_window(const dither_eval_job *job, uint64_t window, size_t length, size_t slot)
{
    dither_corpus_read(job->corpus, job->first + window * job->seq, length + 1, job->window);
    memcpy(job->ids + slot * length, job->window, length * sizeof *job->ids);
    memcpy(job->targets + slot * length, job->window + 1, length * sizeof *job->targets);
}

static dither_status flush(const dither_eval_job *job, size_t batch, size_t length, dither_eval_sums *sums,
                           dither_error *error)
{
    double loss = 0;
    const dither_batch_view view = {.batch = batch, .seq = length, .ids = job->ids, .targets = job->targets};
    const dither_status status = dither_network_loss(job->network, job->context, job->mode, &view, 1, &loss, error);
    if (status)
        return status;
    if (!isfinite(loss))
        return dither_fail(error, DITHER_E_NUMERIC, "", "NaN or Inf in the loss on held-out text");
    sums->nats += loss;
    sums->tokens += batch * length;
    return DITHER_OK;
}

static dither_status check(const dither_eval_job *job, dither_error *error)
{
    if (job->tokens < 2)
        return dither_fail(error, DITHER_E_SHAPE, "", "the text has %llu tokens; at least 2 are needed to predict one",
                           (unsigned long long)job->tokens);
    return DITHER_OK;
}

dither_status dither_eval_run(const dither_eval_job *job, dither_evaluation *result, dither_error *error)
{
    dither_status status = check(job, error);
    if (status)
        return status;
    const uint64_t all = (job->tokens - 1 + job->seq - 1) / job->seq;
    uint64_t windows = job->limit ? (job->limit + job->seq - 1) / job->seq : all;
    windows = windows < all ? windows : all;
    dither_eval_sums sums = {0};
    size_t filled = 0;
    for (uint64_t i = 0; i < windows; i++) {
        const uint64_t window = windows == all ? i : (uint64_t)((double)i * (double)all / (double)windows);
        const size_t length = window_length(job, window);
        if (filled && length != job->seq) { /* the short window goes alone */
            status = flush(job, filled, job->seq, &sums, error);
            filled = 0;
        }
        if (status)
            return status;
        read_window(job, window, length, filled++);
        sums.bytes += dither_corpus_text_bytes(job->corpus, job->first + window * job->seq + 1, length);
        if (filled == job->network->batch || i + 1 == windows) {
            status = flush(job, filled, length, &sums, error);
            filled = 0;
            if (job->progress)
                job->progress(job->progress_context, sums.tokens,
                              windows == all ? job->tokens - 1 : windows * job->seq);
        }
        if (!status && job->stop && *job->stop)
            status = DITHER_E_STOPPED;
        if (status)
            return status;
    }
    *result = dither_eval_result(&sums);
    return DITHER_OK;
}

dither_status dither_eval_reserve(dither_model *model, size_t seq, dither_error *error)
{
    enum { MODEST = 512 };
    const size_t batch = seq < DITHER_MODEL_EVAL_TOKENS ? DITHER_MODEL_EVAL_TOKENS / seq : 1;
    const uint64_t bytes = dither_model_work_bytes(model, batch, seq), room = dither_memory_available();
    const uint64_t resident = dither_memory_resident();
    if (bytes <= room && resident <= room - bytes)
        return dither_model_reserve(model, batch, seq, error);
    char needed[16], there[16], modest[16];
    const size_t least = seq < MODEST ? 1 : MODEST;
    dither_text_bytes(bytes, needed);
    dither_text_bytes(room, there);
    dither_text_bytes(dither_model_work_bytes(model, DITHER_MODEL_EVAL_TOKENS / least, least), modest);
    return dither_fail(error, DITHER_E_MEMORY, "", "windows of %zu tokens would need %s beside the model and the "
                       "machine has %s; --seq %zu needs %s", seq, needed, there, least, modest);
}

dither_status dither_evaluate(dither_model *model, const dither_corpus *corpus, size_t seq, uint64_t limit,
                              void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                              dither_evaluation *result, dither_error *error)
{
    const dither_model_config *config = &model->network.config;
    if (seq > config->ctx)
        return dither_fail(error, DITHER_E_USAGE, "--seq", "%zu is longer than the model's context of %zu", seq,
                           config->ctx);
    if (dither_corpus_vocab(corpus) > config->vocab)
        return dither_fail(error, DITHER_E_SHAPE, "",
                           "the text's tokenizer has %zu tokens, the model's vocabulary only %zu",
                           dither_corpus_vocab(corpus), config->vocab);
    const uint64_t all = dither_corpus_tokens(corpus), tokens = limit && limit < all ? limit + 1 : all;
    dither_eval_job job = {
        .network = &model->network,
        .context = &model->context,
        .mode = model->exact ? DITHER_HEAD_EXACT : DITHER_HEAD_FORWARD,
        .corpus = corpus,
        .tokens = tokens,
        .seq = seq ? seq : config->ctx,
        .progress = progress,
        .progress_context = context,
    };
    if (tokens > 1 && tokens - 1 < job.seq)
        job.seq = (size_t)(tokens - 1);
    dither_status status = dither_eval_reserve(model, job.seq, error);
    if (status)
        return status;
    const size_t size = model->network.batch * model->network.seq;
    job.ids = calloc(size, sizeof *job.ids);
    job.targets = calloc(size, sizeof *job.targets);
    job.window = calloc(job.seq + 1, sizeof *job.window);
    status = DITHER_E_MEMORY;
    if (job.ids && job.targets && job.window)
        status = dither_eval_run(&job, result, error);
    else
        (void)dither_fail(error, status, "", "no memory for a batch");
    free(job.ids);
    free(job.targets);
    free(job.window);
    return status;
}
