#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

dither_status dither_weights_open(dither_safetensors **file, const char *folder, char *path, size_t size,
                                  dither_error *error)
{
    *file = NULL;
    if ((size_t)snprintf(path, size, "%s/model.safetensors", folder) >= size)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    return dither_safetensors_open(file, path, error);
}

/* Where a row lies in the file: as Hugging Face has it, or, under a prefix, as it lies in memory. */
static dither_parameter_place place_of(const dither_parameter *row, const char *prefix)
{
    if (!prefix)
        return row->hf;
    dither_parameter_place place = {.stacked = row->vector ? row->cols : row->rows};
    (void)snprintf(place.name, sizeof place.name, "%s%s", prefix, row->name);
    return place;
}

/* Hugging Face files call some tensors otherwise than the table. */
static const dither_safetensor *find(const dither_network *network, const dither_safetensors *file, const char *prefix,
                                     const char *name)
{
    const dither_safetensor *found = dither_safetensors_find(file, name);
    for (size_t i = 0; !found && !prefix && i < dither_safetensors_count(file); i++) {
        char text[DITHER_PARAMETER_NAME];
        const dither_safetensor *tensor = dither_safetensors_at(file, i);
        const char *known = dither_table_hf_name(&network->config, tensor->name, text);
        if (known && !strcmp(known, name))
            found = tensor;
    }
    return found;
}

/* @return dimensions of the tensor, which go to shape */
static size_t shape_of(const dither_parameter *row, const dither_parameter_place *place, size_t shape[2])
{
    if (row->vector) {
        shape[0] = place->stacked;
        return 1;
    }
    shape[place->transposed] = place->stacked;
    shape[!place->transposed] = row->cols;
    return 2;
}

static bool same_shape(const dither_safetensor *tensor, size_t dims, const size_t *shape)
{
    for (size_t d = 0; d < dims && d < tensor->dims; d++)
        if (tensor->shape[d] != shape[d])
            return false;
    return tensor->dims == dims;
}

static void print_shape(const dither_safetensor *tensor, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < tensor->dims && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%llu", i ? "x" : "", (unsigned long long)tensor->shape[i]);
}

static dither_status check_row(const dither_parameter *row, const dither_parameter_place *place,
                               const dither_safetensor *tensor, const char *path, dither_error *error)
{
    if (!tensor)
        return dither_fail(error, DITHER_E_SHAPE, path, "no tensor %s, which a model of this config.json has",
                           place->name);
    size_t wanted[2];
    const size_t dims = shape_of(row, place, wanted);
    if (!same_shape(tensor, dims, wanted)) {
        char shape[128], text[64];
        print_shape(tensor, shape, sizeof shape);
        if (dims == 1)
            (void)snprintf(text, sizeof text, "%zu", wanted[0]);
        else
            (void)snprintf(text, sizeof text, "%zux%zu", wanted[0], wanted[1]);
        return dither_fail(error, DITHER_E_SHAPE, path, "tensor %s has shape %s; this model's is %s", place->name,
                           shape, text);
    }
    if (tensor->storage != DITHER_STORAGE_F32 && tensor->storage != DITHER_STORAGE_BF16 &&
        tensor->storage != DITHER_STORAGE_F16)
        return dither_fail(error, DITHER_E_FORMAT, path, "tensor %s is stored as %s; F32, BF16 and F16 can be read",
                           place->name, tensor->dtype);
    return DITHER_OK;
}

static bool in_table(const dither_network *network, const char *prefix, const char *name)
{
    char text[DITHER_PARAMETER_NAME];
    const char *known = prefix ? name : dither_table_hf_name(&network->config, name, text);
    if (!known)
        return true;
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter_place place = place_of(&network->table[i], prefix);
        if (!strcmp(place.name, known))
            return true;
    }
    return false;
}

dither_status dither_weights_check(const dither_network *network, const dither_safetensors *file, const char *prefix,
                                   const char *path, dither_error *error)
{
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter *row = &network->table[i];
        const dither_parameter_place place = place_of(row, prefix);
        const dither_status status = check_row(row, &place, find(network, file, prefix, place.name), path, error);
        if (status)
            return status;
    }
    const size_t length = prefix ? strlen(prefix) : 0;
    for (size_t i = 0; i < dither_safetensors_count(file); i++) {
        const char *name = dither_safetensors_at(file, i)->name;
        if ((!prefix || !strncmp(name, prefix, length)) && !in_table(network, prefix, name))
            return dither_fail(error, DITHER_E_SHAPE, path, "tensor %s is not part of a model of this config.json",
                               name);
    }
    return DITHER_OK;
}

/* A transposed matrix comes a piece of a row of the file at a time. */
static void load_transposed(const dither_parameter *row, const dither_parameter_place *place,
                            const dither_safetensor *tensor, float *w)
{
    float piece[256];
    for (size_t j = 0; j < row->cols; j++)
        for (size_t first = 0, count; first < row->rows; first += count) {
            count = row->rows - first < COUNT(piece) ? row->rows - first : COUNT(piece);
            dither_safetensor_f32(tensor, j * place->stacked + place->from + first, count, piece);
            for (size_t i = 0; i < count; i++)
                w[(first + i) * row->cols + j] = piece[i];
        }
}

void dither_weights_load(const dither_network *network, const dither_safetensors *file, const char *prefix,
                         float *block)
{
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter *row = &network->table[i];
        const dither_parameter_place place = place_of(row, prefix);
        const dither_safetensor *tensor = find(network, file, prefix, place.name);
        const size_t count = row->rows * row->cols;
        float *w = block + row->offset;
        if (place.transposed)
            load_transposed(row, &place, tensor, w);
        else
            dither_safetensor_f32(tensor, place.from * (row->vector ? 1 : row->cols), count, w);
        for (size_t k = 0; place.plus_one && k < count; k++)
            w[k] += 1;
    }
}

void dither_weights_describe(const dither_network *network, const float *block, const char *prefix,
                             dither_storage storage, dither_safetensor_out *tensors, char (*names)[DITHER_WEIGHTS_NAME])
{
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter *row = &network->table[i];
        const dither_parameter_place place = place_of(row, prefix);
        (void)snprintf(names[i], DITHER_WEIGHTS_NAME, "%s", place.name);
        tensors[i] = (dither_safetensor_out){.name = names[i], .storage = storage, .data = block + row->offset};
        if (!row->vector)
            tensors[i].shape[tensors[i].dims++] = row->rows;
        tensors[i].shape[tensors[i].dims++] = row->cols;
    }
}
