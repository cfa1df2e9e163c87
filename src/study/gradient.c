#include "study/gradient.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernel/gemm_f32.h"
#include "model/stored.h"

/* ---- memory ------------------------------------------------------------------------------------------------ */

typedef struct gradient_sizes {
    size_t arena, more, scratch; /* SIZE_MAX: more than there can be */
} gradient_sizes;

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The largest of all schemes, each laid out on an arena that only counts. */
static dither_status count(const dither_gradient_request *r, gradient_sizes *sizes)
{
    *sizes = (gradient_sizes){0};
    for (size_t i = 0; i < r->scheme_count; i++) {
        dither_network network;
        dither_arena dry = dither_arena_dry();
        const dither_status status =
            dither_network_layout(&network, r->config, &r->schemes[i], true, r->batch, r->seq, &dry);
        if (!status) {
            sizes->arena = larger(sizes->arena, dry.used);
            sizes->more = dither_multiply(dither_multiply(network.elements, sizeof(float)) + DITHER_ALIGN,
                                          r->blocks - 1);
            sizes->scratch = larger(sizes->scratch, dither_network_scratch(&network, r->threads));
        }
        dither_network_free(&network);
        if (status)
            return status;
    }
    return DITHER_OK;
}

static bool countable(const gradient_sizes *sizes)
{
    const size_t most = SIZE_MAX / 4;
    return sizes->arena < most && sizes->more < most && sizes->scratch < most;
}

dither_status dither_gradient_count(const dither_gradient_request *request, uint64_t *bytes, dither_error *error)
{
    gradient_sizes sizes;
    if (count(request, &sizes) || !countable(&sizes))
        return dither_fail(error, DITHER_E_MEMORY, "", "gradients of this shape cannot be laid out: too large");
    *bytes = (uint64_t)sizes.arena + sizes.more + sizes.scratch;
    return DITHER_OK;
}

/* The weights and block 0 lie in front, whatever the scheme, and stay. What is behind is zero, as after opening. */
static dither_status lay_out(dither_gradient *g, const dither_model_config *config, const dither_scheme *scheme)
{
    if (g->network.gradients) {
        unsigned char *const behind = (unsigned char *)(g->network.gradients + g->network.elements);
        memset(behind, 0, (size_t)(g->arena.base + g->arena.used - behind));
    }
    dither_network_free(&g->network);
    g->arena.used = 0;
    const dither_status status =
        dither_network_layout(&g->network, config, scheme, true, g->batch, g->seq, &g->arena);
    g->block[0] = g->network.gradients;
    assert(status || (void *)g->network.parameters == g->arena.base);
    return status;
}

dither_status dither_gradient_open(dither_gradient *gradient, const dither_gradient_request *request,
                                   dither_error *error)
{
    const dither_gradient_request *r = request;
    assert(r->scheme_count > 0 && r->blocks > 0 && r->blocks <= DITHER_GRADIENT_BLOCKS && r->threads > 0);
    *gradient = (dither_gradient){.batch = r->batch, .seq = r->seq, .blocks = r->blocks};
    gradient_sizes sizes;
    dither_status status = count(r, &sizes);
    if (!status && (!countable(&sizes) || !dither_gemm_f32_ready(r->threads, sizes.arena + sizes.more)))
        status = DITHER_E_MEMORY;
    if (!status)
        status = dither_arena_open(&gradient->arena, sizes.arena);
    if (!status)
        status = dither_arena_open(&gradient->more, sizes.more);
    if (!status)
        status = dither_arena_open(&gradient->scratch, sizes.scratch);
    if (!status)
        status = lay_out(gradient, r->config, &r->schemes[0]);
    gradient->layer_clips = calloc(r->config->layers + 1, sizeof *gradient->layer_clips);
    if (!status && !gradient->layer_clips)
        status = DITHER_E_MEMORY;
    if (status)
        return dither_fail(error, status, "", "no memory for gradients of this shape");
    for (size_t i = 1; i < r->blocks; i++)
        gradient->block[i] = dither_arena_take(&gradient->more, gradient->network.elements, sizeof(float));
    gradient->context = (dither_context){
        .scratch = &gradient->scratch, .clips = &gradient->clips, .layers = gradient->layer_clips, .seed = r->seed,
        .threads = r->threads};
    return DITHER_OK;
}

void dither_gradient_close(dither_gradient *gradient)
{
    dither_network_free(&gradient->network);
    dither_arena_close(&gradient->arena);
    dither_arena_close(&gradient->more);
    dither_arena_close(&gradient->scratch);
    free(gradient->layer_clips);
    *gradient = (dither_gradient){0};
}

/* ---- weights ----------------------------------------------------------------------------------------------- */

dither_status dither_gradient_load(dither_gradient *gradient, const char *path, dither_error *error)
{
    const dither_network *net = &gradient->network;
    dither_source *source = NULL;
    dither_stored *stored = calloc(net->table_count, sizeof *stored);
    dither_status status = stored ? DITHER_OK : dither_fail(error, DITHER_E_MEMORY, path, "no memory");
    if (!status)
        status = dither_source_open(&source, path, error);
    if (!status)
        status = dither_source_find(source, &net->config, net->table, net->table_count, stored, error);
    if (!status)
        dither_stored_load(net->table, net->table_count, stored, net->parameters, gradient->context.threads);
    dither_source_close(source);
    free(stored);
    return status;
}

dither_status dither_gradient_scheme(dither_gradient *gradient, const dither_scheme *scheme, dither_error *error)
{
    const dither_model_config config = gradient->network.config;
    dither_status status = lay_out(gradient, &config, scheme);
    if (status)
        return dither_fail(error, status, "", "no memory for gradients of this shape");
    dither_context context = gradient->context;
    context.step = 0;
    context.microbatch = 0;
    return dither_network_refresh(&gradient->network, &context, error);
}

void dither_gradient_clear_clips(dither_gradient *gradient)
{
    gradient->clips = (dither_clips){0};
    memset(gradient->layer_clips, 0, (gradient->network.config.layers + 1) * sizeof *gradient->layer_clips);
}

/* ---- gradients --------------------------------------------------------------------------------------------- */

dither_status dither_gradient_add(dither_gradient *gradient, const dither_batch_view *view, dither_gradient_draw draw,
                                  float factor, bool fresh, float *block, double *loss, dither_error *error)
{
    assert(draw.microbatch < DITHER_GRADIENT_MICROBATCHES);
    assert(view->batch * view->seq <= gradient->batch * gradient->seq);
    dither_context context = gradient->context;
    context.step = draw.number;
    context.microbatch = draw.microbatch;
    context.fresh = fresh;
    float *const own = gradient->network.gradients;
    gradient->network.gradients = block;
    double nats = 0;
    dither_status status =
        dither_network_loss(&gradient->network, &context, DITHER_HEAD_TRAIN, view, factor, &nats, error);
    gradient->network.gradients = own;
    if (!status && !isfinite(nats))
        status = dither_fail(error, DITHER_E_NUMERIC, "", "NaN or Inf in the loss: the weights or the scheme overflow");
    if (!status && loss)
        *loss += nats;
    return status;
}
