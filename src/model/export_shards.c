#include "model/export_shards.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/json_write.h"

enum { PATH_BYTES = 4096, NAME = 64, FILES_MAX = 99999 };

/* Number of the tensor behind the last one of the file that begins with `first`. */
static size_t shard_end(const dither_export_shards *shards, size_t first, uint64_t *bytes)
{
    size_t end = first;
    *bytes = 0;
    while (end < shards->plan->tensors) {
        const uint64_t more = dither_export_tensor_bytes(&shards->plan->tensor[end]);
        if (end > first && (*bytes > shards->limit || more > shards->limit - *bytes))
            break;
        *bytes += more;
        end++;
    }
    return end;
}

static void file_name(const dither_export_shards *shards, size_t number, char text[static NAME])
{
    if (shards->files == 1)
        (void)snprintf(text, NAME, "model.safetensors");
    else
        (void)snprintf(text, NAME, "model-%05zu-of-%05zu.safetensors", number + 1, shards->files);
}

static dither_storage storage_of(dither_block_type type)
{
    return type == DITHER_BLOCK_F16 ? DITHER_STORAGE_F16 : type == DITHER_BLOCK_BF16 ? DITHER_STORAGE_BF16
                                                                                      : DITHER_STORAGE_F32;
}

dither_status dither_export_shards_open(dither_export_shards *shards, const dither_export_plan *plan,
                                        const char *folder, uint64_t limit, dither_error *error)
{
    *shards = (dither_export_shards){.plan = plan, .folder = folder, .limit = limit};
    uint64_t bytes;
    for (size_t first = 0; first < plan->tensors; first = shard_end(shards, first, &bytes))
        shards->files++;
    if (shards->files > FILES_MAX)
        return dither_fail(error, DITHER_E_USAGE, folder, "%zu files of this size; at most %d are possible",
                           shards->files, FILES_MAX);
    return DITHER_OK;
}

static dither_status begin_file(dither_export_shards *shards, dither_error *error)
{
    const size_t first = shards->next, end = shard_end(shards, first, &shards->left);
    char path[PATH_BYTES], name[NAME];
    const dither_metadata metadata = {"format", "pt"};
    file_name(shards, shards->file, name);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", shards->folder, name) >= sizeof path)
        return dither_fail(error, DITHER_E_IO, shards->folder, "the path is too long");
    dither_safetensor_out *tensors = calloc(end - first, sizeof *tensors);
    if (tensors == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory for the names of %zu tensors", end - first);
    for (size_t i = first; i < end; i++) {
        const dither_export_tensor *tensor = &shards->plan->tensor[i];
        tensors[i - first] = (dither_safetensor_out){.name = tensor->name, .storage = storage_of(tensor->type),
                                                     .dims = tensor->vector ? 1 : 2,
                                                     .shape = {tensor->rows, tensor->cols}};
    }
    const dither_status status =
        dither_safetensors_writer_open(&shards->writer, path, tensors, end - first, &metadata, 1, error);
    free(tensors);
    shards->next = end;
    return status;
}

static dither_status end_file(dither_export_shards *shards, dither_error *error)
{
    dither_safetensors_writer *writer = shards->writer;
    shards->writer = NULL;
    shards->file++;
    return dither_safetensors_writer_commit(writer, error);
}

dither_status dither_export_shards_data(dither_export_shards *shards, const void *bytes, size_t size,
                                        dither_error *error)
{
    dither_status status = DITHER_OK;
    if (shards->writer == NULL)
        status = begin_file(shards, error);
    if (status != DITHER_OK)
        return status;
    assert(size <= shards->left);
    shards->left -= size;
    status = dither_safetensors_writer_data(shards->writer, bytes, size, error);
    return status == DITHER_OK && shards->left == 0 ? end_file(shards, error) : status;
}

static dither_status write_index(const dither_export_shards *shards, dither_error *error)
{
    char path[PATH_BYTES], name[NAME];
    if ((size_t)snprintf(path, sizeof path, "%s/model.safetensors.index.json", shards->folder) >= sizeof path)
        return dither_fail(error, DITHER_E_IO, shards->folder, "the path is too long");
    dither_json_writer writer;
    dither_status status = dither_json_writer_open(&writer, path, error);
    if (status != DITHER_OK)
        return status;
    uint64_t total = 0, bytes;
    for (size_t i = 0; i < shards->plan->tensors; i++)
        total += dither_export_tensor_bytes(&shards->plan->tensor[i]);
    dither_json_writer_print(&writer, "{\n  \"metadata\": {\"total_size\": %llu},\n  \"weight_map\": {",
                             (unsigned long long)total);
    for (size_t file = 0, first = 0; file < shards->files; file++) {
        const size_t end = shard_end(shards, first, &bytes);
        file_name(shards, file, name);
        for (size_t i = first; i < end; i++)
            dither_json_writer_print(&writer, "%s\n    \"%s\": \"%s\"", i > 0 ? "," : "", shards->plan->tensor[i].name,
                                     name);
        first = end;
    }
    dither_json_writer_text(&writer, "\n  }\n}\n");
    return dither_json_writer_commit(&writer);
}

dither_status dither_export_shards_commit(dither_export_shards *shards, dither_error *error)
{
    assert(shards->writer == NULL && shards->next == shards->plan->tensors);
    return shards->files > 1 ? write_index(shards, error) : DITHER_OK;
}

void dither_export_shards_abandon(dither_export_shards *shards)
{
    dither_safetensors_writer_abandon(shards->writer);
    shards->writer = NULL;
}
