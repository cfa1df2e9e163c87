/* Writing text: a context of tokens with its cache of keys and values, read in chunks and grown one by one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/philox.h"
#include "model/opened.h"
#include "model/sample.h"

enum { CHUNK = 256 }; /* tokens that are read at once: wide enough for the products */

struct dither_writer {
    dither_model *model;
    dither_cache cache;
    dither_sample sample;
    float *logits; /* [vocab] of what follows the first `known` tokens */
    uint32_t *ids; /* [ctx] */
    size_t count;  /* tokens of the context */
    size_t known;  /* of which the cache has so many; logits are there where it has all of them */
    uint64_t chosen;
};

void dither_writer_close(dither_writer *writer)
{
    if (!writer)
        return;
    free(writer->cache.k);
    free(writer->cache.v);
    free(writer->logits);
    free(writer->ids);
    dither_sample_close(&writer->sample);
    free(writer);
}

dither_status dither_writer_open(dither_writer **writer, dither_model *model, size_t ctx, dither_error *error)
{
    const dither_model_config *c = &model->network.config;
    *writer = NULL;
    if (ctx > c->ctx)
        return dither_fail(error, DITHER_E_USAGE, "ctx", "%zu is more than the model's context of %zu", ctx, c->ctx);
    dither_writer *opened = calloc(1, sizeof *opened);
    if (!opened)
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory");
    opened->model = model;
    opened->cache.ctx = ctx ? ctx : c->ctx;
    /* The operating system gives pages where they are written. */
    const size_t rows = dither_multiply(c->layers, opened->cache.ctx), row = c->kv_heads * c->head_dim;
    opened->cache.k = calloc(rows, dither_multiply(row, sizeof(float)));
    opened->cache.v = calloc(rows, dither_multiply(row, sizeof(float)));
    opened->logits = calloc(c->vocab, sizeof(float));
    opened->ids = calloc(opened->cache.ctx, sizeof(uint32_t));
    dither_status status = DITHER_OK;
    if (!opened->cache.k || !opened->cache.v || !opened->logits || !opened->ids)
        status = dither_fail(error, DITHER_E_MEMORY, "", "no memory for the cache of keys and values");
    if (!status)
        status = dither_sample_open(&opened->sample, c->vocab, error);
    if (status)
        dither_writer_close(opened);
    else
        *writer = opened;
    return status;
}

size_t dither_writer_context(const dither_writer *writer, const uint32_t **ids)
{
    if (ids)
        *ids = writer->ids;
    return writer->count;
}

size_t dither_writer_ctx(const dither_writer *writer)
{
    return writer->cache.ctx;
}

const float *dither_writer_logits(const dither_writer *writer)
{
    return writer->logits;
}

/* Bring the cache, and the logits, to the end of the context. */
static dither_status feed(dither_writer *w, dither_error *error)
{
    dither_model *model = w->model;
    const size_t left = w->count - w->known;
    dither_status status = dither_model_reserve(model, 1, left < CHUNK ? left : CHUNK, error);
    while (!status && w->known < w->count) {
        const size_t chunk = w->count - w->known < CHUNK ? w->count - w->known : CHUNK;
        status = dither_network_extend(&model->network, &model->context, model->exact, &w->cache, w->known, chunk,
                                       w->ids + w->known, w->known + chunk == w->count ? w->logits : NULL, error);
        w->known = status ? 0 : w->known + chunk;
    }
    return status;
}

static dither_status check_ids(const dither_writer *w, const uint32_t *ids, size_t count, dither_error *error)
{
    const size_t vocab = w->model->network.config.vocab;
    if (!count)
        return dither_fail(error, DITHER_E_USAGE, "prompt", "it is empty; at least one token is needed");
    if (count > w->cache.ctx)
        return dither_fail(error, DITHER_E_USAGE, "prompt", "%zu tokens are more than the context of %zu", count,
                           w->cache.ctx);
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= vocab)
            return dither_fail(error, DITHER_E_USAGE, "prompt", "token %u is not in the vocabulary of %zu",
                               (unsigned)ids[i], vocab);
    return DITHER_OK;
}

dither_status dither_writer_read(dither_writer *writer, const uint32_t *ids, size_t count, size_t *fresh,
                                 dither_error *error)
{
    const dither_status status = check_ids(writer, ids, count, error);
    if (status)
        return status;
    size_t same = 0;
    while (same < count && same < writer->known && ids[same] == writer->ids[same])
        same++;
    if (same == count && count < writer->known) /* in the cache, but the logits are of what came later */
        same--;
    memmove(writer->ids, ids, count * sizeof *ids);
    writer->count = count;
    writer->known = same;
    if (fresh)
        *fresh = count - same;
    return same < count ? feed(writer, error) : DITHER_OK;
}

/* At the end of the context, go on from its younger half. */
static dither_status make_room(dither_writer *w, dither_error *error)
{
    if (w->count < w->cache.ctx)
        return DITHER_OK;
    const size_t kept = w->cache.ctx / 2;
    memmove(w->ids, w->ids + (w->count - kept), kept * sizeof *w->ids);
    w->count = kept;
    w->known = 0;
    return feed(w, error);
}

dither_status dither_writer_next(dither_writer *writer, const dither_sampling *sampling, uint32_t *id,
                                 dither_error *error)
{
    if (!writer->count)
        return dither_fail(error, DITHER_E_USAGE, "prompt", "it is empty; at least one token is needed");
    dither_status status = writer->known < writer->count ? feed(writer, error) : DITHER_OK;
    if (status)
        return status;
    for (size_t i = 0; i < writer->sample.vocab; i++)
        if (!isfinite(writer->logits[i]))
            return dither_fail(error, DITHER_E_NUMERIC, "", "NaN or Inf in the logits of token %llu",
                               (unsigned long long)writer->chosen);
    const size_t last = sampling->repeat_last && sampling->repeat_last < writer->count ? sampling->repeat_last
                                                                                       : writer->count;
    dither_sample_candidates(&writer->sample, sampling, writer->logits, writer->ids + (writer->count - last), last);
    const dither_draw draw = {.seed = sampling->seed, .role = DITHER_FIELD_SAMPLE};
    const double u = ((double)dither_draw_u32(&draw, writer->chosen++, 0) + 0.5) / 4294967296.0;
    *id = dither_sample_choose(&writer->sample, u);
    status = make_room(writer, error);
    if (!status)
        writer->ids[writer->count++] = *id;
    return status;
}

double dither_writer_logprob(const dither_writer *writer, uint32_t id)
{
    return (double)writer->logits[id] - dither_sample_log_sum(writer->sample.vocab, writer->logits);
}

size_t dither_writer_likeliest(const dither_writer *writer, size_t count, dither_likely *likely)
{
    const size_t vocab = writer->sample.vocab;
    const double log_sum = dither_sample_log_sum(vocab, writer->logits);
    size_t found = 0;
    for (size_t i = 0; i < vocab; i++) {
        const double logprob = (double)writer->logits[i] - log_sum;
        if (found == count && !(count && logprob > likely[count - 1].logprob))
            continue;
        size_t place = found < count ? found++ : count - 1;
        for (; place > 0 && likely[place - 1].logprob < logprob; place--)
            likely[place] = likely[place - 1];
        likely[place] = (dither_likely){(uint32_t)i, logprob};
    }
    return found;
}

dither_status dither_model_generate(dither_model *model, const uint32_t *ids, size_t count, size_t tokens,
                                    const dither_sampling *sampling, bool (*emit)(void *context, uint32_t id),
                                    void *context, dither_error *error)
{
    dither_writer *writer = NULL;
    dither_status status = dither_writer_open(&writer, model, 0, error);
    if (!status) {
        const size_t ctx = writer->cache.ctx, skipped = count > ctx ? count - ctx : 0;
        status = dither_writer_read(writer, ids + skipped, count - skipped, NULL, error);
    }
    for (size_t n = 0; n < tokens && !status; n++) {
        uint32_t id;
        status = dither_writer_next(writer, sampling, &id, error);
        if (!status && !emit(context, id))
            break;
    }
    dither_writer_close(writer);
    return status;
}
