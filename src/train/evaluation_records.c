/* Loss on records: of their trained tokens alone. */
#include <math.h>
#include <stdlib.h>

#include "base/fail.h"
#include "model/opened.h"
#include "train/evaluation.h"

/* Counts the targets of a batch and what they stand for; those beyond the limit are taken away. */
static void count_targets(const dither_eval_records_job *job, size_t batch, uint64_t limit, dither_eval_sums *sums)
{
    const dither_tokenizer *tokenizer = job->packing->records->tokenizer;
    const char *text;
    for (size_t i = 0; i < batch * job->packing->options.seq; i++) {
        uint32_t *target = &job->buffers.targets[i];
        if (*target != UINT32_MAX && sums->tokens == limit)
            *target = UINT32_MAX;
        if (*target == UINT32_MAX)
            continue;
        sums->tokens++;
        sums->bytes += dither_tokenizer_decode(tokenizer, *target, &text);
    }
}

static dither_status evaluate_batch(const dither_eval_records_job *job, const uint64_t *numbers, size_t batch,
                                    uint64_t limit, dither_eval_sums *sums, dither_error *error)
{
    const size_t seq = job->packing->options.seq;
    const dither_batch_buffers *b = &job->buffers;
    const dither_batch_view view = {.batch = batch, .seq = seq, .ids = b->ids, .targets = b->targets,
                                    .positions = b->positions, .first = b->first};
    for (size_t i = 0; i < batch; i++)
        dither_packer_row(job->packing, numbers[i], b->ids + i * seq, b->targets + i * seq, b->positions + i * seq,
                           b->first + i * seq);
    count_targets(job, batch, limit, sums);
    double loss = 0;
    const dither_status status = dither_network_loss(job->network, job->context, job->mode, &view, 1, &loss, error);
    if (status)
        return status;
    if (!isfinite(loss))
        return dither_fail(error, DITHER_E_NUMERIC, "", "NaN or Inf in the loss on held-out records");
    sums->nats += loss;
    return DITHER_OK;
}

dither_status dither_eval_records_run(const dither_eval_records_job *job, dither_evaluation *result,
                                      dither_error *error)
{
    enum { BATCH_MOST = 64 };
    const dither_records_packed *packed = &job->packing->packed;
    const uint64_t all = packed->sequences, trained = packed->trained;
    const uint64_t limit = job->limit && job->limit < trained ? job->limit : trained;
    uint64_t sequences = all;
    if (job->spread) /* as many as hold so many predictions in the mean */
        sequences = (uint64_t)ceil((double)limit * (double)all / (double)trained);
    sequences = sequences < all ? sequences : all;
    const size_t batch = job->network->batch < BATCH_MOST ? job->network->batch : BATCH_MOST;
    dither_eval_sums sums = {0};
    for (uint64_t i = 0; i < sequences && sums.tokens < limit;) {
        uint64_t numbers[BATCH_MOST];
        size_t filled = 0;
        for (; filled < batch && i < sequences; i++)
            numbers[filled++] = sequences == all ? i : (uint64_t)((double)i * (double)all / (double)sequences);
        const dither_status status =
            evaluate_batch(job, numbers, filled, job->spread ? UINT64_MAX : limit, &sums, error);
        if (status)
            return status;
        if (job->progress)
            job->progress(job->progress_context, sums.tokens, limit);
        if (job->stop && *job->stop)
            return DITHER_E_STOPPED;
    }
    *result = dither_eval_result(&sums);
    return DITHER_OK;
}

/* What holds the longest record, within the model's context. */
static size_t default_seq(const dither_records *records, size_t ctx)
{
    size_t longest = 2;
    for (size_t i = 0; i < dither_records_count(records); i++) {
        const size_t count = dither_records_at(records, i).count;
        longest = count > longest ? count : longest;
    }
    return longest - 1 < ctx ? longest - 1 : ctx;
}

static dither_status run_on(dither_model *model, dither_eval_records_job *job, dither_evaluation *result,
                            dither_error *error)
{
    const size_t seq = job->packing->options.seq;
    dither_status status = dither_eval_reserve(model, seq, error);
    if (status)
        return status;
    uint32_t *memory = calloc(4 * model->network.batch * seq, sizeof *memory);
    if (!memory)
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory for a batch");
    const size_t size = model->network.batch * seq;
    job->buffers = (dither_batch_buffers){
        .ids = memory, .targets = memory + size, .positions = memory + 2 * size, .first = memory + 3 * size};
    status = dither_eval_records_run(job, result, error);
    free(memory);
    return status;
}

dither_status dither_evaluate_records(dither_model *model, const dither_records *records, size_t seq,
                                      dither_long longer, uint64_t limit,
                                      void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                                      dither_evaluation *result, dither_error *error)
{
    const dither_model_config *config = &model->network.config;
    if (seq > config->ctx)
        return dither_fail(error, DITHER_E_USAGE, "--seq", "%zu is longer than the model's context of %zu", seq,
                           config->ctx);
    if (dither_records_vocab(records) > config->vocab)
        return dither_fail(error, DITHER_E_SHAPE, "",
                           "the records' tokenizer has %zu tokens, the model's vocabulary only %zu",
                           dither_records_vocab(records), config->vocab);
    dither_packer packing;
    const dither_packer_options options = {.seq = seq ? seq : default_seq(records, config->ctx), .longer = longer};
    dither_status status = dither_packer_open(&packing, records, &options, error);
    dither_eval_records_job job = {
        .network = &model->network,
        .context = &model->context,
        .mode = model->exact ? DITHER_HEAD_EXACT : DITHER_HEAD_FORWARD,
        .packing = &packing,
        .limit = limit,
        .progress = progress,
        .progress_context = context,
    };
    if (!status)
        status = run_on(model, &job, result, error);
    if (!status) {
        result->records = packing.count;
        result->cut = packing.packed.cut;
        result->skipped = packing.packed.skipped;
        result->untrained = packing.packed.untrained;
    }
    dither_packer_close(&packing);
    return status;
}
