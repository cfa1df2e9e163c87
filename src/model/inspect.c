/* What a model's files hold, without opening it as a model. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/text.h"
#include "dither/model.h"
#include "file/gguf.h"
#include "file/kind.h"
#include "file/mapping.h"
#include "file/safetensors_shards.h"

typedef bool visit_tensor(void *context, const dither_tensor_info *info);

static bool visit_safetensor(const dither_safetensor *tensor, visit_tensor *visit, void *context)
{
    dither_tensor_info info = {
        .name = tensor->name, .type = tensor->dtype, .rows = 1, .cols = 1, .bytes = tensor->bytes};
    for (size_t d = 0; d + 1 < tensor->dims; d++)
        info.rows *= (size_t)tensor->shape[d];
    if (tensor->dims)
        info.cols = (size_t)tensor->shape[tensor->dims - 1];
    return visit(context, &info);
}

static bool visit_gguf_tensor(const dither_gguf_tensor *tensor, visit_tensor *visit, void *context)
{
    char type[16] = "";
    const char *name = dither_block_info_of(tensor->type)->name;
    for (size_t i = 0; name[i] != 0 && i + 1 < sizeof type; i++)
        type[i] = (char)toupper((unsigned char)name[i]);
    dither_tensor_info info = {
        .name = tensor->name, .type = type, .rows = 1, .cols = (size_t)tensor->shape[0], .bytes = tensor->bytes};
    for (size_t d = 1; d < tensor->dims; d++)
        info.rows *= (size_t)tensor->shape[d];
    return visit(context, &info);
}

dither_status dither_model_inspect(const char *path, bool (*visit)(void *context, const dither_tensor_info *info),
                                   void *context, dither_error *error)
{
    dither_gguf *gguf = NULL;
    dither_shards *shards = NULL;
    const bool is_gguf = dither_gguf_is(path);
    const dither_status status =
        is_gguf ? dither_gguf_open(&gguf, path, error) : dither_shards_open(&shards, path, error);
    if (status)
        return status;
    bool go_on = true;
    const size_t count = is_gguf ? dither_gguf_tensors(gguf) : dither_shards_count(shards);
    for (size_t i = 0; i < count && go_on; i++)
        go_on = is_gguf ? visit_gguf_tensor(dither_gguf_tensor_at(gguf, i), visit, context)
                        : visit_safetensor(dither_shards_at(shards, i), visit, context);
    dither_gguf_close(gguf);
    dither_shards_close(shards);
    return DITHER_OK;
}

bool dither_model_is_gguf(const char *path)
{
    return dither_gguf_is(path);
}

bool dither_model_is_safetensors(const char *path)
{
    return dither_name_ends(path, ".safetensors") || dither_file_is_safetensors(path);
}

/* ---- what a path is ---------------------------------------------------------------------------------------- */

enum { PATH_BYTES = 4096 };

static bool is_there(const char *folder, int length, const char *name)
{
    char path[PATH_BYTES];
    struct stat info;
    return (size_t)snprintf(path, sizeof path, "%.*s/%s", length, folder, name) < sizeof path && !stat(path, &info);
}

/* The first GGUF file of a folder, by name. */
static bool find_gguf(const char *folder, char name[static 256])
{
    DIR *directory = opendir(folder);
    name[0] = 0;
    for (const struct dirent *entry; directory && (entry = readdir(directory)) != NULL;)
        if (dither_name_ends(entry->d_name, ".gguf") && strlen(entry->d_name) < 256 &&
            (!name[0] || strcmp(entry->d_name, name) < 0))
            (void)snprintf(name, 256, "%s", entry->d_name);
    if (directory)
        (void)closedir(directory);
    return name[0] != 0;
}

static dither_status check_folder(const char *path, dither_error *error)
{
    char name[256];
    if (is_there(path, (int)strlen(path), "config.json"))
        return DITHER_OK;
    if (find_gguf(path, name))
        return dither_fail(error, DITHER_E_FORMAT, path,
                           "not a model folder: there is no config.json in it; did you mean %s/%s?", path, name);
    return dither_fail(error, DITHER_E_FORMAT, path, "not a model folder: there is no config.json in it");
}

dither_status dither_model_check_path(const char *path, dither_error *error)
{
    struct stat info;
    if (stat(path, &info))
        return dither_fail_errno(error, path, "open", errno);
    if (S_ISDIR(info.st_mode))
        return check_folder(path, error);
    if (dither_gguf_is(path))
        return DITHER_OK;
    const char *const kind = dither_file_kind(path), *const slash = strrchr(path, '/');
    if (dither_name_ends(path, ".gguf"))
        return dither_fail(error, DITHER_E_FORMAT, path,
                           "not a GGUF file, as its name says: it does not begin with GGUF; it seems to be %s", kind);
    if (slash && is_there(path, (int)(slash - path), "config.json"))
        return dither_fail(error, DITHER_E_FORMAT, path,
                           "not a model folder but a file of one, %s; did you mean %.*s?", kind, (int)(slash - path),
                           path);
    return dither_fail(error, DITHER_E_FORMAT, path,
                       "not a model folder (one with config.json), and no GGUF file; it seems to be %s", kind);
}

/* ---- metadata ---------------------------------------------------------------------------------------------- */

static void print_float(double value, int digits, char *text, size_t size)
{
    if (isfinite(value))
        dither_text_print_f64(value, digits, text, size);
    else
        (void)snprintf(text, size, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

/* A number or a truth value: as its type's bytes say, which are there. */
static void print_number(const dither_gguf_value *value, char *text, size_t size)
{
    uint64_t bits = 0;
    const size_t bytes = dither_gguf_type_bytes(value->type);
    memcpy(&bits, value->at, bytes);
    const unsigned unused = (unsigned)(64 - 8 * bytes);
    float narrow;
    double wide;
    switch (value->type) {
    case DITHER_GGUF_BOOL: (void)snprintf(text, size, "%s", bits ? "true" : "false"); break;
    case DITHER_GGUF_F32:
        memcpy(&narrow, value->at, sizeof narrow);
        print_float((double)narrow, 7, text, size);
        break;
    case DITHER_GGUF_F64:
        memcpy(&wide, value->at, sizeof wide);
        print_float(wide, 15, text, size);
        break;
    case DITHER_GGUF_I8:
    case DITHER_GGUF_I16:
    case DITHER_GGUF_I32:
    case DITHER_GGUF_I64: /* the sign, moved up to the top and back */
        (void)snprintf(text, size, "%" PRId64, (int64_t)(bits << unused) >> unused);
        break;
    default: (void)snprintf(text, size, "%" PRIu64, bits);
    }
}

static bool visit_value(const dither_gguf_value *value, bool (*visit)(void *, const dither_metadata_info *),
                        void *context)
{
    char number[40];
    dither_metadata_info info = {.key = value->key, .key_length = value->key_length, .count = 1,
                                 .type = dither_gguf_type_name(value->type)};
    if (value->type == DITHER_GGUF_ARRAY) {
        uint32_t type;
        memcpy(&type, value->at, sizeof type);
        memcpy(&info.count, value->at + sizeof type, sizeof info.count);
        info.type = dither_gguf_type_name(type);
        info.array = true;
    } else if (value->type == DITHER_GGUF_STRING) {
        info.text = (const char *)value->at + sizeof(uint64_t);
        info.length = value->bytes - sizeof(uint64_t);
    } else {
        print_number(value, number, sizeof number);
        info.text = number;
        info.length = strlen(number);
    }
    return visit(context, &info);
}

dither_status dither_model_metadata(const char *path, bool (*visit)(void *context, const dither_metadata_info *info),
                                    void *context, dither_error *error)
{
    dither_gguf *file = NULL;
    const dither_status status = dither_gguf_open(&file, path, error);
    if (status)
        return status;
    for (size_t i = 0; i < dither_gguf_metadata(file); i++)
        if (!visit_value(dither_gguf_metadata_at(file, i), visit, context))
            break;
    dither_gguf_close(file);
    return DITHER_OK;
}
