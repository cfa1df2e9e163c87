#include "model/opened.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernel/gemm_f32.h"
#include "model/weights.h"

/* Lay out twice: once to count, once in memory of that size. */
static dither_status place(dither_model *model, const dither_model_config *config, const dither_scheme *scheme,
                           dither_error *error)
{
    dither_arena dry = dither_arena_dry();
    dither_status status = dither_network_layout_stored(&model->network, config, scheme, model->stored, &dry);
    dither_network_free(&model->network);
    if (!status && !dither_gemm_f32_ready(model->context.threads, dry.used))
        status = DITHER_E_MEMORY;
    if (!status)
        status = dither_arena_open(&model->arena, dither_align_up(dry.used));
    if (!status)
        status = dither_network_layout_stored(&model->network, config, scheme, model->stored, &model->arena);
    return status ? dither_fail(error, status, "", "no memory for a model of this shape") : DITHER_OK;
}

/* The weights as the scheme has them. A matrix at a time is f32 meanwhile, in memory that nobody needs afterwards. */
static dither_status refresh(dither_model *model, dither_error *error)
{
    const size_t bytes = dither_align_up(dither_network_refresh_scratch(&model->network, model->context.threads));
    dither_arena scratch = {0};
    if (dither_arena_open(&scratch, bytes))
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory to quantize the weights in");
    dither_context context = model->context;
    context.scratch = &scratch;
    const dither_status status = dither_network_refresh(&model->network, &context, error);
    dither_arena_close(&scratch);
    return status;
}

size_t dither_model_work_bytes(dither_model *model, size_t batch, size_t seq)
{
    dither_network *net = &model->network;
    const size_t had_batch = net->batch, had_seq = net->seq, tokens = dither_multiply(batch, seq);
    float *const had_losses = net->losses;
    if (tokens > INT_MAX)
        return SIZE_MAX;
    dither_network_resize(net, batch, seq, NULL);
    const size_t bytes = dither_align_up(dither_align_up(tokens * sizeof(float)) +
                                         dither_align_up(dither_network_scratch(net, model->context.threads)));
    dither_network_resize(net, had_batch, had_seq, had_losses);
    return bytes;
}

dither_status dither_model_reserve(dither_model *model, size_t batch, size_t seq, dither_error *error)
{
    dither_network *net = &model->network;
    if (dither_multiply(batch, seq) <= net->batch * net->seq && seq <= net->seq)
        return DITHER_OK;
    batch = batch > net->batch ? batch : net->batch;
    seq = seq > net->seq ? seq : net->seq;
    const size_t tokens = dither_multiply(batch, seq);
    if (model->work.base)
        dither_arena_close(&model->work);
    model->work = (dither_arena){0};
    dither_network_resize(net, 0, 0, NULL);
    if (tokens > INT_MAX) /* BLAS counts in int */
        return dither_fail(error, DITHER_E_MEMORY, "", "a batch of %zu tokens is too large", tokens);
    dither_network_resize(net, batch, seq, NULL);
    const size_t losses = dither_align_up(tokens * sizeof(float));
    const size_t scratch = dither_align_up(dither_network_scratch(net, model->context.threads));
    dither_network_resize(net, 0, 0, NULL);
    if (dither_arena_open(&model->work, dither_align_up(losses + scratch)))
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory for %zu tokens at once", tokens);
    dither_network_resize(net, batch, seq, dither_arena_take(&model->work, tokens, sizeof(float)));
    model->scratch = (dither_arena){.base = dither_arena_take(&model->work, scratch, 1), .size = scratch};
    return DITHER_OK;
}

/* Where the parameters lie, checked. */
static dither_status find(dither_model *model, const dither_model_config *config, dither_error *error)
{
    const size_t count = dither_table_count(config);
    dither_parameter *table = calloc(count, sizeof *table);
    model->stored = calloc(count, sizeof *model->stored);
    dither_status status = DITHER_E_MEMORY;
    if (table && model->stored) {
        (void)dither_table_fill(config, table);
        status = dither_source_find(model->source, config, table, count, model->stored, error);
    } else {
        (void)dither_fail(error, status, "", "no memory");
    }
    free(table);
    return status;
}

static dither_status open_model(dither_model *model, const char *path, const dither_scheme *scheme, dither_error *error)
{
    dither_scheme f32 = {0};
    dither_model_config config;
    dither_status status = scheme ? DITHER_OK : dither_scheme_parse("f32", &f32, error);
    if (!status)
        status = dither_source_open(&model->source, path, error);
    if (!status)
        status = dither_source_config(model->source, &config, error);
    if (!status)
        status = find(model, &config, error);
    if (!status)
        status = place(model, &config, scheme ? scheme : &f32, error);
    if (status)
        return status;
    dither_network *net = &model->network;
    dither_stored_load(net->table, net->table_count, model->stored, net->parameters, model->context.threads);
    return model->exact ? DITHER_OK : refresh(model, error);
}

dither_status dither_model_open(dither_model **model, const char *path, const dither_scheme *scheme, int threads,
                                dither_error *error)
{
    *model = NULL;
    dither_model *opened = calloc(1, sizeof *opened);
    if (!opened)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory");
    opened->exact = !scheme;
    opened->context = (dither_context){.scratch = &opened->scratch, .threads = threads > 0 ? threads : dither_cores()};
    const dither_status status = open_model(opened, path, scheme, error);
    if (status)
        dither_model_close(opened);
    else
        *model = opened;
    return status;
}

void dither_model_close(dither_model *model)
{
    if (!model)
        return;
    dither_network_free(&model->network);
    if (model->arena.base)
        dither_arena_close(&model->arena);
    if (model->work.base)
        dither_arena_close(&model->work);
    free(model->stored);
    dither_source_close(model->source);
    free(model);
}

void dither_model_watch_logits(dither_model *model,
                               void (*see)(void *context, size_t tokens, size_t vocab, const float *logits),
                               void *context)
{
    model->watch = (dither_watch){see, context};
    model->context.watch = see ? &model->watch : NULL;
}

const dither_model_config *dither_model_config_get(const dither_model *model)
{
    return &model->network.config;
}
