/* Writing text: one token at a time, from a cache of keys and values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/philox.h"
#include "model/opened.h"

typedef struct candidate {
    float logit;
    uint32_t id;
} candidate;

typedef struct writer {
    dither_model *model;
    dither_cache cache;
    float *logits;
    candidate *candidates;
    uint32_t *window; /* [ctx] ids in the cache */
    size_t position;  /* how many they are */
} writer;

static void writer_close(writer *w)
{
    free(w->cache.k);
    free(w->cache.v);
    free(w->logits);
    free(w->candidates);
    free(w->window);
}

static dither_status writer_open(writer *w, dither_model *model, dither_error *error)
{
    const dither_model_config *c = &model->network.config;
    const size_t row = dither_multiply(dither_multiply(c->layers, c->ctx), c->kv_heads * c->head_dim);
    *w = (writer){.model = model};
    w->cache.k = calloc(row, sizeof(float));
    w->cache.v = calloc(row, sizeof(float));
    w->logits = calloc(c->vocab, sizeof(float));
    w->candidates = calloc(c->vocab, sizeof(candidate));
    w->window = calloc(c->ctx, sizeof(uint32_t));
    if (w->cache.k && w->cache.v && w->logits && w->candidates && w->window)
        return DITHER_OK;
    writer_close(w);
    return dither_fail(error, DITHER_E_MEMORY, "", "no memory for the cache of keys and values");
}

static dither_status feed(writer *w, uint32_t id, bool want_logits, dither_error *error)
{
    dither_model *model = w->model;
    w->window[w->position] = id;
    const dither_status status = dither_network_extend(&model->network, &model->context, model->exact, &w->cache,
                                                       w->position, 1, &id, want_logits ? w->logits : NULL, error);
    w->position++;
    return status;
}

/* At the end of the context, go on from its younger half. */
static dither_status make_room(writer *w, dither_error *error)
{
    const size_t ctx = w->model->network.config.ctx;
    if (w->position < ctx)
        return DITHER_OK;
    const size_t kept = ctx / 2;
    memmove(w->window, w->window + (ctx - kept), kept * sizeof *w->window);
    w->position = 0;
    for (size_t i = 0; i < kept; i++) {
        const uint32_t id = w->window[i];
        const dither_status status = feed(w, id, false, error);
        if (status)
            return status;
    }
    return DITHER_OK;
}

static int by_logit(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id; /* one order for equal logits too */
}

/* How many of the sorted candidates are drawn from, and the sum of their weights exp((logit - largest)/temperature). */
static size_t cut(const candidate *sorted, size_t count, const dither_sampling *sampling, double *sum)
{
    if (sampling->top_k && sampling->top_k < count)
        count = sampling->top_k;
    double all = 0;
    for (size_t i = 0; i < count; i++)
        all += exp(((double)sorted[i].logit - (double)sorted[0].logit) / sampling->temperature);
    *sum = 0;
    size_t kept = 0;
    while (kept < count && (kept == 0 || *sum < sampling->top_p * all)) {
        *sum += exp(((double)sorted[kept].logit - (double)sorted[0].logit) / sampling->temperature);
        kept++;
    }
    return kept;
}

static uint32_t choose(writer *w, const dither_sampling *sampling, size_t number)
{
    const size_t vocab = w->model->network.config.vocab;
    for (size_t i = 0; i < vocab; i++)
        w->candidates[i] = (candidate){w->logits[i], (uint32_t)i};
    qsort(w->candidates, vocab, sizeof *w->candidates, by_logit);
    if (sampling->temperature <= 0)
        return w->candidates[0].id;
    double sum;
    const size_t kept = cut(w->candidates, vocab, sampling, &sum);
    const dither_draw draw = {.seed = sampling->seed, .role = DITHER_FIELD_SAMPLE};
    double left = ((double)dither_draw_u32(&draw, number, 0) + 0.5) / 4294967296.0 * sum;
    for (size_t i = 0; i < kept; i++) {
        left -= exp(((double)w->candidates[i].logit - (double)w->candidates[0].logit) / sampling->temperature);
        if (left < 0)
            return w->candidates[i].id;
    }
    return w->candidates[kept - 1].id;
}

static dither_status write_tokens(writer *w, const uint32_t *ids, size_t count, size_t tokens,
                                  const dither_sampling *sampling, bool (*emit)(void *context, uint32_t id),
                                  void *context, dither_error *error)
{
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < count && !status; i++) {
        status = make_room(w, error);
        if (!status)
            status = feed(w, ids[i], i + 1 == count, error);
    }
    for (size_t n = 0; n < tokens && !status; n++) {
        for (size_t i = 0; i < w->model->network.config.vocab; i++)
            if (!isfinite(w->logits[i]))
                return dither_fail(error, DITHER_E_NUMERIC, "", "NaN or Inf in the logits of token %zu", n);
        const uint32_t id = choose(w, sampling, n);
        if (!emit(context, id) || n + 1 == tokens)
            break;
        status = make_room(w, error);
        if (!status)
            status = feed(w, id, true, error);
    }
    return status;
}

dither_status dither_model_generate(dither_model *model, const uint32_t *ids, size_t count, size_t tokens,
                                    const dither_sampling *sampling, bool (*emit)(void *context, uint32_t id),
                                    void *context, dither_error *error)
{
    if (!count)
        return dither_fail(error, DITHER_E_USAGE, "prompt", "it is empty; at least one token is needed");
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= model->network.config.vocab)
            return dither_fail(error, DITHER_E_USAGE, "prompt", "token %u is not in the vocabulary of %zu",
                               (unsigned)ids[i], model->network.config.vocab);
    writer w;
    dither_status status = writer_open(&w, model, error);
    if (status)
        return status;
    status = write_tokens(&w, ids, count, tokens, sampling, emit, context, error);
    writer_close(&w);
    return status;
}
