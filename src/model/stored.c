#include "model/stored.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "file/config.h"
#include "file/config_gguf.h"
#include "file/kind.h"
#include "file/safetensors_shards.h"

enum { PATH_BYTES = 4096 };

struct dither_source {
    char path[PATH_BYTES];   /* as given */
    const char *file;        /* that holds the tensors, for messages; of shards the path */
    dither_shards *shards;   /* or */
    dither_gguf *gguf;
};

/* A tensor of either kind of file. */
typedef struct tensor {
    const char *name, *file;
    const char *type_name;
    bool readable;
    dither_block_type type;
    size_t dims;
    uint64_t shape[DITHER_SAFETENSORS_DIMS]; /* slowest first */
    const unsigned char *data;
} tensor;

/* By its name where it cannot be read, so that the error is about what was meant. */
static bool is_gguf(const char *path)
{
    return dither_name_ends(path, ".gguf") || dither_gguf_is(path);
}

static dither_status open_safetensors(dither_source *source, dither_error *error)
{
    const dither_status status = dither_shards_open(&source->shards, source->path, error);
    if (!status && dither_shards_files(source->shards) == 1 && dither_shards_count(source->shards) > 0)
        source->file = dither_shards_path(source->shards, dither_shards_at(source->shards, 0));
    return status;
}

dither_status dither_source_open(dither_source **source, const char *path, dither_error *error)
{
    *source = NULL;
    dither_source *opened = calloc(1, sizeof *opened);
    if (!opened)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory");
    dither_status status = DITHER_OK;
    opened->file = opened->path;
    if ((size_t)snprintf(opened->path, PATH_BYTES, "%s", path) >= PATH_BYTES) {
        status = dither_fail(error, DITHER_E_IO, path, "the path is too long");
    } else if (is_gguf(path)) {
        status = dither_gguf_open(&opened->gguf, path, error);
    } else {
        status = open_safetensors(opened, error);
    }
    if (status)
        dither_source_close(opened);
    else
        *source = opened;
    return status;
}

void dither_source_close(dither_source *source)
{
    if (!source)
        return;
    dither_shards_close(source->shards);
    dither_gguf_close(source->gguf);
    free(source);
}

void dither_source_forget(const dither_source *source)
{
    if (source->gguf)
        dither_gguf_forget(source->gguf);
    for (size_t i = 0; source->shards && i < dither_shards_files(source->shards); i++)
        dither_safetensors_forget(dither_shards_file(source->shards, i));
}

const dither_gguf *dither_source_gguf(const dither_source *source)
{
    return source->gguf;
}

/* @param gguf  NULL: a folder's config.json */
static dither_status read_config(const char *path, const dither_gguf *gguf, dither_model_config *config,
                                 dither_error *error)
{
    dither_status status =
        gguf ? dither_config_from_gguf(gguf, config, error) : dither_config_read(path, config, error);
    if (!status)
        status = dither_model_config_check(config, error);
    if (status == DITHER_E_USAGE) { /* the file's fault, not that of an option */
        char where[PATH_BYTES + 16];
        (void)snprintf(where, sizeof where, "%s%s", path, gguf ? "" : "/config.json");
        status = dither_fail(error, DITHER_E_FORMAT, where, "%s", error ? error->text : "");
    }
    return status;
}

dither_status dither_source_config(const dither_source *source, dither_model_config *config, dither_error *error)
{
    return read_config(source->path, source->gguf, config, error);
}

dither_status dither_model_config_read(const char *path, dither_model_config *config, dither_error *error)
{
    if (!is_gguf(path))
        return read_config(path, NULL, config, error);
    dither_source *source = NULL;
    dither_status status = dither_source_open(&source, path, error);
    if (!status)
        status = dither_source_config(source, config, error);
    dither_source_close(source);
    return status;
}

/* ---- tensors of either file --------------------------------------------------------------------------------- */

static tensor from_safetensors(const dither_source *source, const dither_safetensor *found)
{
    tensor t = {.name = found->name,
                .file = dither_shards_path(source->shards, found),
                .type_name = found->dtype,
                .dims = found->dims,
                .data = found->data};
    t.readable = found->storage == DITHER_STORAGE_F32 || found->storage == DITHER_STORAGE_F16 ||
                 found->storage == DITHER_STORAGE_BF16;
    t.type = found->storage == DITHER_STORAGE_F32   ? DITHER_BLOCK_F32
             : found->storage == DITHER_STORAGE_F16 ? DITHER_BLOCK_F16
                                                    : DITHER_BLOCK_BF16;
    memcpy(t.shape, found->shape, sizeof t.shape);
    return t;
}

static tensor from_gguf(const dither_source *source, const dither_gguf_tensor *found)
{
    tensor t = {.name = found->name,
                .file = source->file,
                .type_name = dither_block_info_of(found->type)->name,
                .readable = true,
                .type = found->type,
                .dims = found->dims,
                .data = found->data};
    for (size_t d = 0; d < found->dims; d++)
        t.shape[d] = found->shape[found->dims - 1 - d];
    return t;
}

static size_t tensor_count(const dither_source *source)
{
    return source->gguf ? dither_gguf_tensors(source->gguf) : dither_shards_count(source->shards);
}

static tensor tensor_at(const dither_source *source, size_t index)
{
    return source->gguf ? from_gguf(source, dither_gguf_tensor_at(source->gguf, index))
                        : from_safetensors(source, dither_shards_at(source->shards, index));
}

/* What the table calls a tensor of the file; NULL: no result depends on it. @param text  [DITHER_PARAMETER_NAME] */
static const char *known_name(const dither_source *source, const dither_model_config *config, const char *name,
                              char *text)
{
    if (source->gguf)
        return dither_table_gguf_ignored(name) ? NULL : name;
    return dither_table_hf_name(config, name, text);
}

static bool find_tensor(const dither_source *source, const dither_model_config *config, const char *name, tensor *t)
{
    const dither_gguf_tensor *in_gguf = source->gguf ? dither_gguf_find(source->gguf, name) : NULL;
    const dither_safetensor *in_shards = source->gguf ? NULL : dither_shards_find(source->shards, name);
    if (in_gguf || in_shards) {
        *t = in_gguf ? from_gguf(source, in_gguf) : from_safetensors(source, in_shards);
        return true;
    }
    for (size_t i = 0; !source->gguf && i < tensor_count(source); i++) {
        char text[DITHER_PARAMETER_NAME];
        *t = tensor_at(source, i);
        const char *known = known_name(source, config, t->name, text);
        if (known && !strcmp(known, name))
            return true;
    }
    return false;
}

static const dither_parameter_place *place_of(const dither_source *source, const dither_parameter *row)
{
    return source->gguf ? &row->gguf : &row->hf;
}

/* ---- what the table asks for -------------------------------------------------------------------------------- */

static void print_shape(size_t dims, const uint64_t *shape, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < dims && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? "x" : "", (unsigned long long)shape[i]);
}

/* The shape that the file's tensor must have. @return dimensions */
static size_t wanted_shape(const dither_parameter *row, const dither_parameter_place *place, uint64_t *shape)
{
    if (row->vector) {
        shape[0] = place->stacked;
        return 1;
    }
    shape[0] = place->transposed ? row->cols : place->stacked;
    shape[1] = place->transposed ? place->stacked : row->cols;
    return 2;
}

static dither_status check_tensor(const dither_parameter *row, const dither_parameter_place *place, const tensor *t,
                                  dither_error *error)
{
    uint64_t wanted[2] = {0};
    const size_t dims = wanted_shape(row, place, wanted);
    if (t->dims != dims || memcmp(t->shape, wanted, dims * sizeof *wanted) != 0) {
        char text[128], wanted_text[64];
        print_shape(t->dims, t->shape, text, sizeof text);
        print_shape(dims, wanted, wanted_text, sizeof wanted_text);
        return dither_fail(error, DITHER_E_SHAPE, t->file, "tensor %s has shape %s; this model's is %s", t->name,
                           text, wanted_text);
    }
    if (!t->readable)
        return dither_fail(error, DITHER_E_FORMAT, t->file,
                           "tensor %s is stored as %s; F32, BF16 and F16 can be read", t->name, t->type_name);
    if ((row->vector || place->transposed) && dither_block_info_of(t->type)->values != 1)
        return dither_fail(error, DITHER_E_FORMAT, t->file, "tensor %s is stored as %s; f32, bf16 or f16 is right",
                           t->name, t->type_name);
    return DITHER_OK;
}

/* A vector is a column: so its elements may lie in an order of their own as rows may. */
static dither_stored stored_in(const dither_parameter *row, const dither_parameter_place *place, const tensor *t)
{
    dither_stored stored = {.type = t->type,
                            .rows = row->vector ? row->cols : row->rows,
                            .cols = row->vector ? 1 : row->cols,
                            .transposed = place->transposed,
                            .interleaved = place->heads,
                            .plus_one = place->plus_one};
    const size_t row_values = place->transposed ? place->stacked : stored.cols;
    stored.stride = dither_block_row_bytes(t->type, row_values);
    assert(stored.stride != SIZE_MAX);
    stored.data = t->data + place->from * (place->transposed ? dither_block_info_of(t->type)->bytes : stored.stride);
    return stored;
}

static dither_status check_extra(const dither_source *source, const dither_model_config *config,
                                 const dither_parameter *table, size_t count, dither_error *error)
{
    for (size_t i = 0; i < tensor_count(source); i++) {
        const tensor t = tensor_at(source, i);
        char text[DITHER_PARAMETER_NAME];
        const char *name = known_name(source, config, t.name, text);
        bool known = !name;
        for (size_t k = 0; k < count && !known; k++)
            known = !strcmp(place_of(source, &table[k])->name, name);
        if (!known)
            return dither_fail(error, DITHER_E_SHAPE, t.file, "tensor %s is not part of a model of %s", t.name,
                               source->gguf ? "this metadata" : "this config.json");
    }
    return DITHER_OK;
}

dither_status dither_source_find(const dither_source *source, const dither_model_config *config,
                                 const dither_parameter *table, size_t count, dither_stored *stored,
                                 dither_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const dither_parameter_place *place = place_of(source, &table[i]);
        tensor t;
        if (!find_tensor(source, config, place->name, &t))
            return dither_fail(error, DITHER_E_SHAPE, source->file, "no tensor %s, which a model of %s has",
                               place->name, source->gguf ? "this metadata" : "this config.json");
        const dither_status status = check_tensor(&table[i], place, &t, error);
        if (status)
            return status;
        stored[i] = stored_in(&table[i], place, &t);
    }
    return check_extra(source, config, table, count, error);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

enum { LOAD_VALUES = 1 << 18 }; /* of a piece */

typedef struct load_job {
    const dither_stored *stored;
    size_t rows; /* of a piece */
    float *out;
} load_job;

static void load_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const load_job *job = context;
    const size_t first = index * job->rows, left = job->stored->rows - first;
    dither_stored_rows(job->stored, first, left < job->rows ? left : job->rows, job->out + first * job->stored->cols);
}

void dither_stored_load(const dither_parameter *table, size_t count, const dither_stored *stored, float *block,
                        int threads)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].offset == DITHER_OFFSET_STORED)
            continue;
        load_job job = {.stored = &stored[i], .rows = LOAD_VALUES / stored[i].cols + 1,
                        .out = block + table[i].offset};
        dither_parallel_for(threads, (stored[i].rows + job.rows - 1) / job.rows, load_piece, &job);
    }
}
