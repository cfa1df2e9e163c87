#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

dither_status dither_weights_open(dither_safetensors **file, const char *folder, char *path, size_t size,
                                  dither_error *error)
{
    *file = NULL;
    if ((size_t)snprintf(path, size, "%s/model.safetensors", folder) >= size)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    return dither_safetensors_open(file, path, error);
}

static const dither_safetensor *find(const dither_safetensors *file, const char *prefix, const char *name)
{
    char full[DITHER_WEIGHTS_NAME];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    return dither_safetensors_find(file, full);
}

static bool same_shape(const dither_parameter *row, const dither_safetensor *tensor)
{
    if (row->vector)
        return tensor->dims == 1 && tensor->shape[0] == row->cols;
    return tensor->dims == 2 && tensor->shape[0] == row->rows && tensor->shape[1] == row->cols;
}

static void print_shape(const dither_safetensor *tensor, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < tensor->dims && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%llu", i ? "x" : "", (unsigned long long)tensor->shape[i]);
}

static dither_status check_row(const dither_parameter *row, const dither_safetensor *tensor, const char *path,
                               dither_error *error)
{
    if (!tensor)
        return dither_fail(error, DITHER_E_SHAPE, path, "no tensor %s, which a model of this config.json has",
                           row->name);
    if (!same_shape(row, tensor)) {
        char shape[128], wanted[64];
        print_shape(tensor, shape, sizeof shape);
        if (row->vector)
            (void)snprintf(wanted, sizeof wanted, "%zu", row->cols);
        else
            (void)snprintf(wanted, sizeof wanted, "%zux%zu", row->rows, row->cols);
        return dither_fail(error, DITHER_E_SHAPE, path, "tensor %s has shape %s; this model's is %s", row->name, shape,
                           wanted);
    }
    if (tensor->storage != DITHER_STORAGE_F32 && tensor->storage != DITHER_STORAGE_BF16 &&
        tensor->storage != DITHER_STORAGE_F16)
        return dither_fail(error, DITHER_E_FORMAT, path, "tensor %s is stored as %s; F32, BF16 and F16 can be read",
                           row->name, tensor->dtype);
    return DITHER_OK;
}

static bool in_table(const dither_network *network, const char *name)
{
    for (size_t i = 0; i < network->table_count; i++)
        if (!strcmp(network->table[i].name, name))
            return true;
    return network->config.tied && !strcmp(name, "lm_head.weight");
}

dither_status dither_weights_check(const dither_network *network, const dither_safetensors *file, const char *prefix,
                                   const char *path, dither_error *error)
{
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter *row = &network->table[i];
        const dither_status status = check_row(row, find(file, prefix, row->name), path, error);
        if (status)
            return status;
    }
    const size_t length = strlen(prefix);
    for (size_t i = 0; i < dither_safetensors_count(file); i++) {
        const char *name = dither_safetensors_at(file, i)->name;
        if (!strncmp(name, prefix, length) && !in_table(network, name + length))
            return dither_fail(error, DITHER_E_SHAPE, path, "tensor %s is not part of a model of this config.json",
                               name);
    }
    return DITHER_OK;
}

void dither_weights_load(const dither_network *network, const dither_safetensors *file, const char *prefix,
                         float *block)
{
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter *row = &network->table[i];
        dither_safetensor_f32(find(file, prefix, row->name), 0, row->rows * row->cols, block + row->offset);
    }
}

void dither_weights_describe(const dither_network *network, const float *block, const char *prefix,
                             dither_storage storage, dither_safetensor_out *tensors, char (*names)[DITHER_WEIGHTS_NAME])
{
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter *row = &network->table[i];
        (void)snprintf(names[i], DITHER_WEIGHTS_NAME, "%s%s", prefix, row->name);
        tensors[i] = (dither_safetensor_out){.name = names[i], .storage = storage, .data = block + row->offset};
        if (!row->vector)
            tensors[i].shape[tensors[i].dims++] = row->rows;
        tensors[i].shape[tensors[i].dims++] = row->cols;
    }
}

dither_status dither_weights_write(const dither_network *network, const char *folder, bool bf16, dither_error *error)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/model.safetensors", folder) >= sizeof path)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    dither_safetensor_out *tensors = calloc(network->table_count, sizeof *tensors);
    char(*names)[DITHER_WEIGHTS_NAME] = calloc(network->table_count, sizeof *names);
    dither_status status = DITHER_E_MEMORY;
    if (tensors && names) {
        const dither_metadata metadata = {"format", "pt"};
        dither_weights_describe(network, network->parameters, "", bf16 ? DITHER_STORAGE_BF16 : DITHER_STORAGE_F32,
                                tensors, names);
        status = dither_safetensors_write(path, tensors, network->table_count, &metadata, 1, error);
    } else {
        (void)dither_fail(error, status, path, "no memory");
    }
    free(tensors);
    free(names);
    return status;
}
