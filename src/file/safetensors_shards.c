#include "file/safetensors_shards.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "file/json.h"

enum { INDEX_LIMIT = 64 << 20, PATH_SIZE = 4096 };
static const char SINGLE[] = "model.safetensors", INDEX[] = "model.safetensors.index.json", SUFFIX[] = ".safetensors";

typedef struct shard {
    char *path;
    dither_safetensors *file;
} shard;

struct dither_shards {
    shard *shards;
    size_t shard_count;
    const dither_safetensor **tensors, **by_name;
    size_t count;
};

typedef struct item {
    const char *tensor, *file;
} item;

/* What one opening knows: the index, and its map sorted by the tensors' names. */
typedef struct opening {
    const char *path; /* of the index */
    item *items;
    size_t count;
    dither_error *error;
} opening;

static dither_status no_memory(const char *path, dither_error *error)
{
    return dither_fail(error, DITHER_E_MEMORY, path, "no memory to open it");
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

/* ---- tensors of all shards ---------------------------------------------------------------------------------- */

static int compare_tensors(const void *a, const void *b)
{
    const dither_safetensor *const *x = a;
    const dither_safetensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Lists the tensors of all shards once all of them are open. */
static dither_status list_tensors(dither_shards *opened, const char *path, dither_error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < opened->shard_count; i++)
        count += dither_safetensors_count(opened->shards[i].file);
    opened->tensors = calloc(count + 1, sizeof *opened->tensors);
    opened->by_name = calloc(count + 1, sizeof *opened->by_name);
    if (opened->tensors == NULL || opened->by_name == NULL)
        return no_memory(path, error);
    for (size_t i = 0; i < opened->shard_count; i++)
        for (size_t k = 0; k < dither_safetensors_count(opened->shards[i].file); k++)
            opened->tensors[opened->count++] = dither_safetensors_at(opened->shards[i].file, k);
    if (count > 0)
        memcpy(opened->by_name, opened->tensors, count * sizeof *opened->tensors);
    qsort(opened->by_name, count, sizeof *opened->by_name, compare_tensors);
    return DITHER_OK;
}

static dither_status open_shard(dither_shards *opened, const char *path, dither_error *error)
{
    shard *one = &opened->shards[opened->shard_count];
    one->path = strdup(path);
    if (one->path == NULL)
        return no_memory(path, error);
    opened->shard_count++;
    return dither_safetensors_open(&one->file, path, error);
}

/* ---- the index ---------------------------------------------------------------------------------------------- */

static int compare_items(const void *a, const void *b)
{
    const item *x = a, *y = b;
    return strcmp(x->tensor, y->tensor);
}

static int compare_files(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

/* A shard lies beside the index: a name that leads elsewhere is no shard. */
static dither_status check_entry(const opening *in, const cJSON *entry)
{
    if (!dither_json_printable(entry->string))
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "the name of a tensor holds control characters");
    if (!cJSON_IsString(entry) || !dither_json_printable(entry->valuestring))
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "\"weight_map\": tensor %.200s must have the name of a file", entry->string);
    const char *file = entry->valuestring;
    if (strchr(file, '/') != NULL || strchr(file, '\\') != NULL || file[0] == '.' || !ends_with(file, SUFFIX))
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "\"weight_map\": tensor %.100s is in \"%.200s\"; a shard is a file beside the index whose "
                           "name ends in .safetensors",
                           entry->string, file);
    return DITHER_OK;
}

static dither_status read_map(opening *in, const cJSON *root)
{
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map");
    if (!cJSON_IsObject(map) || map->child == NULL)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "it must have \"weight_map\", an object of tensors and their files");
    in->items = calloc((size_t)cJSON_GetArraySize(map), sizeof *in->items);
    if (in->items == NULL)
        return no_memory(in->path, in->error);
    for (const cJSON *entry = map->child; entry != NULL; entry = entry->next) {
        const dither_status status = check_entry(in, entry);
        if (status != DITHER_OK)
            return status;
        in->items[in->count++] = (item){entry->string, entry->valuestring};
    }
    qsort(in->items, in->count, sizeof *in->items, compare_items);
    for (size_t i = 1; i < in->count; i++)
        if (strcmp(in->items[i - 1].tensor, in->items[i].tensor) == 0)
            return dither_fail(in->error, DITHER_E_FORMAT, in->path, "\"weight_map\" has tensor %.200s twice",
                               in->items[i].tensor);
    return DITHER_OK;
}

/* Opens every file of the map once, in the order of their names. */
static dither_status open_files(const opening *in, dither_shards *opened)
{
    const char **files = calloc(in->count, sizeof *files);
    opened->shards = calloc(in->count, sizeof *opened->shards);
    if (files == NULL || opened->shards == NULL) {
        free(files);
        return no_memory(in->path, in->error);
    }
    for (size_t i = 0; i < in->count; i++)
        files[i] = in->items[i].file;
    qsort(files, in->count, sizeof *files, compare_files);
    const char *slash = strrchr(in->path, '/');
    const int folder = slash == NULL ? 0 : (int)(slash - in->path) + 1;
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < in->count && status == DITHER_OK; i++) {
        char path[PATH_SIZE];
        struct stat there;
        if (i > 0 && strcmp(files[i - 1], files[i]) == 0)
            continue;
        if ((size_t)snprintf(path, sizeof path, "%.*s%s", folder, in->path, files[i]) >= sizeof path)
            status = dither_fail(in->error, DITHER_E_IO, in->path, "the path of shard %.100s is too long", files[i]);
        else if (stat(path, &there) != 0)
            status = dither_fail(in->error, DITHER_E_IO, in->path, "its shard %.200s is missing; download it too",
                                 files[i]);
        else
            status = open_shard(opened, path, in->error);
    }
    free(files);
    return status;
}

static const char *name_in_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/*
 * Every tensor of every shard is where the map says; then none is in two shards. With as many tensors as the map has,
 * none of those is missing.
 */
static dither_status check_map(const opening *in, const dither_shards *opened)
{
    for (size_t i = 0; i < opened->shard_count; i++) {
        const char *path = opened->shards[i].path;
        for (size_t k = 0; k < dither_safetensors_count(opened->shards[i].file); k++) {
            const char *name = dither_safetensors_at(opened->shards[i].file, k)->name;
            const item key = {.tensor = name};
            const item *found = bsearch(&key, in->items, in->count, sizeof *in->items, compare_items);
            if (found == NULL)
                return dither_fail(in->error, DITHER_E_FORMAT, path, "tensor %.200s is not in the index %.200s", name,
                                   name_in_path(in->path));
            if (strcmp(found->file, name_in_path(path)) != 0)
                return dither_fail(in->error, DITHER_E_FORMAT, path,
                                   "tensor %.200s belongs in %.200s, says the index", name, found->file);
        }
    }
    for (size_t i = 0; i < in->count; i++)
        if (dither_shards_find(opened, in->items[i].tensor) == NULL)
            return dither_fail(in->error, DITHER_E_FORMAT, in->path, "tensor %.200s is not in its shard %.200s",
                               in->items[i].tensor, in->items[i].file);
    return DITHER_OK;
}

static dither_status open_index(dither_shards *opened, const char *path, dither_error *error)
{
    cJSON *root = NULL;
    opening in = {.path = path, .error = error};
    dither_status status = dither_json_file(path, INDEX_LIMIT, &root, error);
    if (status == DITHER_OK)
        status = read_map(&in, root);
    if (status == DITHER_OK)
        status = open_files(&in, opened);
    if (status == DITHER_OK)
        status = list_tensors(opened, path, error);
    if (status == DITHER_OK)
        status = check_map(&in, opened);
    free(in.items);
    cJSON_Delete(root);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static dither_status open_single(dither_shards *opened, const char *path, dither_error *error)
{
    opened->shards = calloc(1, sizeof *opened->shards);
    if (opened->shards == NULL)
        return no_memory(path, error);
    const dither_status status = open_shard(opened, path, error);
    return status == DITHER_OK ? list_tensors(opened, path, error) : status;
}

static dither_status open_path(dither_shards *opened, const char *path, dither_error *error)
{
    struct stat there;
    if (stat(path, &there) != 0 || !S_ISDIR(there.st_mode))
        return ends_with(path, ".json") ? open_index(opened, path, error) : open_single(opened, path, error);
    char single[PATH_SIZE], index[PATH_SIZE];
    if ((size_t)snprintf(single, sizeof single, "%s/%s", path, SINGLE) >= sizeof single ||
        (size_t)snprintf(index, sizeof index, "%s/%s", path, INDEX) >= sizeof index)
        return dither_fail(error, DITHER_E_IO, path, "the path is too long");
    const bool sharded = stat(single, &there) != 0 && stat(index, &there) == 0;
    return sharded ? open_index(opened, index, error) : open_single(opened, single, error);
}

dither_status dither_shards_open(dither_shards **shards, const char *path, dither_error *error)
{
    *shards = NULL;
    dither_shards *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return no_memory(path, error);
    const dither_status status = open_path(opened, path, error);
    if (status == DITHER_OK)
        *shards = opened;
    else
        dither_shards_close(opened);
    return status;
}

void dither_shards_close(dither_shards *shards)
{
    if (shards == NULL)
        return;
    for (size_t i = 0; i < shards->shard_count; i++) {
        free(shards->shards[i].path);
        dither_safetensors_close(shards->shards[i].file);
    }
    free(shards->shards);
    free(shards->tensors);
    free(shards->by_name);
    free(shards);
}

size_t dither_shards_count(const dither_shards *shards)
{
    return shards->count;
}

const dither_safetensor *dither_shards_at(const dither_shards *shards, size_t i)
{
    assert(i < shards->count);
    return shards->tensors[i];
}

const dither_safetensor *dither_shards_find(const dither_shards *shards, const char *name)
{
    const dither_safetensor key = {.name = name};
    const dither_safetensor *pointer = &key;
    const dither_safetensor **found =
        bsearch(&pointer, shards->by_name, shards->count, sizeof *shards->by_name, compare_tensors);
    return found == NULL ? NULL : *found;
}

const char *dither_shards_path(const dither_shards *shards, const dither_safetensor *tensor)
{
    size_t i = 0;
    while (i + 1 < shards->shard_count && dither_safetensors_find(shards->shards[i].file, tensor->name) != tensor)
        i++;
    return shards->shards[i].path;
}

size_t dither_shards_files(const dither_shards *shards)
{
    return shards->shard_count;
}

const dither_safetensors *dither_shards_file(const dither_shards *shards, size_t i)
{
    assert(i < shards->shard_count);
    return shards->shards[i].file;
}
