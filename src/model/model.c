#include "model/opened.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "file/config.h"
#include "kernel/gemm_f32.h"
#include "model/weights.h"

/* Lay out twice: once to count, once in memory of that size. */
static dither_status place(dither_model *model, const dither_model_config *config, const dither_scheme *scheme,
                           int threads, dither_error *error)
{
    const size_t seq = config->ctx;
    const size_t batch = seq < DITHER_MODEL_EVAL_TOKENS ? DITHER_MODEL_EVAL_TOKENS / seq : 1;
    dither_arena dry = dither_arena_dry();
    dither_status status = dither_network_layout(&model->network, config, scheme, false, batch, seq, &dry);
    const size_t scratch = status ? 0 : dither_align_up(dither_network_scratch(&model->network, threads));
    dither_network_free(&model->network);
    if (!status && !dither_gemm_f32_ready(threads, dry.used))
        status = DITHER_E_MEMORY;
    if (!status)
        status = dither_arena_open(&model->arena, dither_align_up(dry.used) + scratch);
    if (!status)
        status = dither_network_layout(&model->network, config, scheme, false, batch, seq, &model->arena);
    if (status)
        return dither_fail(error, status, "", "no memory for a model of this shape");
    model->scratch = (dither_arena){.base = dither_arena_take(&model->arena, scratch, 1), .size = scratch};
    model->context = (dither_context){.scratch = &model->scratch, .threads = threads};
    return DITHER_OK;
}

static dither_status fill(dither_model *model, const dither_safetensors *file, const char *path, dither_error *error)
{
    dither_status status = dither_weights_check(&model->network, file, NULL, path, error);
    if (status)
        return status;
    dither_weights_load(&model->network, file, NULL, model->network.parameters);
    return model->exact ? DITHER_OK : dither_network_refresh(&model->network, &model->context, error);
}

dither_status dither_model_open(dither_model **model, const char *folder, const dither_scheme *scheme, int threads,
                                dither_error *error)
{
    *model = NULL;
    dither_model_config config;
    dither_status status = dither_model_config_read(folder, &config, error);
    if (status)
        return status;
    char path[4096];
    dither_safetensors *file = NULL;
    status = dither_weights_open(&file, folder, path, sizeof path, error);
    if (status)
        return status;
    dither_scheme f32 = {0};
    if (!scheme)
        status = dither_scheme_parse("f32", &f32, error);
    dither_model *opened = calloc(1, sizeof *opened);
    if (!opened)
        status = dither_fail(error, DITHER_E_MEMORY, folder, "no memory");
    if (!status) {
        opened->exact = !scheme;
        status = place(opened, &config, scheme ? scheme : &f32, threads > 0 ? threads : dither_cores(), error);
    }
    if (!status)
        status = fill(opened, file, path, error);
    dither_safetensors_close(file);
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
    dither_arena_close(&model->arena);
    free(model);
}

const dither_model_config *dither_model_config_get(const dither_model *model)
{
    return &model->network.config;
}

dither_status dither_model_config_read(const char *folder, dither_model_config *config, dither_error *error)
{
    dither_status status = dither_config_read(folder, config, error);
    if (!status)
        status = dither_model_config_check(config, error);
    if (status == DITHER_E_USAGE) { /* the file's fault, not that of an option */
        status = DITHER_E_FORMAT;
        if (error) {
            error->status = status;
            (void)snprintf(error->where, sizeof error->where, "%s/config.json", folder);
        }
    }
    return status;
}
