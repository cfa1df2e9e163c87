#include "model/export_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/atomic.h"
#include "file/config.h"
#include "file/mapping.h"
#include "file/vocabulary_files.h"
#include "model/export_metadata.h"

enum { PATH_BYTES = 4096 };
static const char config_name[] = "config.json";

/* ---- beside the weights ------------------------------------------------------------------------------------- */

static dither_status mark(const dither_gguf *file, const char *key, uint32_t *id, dither_error *error)
{
    uint64_t value = UINT32_MAX;
    bool found;
    const dither_status status = dither_gguf_u64(file, key, 0, UINT32_MAX, &value, &found, error);
    *id = (uint32_t)value;
    return status;
}

static dither_status make_beside(const char *folder, const dither_gguf *file, const dither_model_config *config,
                                 const char *type, dither_error *error)
{
    dither_config_marks marks;
    dither_status status = mark(file, "tokenizer.ggml.bos_token_id", &marks.bos, error);
    if (status == DITHER_OK)
        status = mark(file, "tokenizer.ggml.eos_token_id", &marks.eos, error);
    if (status == DITHER_OK)
        status = mark(file, "tokenizer.ggml.padding_token_id", &marks.pad, error);
    if (status == DITHER_OK)
        status = dither_vocabulary_from_gguf(file, config->ctx, folder, error);
    if (status == DITHER_OK)
        status = dither_export_metadata_keep(file, folder, error);
    return status == DITHER_OK ? dither_config_write(folder, config, type, &marks, error) : status;
}

static dither_status copy_beside(const char *folder, const char *source, const dither_model_config *config,
                                 const char *type, dither_error *error)
{
    bool copied = false;
    dither_status status = dither_vocabulary_copy(source, folder, error);
    if (status == DITHER_OK)
        status = dither_config_copy(source, folder, type, &copied, error);
    return status == DITHER_OK && !copied ? dither_config_write(folder, config, type, NULL, error) : status;
}

dither_status dither_export_beside(const char *folder, const char *source, const dither_model_config *config,
                                   dither_block_type type, dither_error *error)
{
    const char *word = type == DITHER_BLOCK_F16 ? "float16" : type == DITHER_BLOCK_BF16 ? "bfloat16" : "float32";
    if (!dither_gguf_is(source))
        return copy_beside(folder, source, config, word, error);
    dither_gguf *file = NULL;
    dither_status status = dither_gguf_open(&file, source, error);
    if (status == DITHER_OK)
        status = make_beside(folder, file, config, word, error);
    dither_gguf_close(file);
    return status;
}

/* ---- a folder in one piece ---------------------------------------------------------------------------------- */

static bool ends(const char *text, const char *back)
{
    const size_t length = strlen(text), tail = strlen(back);
    return length >= tail && strcmp(text + length - tail, back) == 0;
}

/* model-00001-of-00002.safetensors */
static bool is_shard(const char *name)
{
    static const char pattern[] = "model-00000-of-00000.safetensors";
    size_t i = 0;
    while (name[i] != '\0' && (pattern[i] == '0' ? name[i] >= '0' && name[i] <= '9' : name[i] == pattern[i]))
        i++;
    return name[i] == '\0' && pattern[i] == '\0';
}

/* A file of a model folder as they are written here. */
static bool is_ours(const char *name)
{
    for (const char *const *file = dither_vocabulary_files; *file != NULL; file++)
        if (strcmp(*file, name) == 0)
            return true;
    return strcmp(name, config_name) == 0 || strcmp(name, "model.safetensors") == 0 ||
           strcmp(name, "model.safetensors.index.json") == 0 || is_shard(name);
}

static bool join(char path[static PATH_BYTES], const char *folder, const char *name)
{
    return (size_t)snprintf(path, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES;
}

/* Calls body with each entry's name but "." and ".."; false: there is no such folder, or body said no. */
static bool each(const char *folder, bool (*body)(void *context, const char *name), void *context)
{
    DIR *list = opendir(folder);
    bool go = list != NULL;
    for (struct dirent *entry; go && (entry = readdir(list)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            go = body(context, entry->d_name);
    if (list != NULL)
        closedir(list);
    return go;
}

/* Whole or not. */
static bool remove_ours(void *context, const char *name)
{
    char path[PATH_BYTES], whole[256];
    const size_t stem = dither_temporary_stem(name);
    (void)snprintf(whole, sizeof whole, "%.*s", stem < sizeof whole ? (int)stem : (int)sizeof whole, name);
    if (is_ours(whole) && join(path, context, name))
        (void)unlink(path);
    return true;
}

void dither_export_folder_abandon(const char *temporary)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s", temporary);
    (void)each(temporary, remove_ours, path);
    (void)rmdir(temporary);
}

static bool nothing(void *context, const char *name)
{
    (void)context;
    (void)name;
    return false;
}

dither_status dither_export_folder_open(const char *folder, bool force, char *temporary, dither_error *error)
{
    struct stat info;
    char path[PATH_BYTES];
    temporary[0] = '\0';
    if (!join(path, folder, "state"))
        return dither_fail(error, DITHER_E_USAGE, folder, "the path is too long");
    if (stat(folder, &info) == 0 && !S_ISDIR(info.st_mode))
        return dither_fail(error, DITHER_E_USAGE, folder, "a file; a folder can be written, or a name that ends in "
                           ".gguf");
    if (stat(folder, &info) == 0 && !each(folder, nothing, NULL)) {
        if (!force)
            return dither_fail(error, DITHER_E_USAGE, folder, "it is there already; --force replaces the model in it");
        if (stat(path, &info) == 0)
            return dither_fail(error, DITHER_E_USAGE, folder, "it holds a training run, which goes on from its own "
                               "weights; name another folder");
    }
    return dither_folder_temporary(folder, temporary, PATH_BYTES, error);
}

typedef struct move {
    const char *from, *to;
    dither_status status;
    dither_error *error;
} move;

static const char old_ending[] = ".old";

/* The paths of a file in both folders. */
static bool places(move *m, const char *name, char from[static PATH_BYTES], char to[static PATH_BYTES])
{
    if (!join(from, m->from, name) || !join(to, m->to, name))
        m->status = dither_fail(m->error, DITHER_E_IO, m->to, "the path is too long");
    return m->status == DITHER_OK;
}

/* Whether a file can be put there: that is known before anything is. */
static bool check_place(void *context, const char *name)
{
    move *m = context;
    char from[PATH_BYTES], to[PATH_BYTES];
    struct stat info;
    if (places(m, name, from, to) && lstat(to, &info) == 0 && S_ISDIR(info.st_mode))
        m->status = dither_fail(m->error, DITHER_E_USAGE, to, "a folder, where a file of the model belongs");
    return m->status == DITHER_OK;
}

/* What a reader would take for the new model's: out of the way, where it can be had back. */
static bool set_aside(void *context, const char *name)
{
    move *m = context;
    char from[PATH_BYTES], to[PATH_BYTES], kept[PATH_BYTES + sizeof old_ending];
    struct stat info;
    if (!is_ours(name) || !places(m, name, from, to) || lstat(to, &info) != 0 || S_ISDIR(info.st_mode))
        return m->status == DITHER_OK;
    (void)snprintf(kept, sizeof kept, "%s%s", from, old_ending);
    m->status = dither_path_rename(to, kept, m->error);
    return m->status == DITHER_OK;
}

static bool move_file(void *context, const char *name)
{
    move *m = context;
    char from[PATH_BYTES], to[PATH_BYTES];
    if (is_ours(name) && strcmp(name, config_name) != 0 && places(m, name, from, to))
        m->status = dither_path_rename(from, to, m->error);
    return m->status == DITHER_OK;
}

static bool remove_moved(void *context, const char *name)
{
    const move *m = context;
    char to[PATH_BYTES];
    if (is_ours(name) && join(to, m->to, name))
        (void)unlink(to);
    return true;
}

static bool put_back(void *context, const char *name)
{
    const move *m = context;
    char from[PATH_BYTES], to[PATH_BYTES];
    if (ends(name, old_ending) && join(from, m->from, name) && join(to, m->to, name)) {
        to[strlen(to) - strlen(old_ending)] = '\0';
        (void)rename(from, to);
    }
    return true;
}

static bool remove_old(void *context, const char *name)
{
    const move *m = context;
    char from[PATH_BYTES];
    if (ends(name, old_ending) && join(from, m->from, name))
        (void)unlink(from);
    return true;
}

/*
 * The old config.json goes first and the new one comes last: what is there in between is no model to anybody. Until
 * then the old files are in the temporary folder, and come back where this fails.
 */
static dither_status replace_model(move *m)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    const bool read = each(m->from, check_place, m);
    if (!read && m->status == DITHER_OK)
        m->status = dither_fail_errno(m->error, m->from, "read the folder", errno);
    if (m->status != DITHER_OK || !set_aside(m, config_name))
        return m->status;
    (void)each(m->to, set_aside, m);
    const bool empty = m->status == DITHER_OK; /* of files of a model: what is there from here on is new */
    if (empty)
        (void)each(m->from, move_file, m);
    if (m->status == DITHER_OK && places(m, config_name, from, to))
        m->status = dither_path_rename(from, to, m->error);
    if (m->status == DITHER_OK) {
        (void)each(m->from, remove_old, m);
        return DITHER_OK;
    }
    if (empty)
        (void)each(m->to, remove_moved, m);
    (void)each(m->from, put_back, m);
    return m->status;
}

dither_status dither_export_folder_commit(const char *folder, const char *temporary, dither_error *error)
{
    /* A folder takes the place of an empty one. */
    if (access(folder, F_OK) != 0 || each(folder, nothing, NULL))
        return dither_path_rename(temporary, folder, error);
    move m = {.from = temporary, .to = folder, .status = DITHER_OK, .error = error};
    const dither_status status = replace_model(&m);
    if (status == DITHER_OK)
        (void)rmdir(temporary);
    return status;
}
