#include "data/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "file/mapping.h"

/* Appends a copy of folder/name, or of folder alone where name is NULL. */
static dither_status append(dither_files *files, const char *folder, const char *name, dither_error *error)
{
    if (files->count == files->capacity) {
        size_t capacity = files->capacity == 0 ? 16 : 2 * files->capacity;
        char **paths = realloc(files->paths, capacity * sizeof *paths);
        if (paths == NULL)
            return dither_fail(error, DITHER_E_MEMORY, folder, "no memory for a list of %zu files", capacity);
        files->paths = paths;
        files->capacity = capacity;
    }
    size_t length = strlen(folder), more = name == NULL ? 0 : strlen(name) + 1;
    char *path = malloc(length + more + 1);
    if (path == NULL)
        return dither_fail(error, DITHER_E_MEMORY, folder, "no memory for a list of its files");
    memcpy(path, folder, length);
    if (name != NULL) {
        bool slash = length > 0 && folder[length - 1] == '/';
        if (!slash)
            path[length++] = '/';
        memcpy(path + length, name, more);
    } else {
        path[length] = '\0';
    }
    files->paths[files->count++] = path;
    return DITHER_OK;
}

/* Takes back the last path that was appended. */
static void drop(dither_files *files)
{
    free(files->paths[--files->count]);
}

/* Sorts folder/name into files, into the folders still to be read, or out. */
static dither_status sort_in(const char *folder, const char *name, dither_files *files, dither_files *folders,
                             dither_error *error)
{
    dither_status status = append(files, folder, name, error);
    if (status != DITHER_OK)
        return status;
    const char *path = files->paths[files->count - 1];
    struct stat self, target;
    if (lstat(path, &self) != 0 || stat(path, &target) != 0)
        return dither_fail_errno(error, path, "read", errno);
    if (S_ISREG(target.st_mode))
        return DITHER_OK;
    if (S_ISDIR(self.st_mode))
        status = append(folders, path, NULL, error);
    drop(files);
    return status;
}

static dither_status read_folder(const char *folder, dither_files *files, dither_files *folders, dither_error *error)
{
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return dither_fail_errno(error, folder, "open the folder", errno);
    dither_status status = DITHER_OK;
    while (status == DITHER_OK) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            if (errno != 0)
                status = dither_fail_errno(error, folder, "read the folder", errno);
            break;
        }
        if (entry->d_name[0] != '.')
            status = sort_in(folder, entry->d_name, files, folders, error);
    }
    closedir(directory);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    char *const *left = a;
    char *const *right = b;
    return strcmp(*left, *right);
}

static dither_status add_folder(dither_files *files, const char *path, dither_error *error)
{
    size_t first = files->count;
    dither_files folders = {0};
    dither_status status = append(&folders, path, NULL, error);
    while (status == DITHER_OK && folders.count > 0) {
        char *folder = folders.paths[--folders.count];
        status = read_folder(folder, files, &folders, error);
        free(folder);
    }
    dither_files_close(&folders);
    if (status != DITHER_OK)
        return status;
    if (files->count == first)
        return dither_fail(error, DITHER_E_FORMAT, path, "the folder holds no files to read");
    qsort(files->paths + first, files->count - first, sizeof *files->paths, compare_paths);
    return DITHER_OK;
}

dither_status dither_files_add(dither_files *files, const char *path, dither_error *error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return dither_fail_errno(error, path, "open", errno);
    return S_ISDIR(status.st_mode) ? add_folder(files, path, error) : append(files, path, NULL, error);
}

void dither_files_close(dither_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (dither_files){0};
}
