#include "train/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "file/atomic.h"
#include "file/json.h"
#include "model/weights.h"
#include "train/train_options.h"

enum { STATE_VERSION = 1 };

/* Where it is: in the folder that the run writes. Older checkpoints say "bytes", which are there too. */
#define TOKENIZER "folder"

static const char *const prefixes[DITHER_STATE_BLOCKS] = {"weight.", "moment1.", "moment2."};

static dither_status state_path(const char *out, char *path, size_t size, dither_error *error)
{
    if ((size_t)snprintf(path, size, "%s/state/checkpoint.safetensors", out) >= size)
        return dither_fail(error, DITHER_E_IO, out, "the path is too long");
    return DITHER_OK;
}

static char *describe(const dither_state *state, const dither_train_options *options)
{
    char hash[24], shape[DITHER_SHAPE_TEXT];
    dither_shape_print(&state->network->config, shape);
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)state->data_hash);
    cJSON *object = cJSON_CreateObject();
    cJSON *saved = dither_train_options_json(options), *noise = dither_rounding_noise_json(&state->noise);
    char *text = NULL;
    if (object && saved && noise && cJSON_AddNumberToObject(object, "version", STATE_VERSION) &&
        cJSON_AddNumberToObject(object, "step", (double)state->step) &&
        cJSON_AddNumberToObject(object, "samples", (double)state->samples) &&
        cJSON_AddStringToObject(object, "data_hash", hash) && cJSON_AddStringToObject(object, "tokenizer", TOKENIZER) &&
        cJSON_AddStringToObject(object, "shape", shape) && cJSON_AddItemToObject(object, "options", saved)) {
        saved = NULL; /* object owns it now */
        if (cJSON_AddItemToObject(object, "noise", noise))
            noise = NULL;
        text = cJSON_PrintUnformatted(object);
    }
    cJSON_Delete(noise);
    cJSON_Delete(saved);
    cJSON_Delete(object);
    return text;
}

dither_status dither_state_write(const char *out, const dither_state *state, const dither_train_options *options,
                                 dither_error *error)
{
    char folder[4096], path[4096];
    dither_status status = state_path(out, path, sizeof path, error);
    if (status)
        return status;
    (void)snprintf(folder, sizeof folder, "%s/state", out);
    status = dither_folder_create(folder, error);
    if (status)
        return status;
    const size_t rows = state->network->table_count;
    dither_safetensor_out *tensors = calloc(DITHER_STATE_BLOCKS * rows, sizeof *tensors);
    char(*names)[DITHER_WEIGHTS_NAME] = calloc(DITHER_STATE_BLOCKS * rows, sizeof *names);
    char *text = describe(state, options);
    size_t count = 0;
    for (size_t i = 0; tensors && names && i < DITHER_STATE_BLOCKS; i++) {
        if (!state->block[i])
            continue;
        dither_weights_describe(state->network, state->block[i], prefixes[i], DITHER_STORAGE_F32, tensors + count,
                                names + count);
        count += rows;
    }
    if (tensors && names && text) {
        const dither_metadata metadata = {"dither", text};
        status = dither_safetensors_write(path, tensors, count, &metadata, 1, error);
    } else {
        status = dither_fail(error, DITHER_E_MEMORY, path, "no memory");
    }
    free(tensors);
    free(names);
    cJSON_free(text);
    return status;
}

static dither_status read_description(dither_state_file *file, const char *text, dither_error *error)
{
    cJSON *object = NULL;
    dither_status status = dither_json_parse(text, strlen(text), file->path, &object, error);
    if (status)
        return status;
    uint64_t version = 0;
    const char *hash = NULL, *tokenizer = NULL, *shape = NULL;
    const uint64_t most = (uint64_t)1 << 53;
    status = dither_json_u64(object, "version", STATE_VERSION, STATE_VERSION, &version, NULL, file->path, error);
    if (!status)
        status = dither_json_u64(object, "step", 0, UINT32_MAX, &file->step, NULL, file->path, error);
    if (!status)
        status = dither_json_u64(object, "samples", 0, most, &file->samples, NULL, file->path, error);
    if (!status)
        status = dither_json_text(object, "data_hash", &hash, NULL, file->path, error);
    if (!status)
        status = dither_json_text(object, "tokenizer", &tokenizer, NULL, file->path, error);
    if (!status && strcmp(tokenizer, TOKENIZER) && strcmp(tokenizer, "bytes"))
        status = dither_fail(error, DITHER_E_FORMAT, file->path,
                             "a tokenizer \"%.40s\", which this version does not know", tokenizer);
    if (!status)
        status = dither_json_text(object, "shape", &shape, NULL, file->path, error);
    /* It says its vocabulary, of whatever size. */
    if (!status && dither_model_config_parse(shape, 1, &file->config, NULL))
        status = dither_fail(error, DITHER_E_FORMAT, file->path, "\"%.100s\" is not the shape of a model", shape);
    if (!status) /* older ones have it not */
        status = dither_rounding_noise_read(cJSON_GetObjectItemCaseSensitive(object, "noise"), file->path,
                                            &file->noise, error);
    if (!status) {
        file->data_hash = strtoull(hash, NULL, 16);
        dither_train_options_init(&file->options);
        status = dither_train_options_read(cJSON_GetObjectItemCaseSensitive(object, "options"), file->path,
                                           &file->options, &file->storage, error);
    }
    cJSON_Delete(object);
    return status;
}

dither_status dither_state_open(dither_state_file *file, const char *out, dither_error *error)
{
    *file = (dither_state_file){0};
    dither_status status = state_path(out, file->path, sizeof file->path, error);
    if (status)
        return status;
    struct stat info;
    if (stat(file->path, &info) && (errno == ENOENT || errno == ENOTDIR))
        return DITHER_OK;
    status = dither_safetensors_open(&file->file, file->path, error);
    if (status)
        return status;
    const char *text = dither_safetensors_metadata(file->file, "dither");
    status = text ? read_description(file, text, error)
                  : dither_fail(error, DITHER_E_FORMAT, file->path, "not a checkpoint: its metadata has no \"dither\"");
    if (status)
        dither_state_close(file);
    return status;
}

void dither_state_close(dither_state_file *file)
{
    dither_safetensors_close(file->file);
    free(file->storage);
    file->file = NULL;
    file->storage = NULL;
}

dither_status dither_state_load(const dither_state_file *file, dither_state *state, dither_error *error)
{
    for (size_t i = 0; i < DITHER_STATE_BLOCKS; i++) {
        if (!state->block[i])
            continue;
        const dither_status status = dither_weights_check(state->network, file->file, prefixes[i], file->path, error);
        if (status)
            return status;
    }
    for (size_t i = 0; i < DITHER_STATE_BLOCKS; i++)
        if (state->block[i])
            dither_weights_load(state->network, file->file, prefixes[i], state->block[i]);
    state->step = file->step;
    state->samples = file->samples;
    state->noise = file->noise;
    return DITHER_OK;
}

dither_status dither_train_resume_options(const char *out, dither_train_options *options, bool *found, void **storage,
                                          dither_error *error)
{
    dither_state_file file;
    *found = false;
    *storage = NULL;
    const dither_status status = dither_state_open(&file, out, error);
    if (status || !file.file)
        return status;
    const char *kept = options->out;
    *options = file.options;
    options->out = kept;
    options->resume = true;
    *storage = file.storage;
    file.storage = NULL;
    *found = true;
    dither_state_close(&file);
    return DITHER_OK;
}
