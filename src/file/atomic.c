#include "file/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/mapping.h"

enum { TEMPORARY_TRIES = 10000, LOCK_TRIES = 10 };

/* PATH.PROCESS-NUMBER.tmp: what is there under such a name is somebody's, and is left alone. */
static void temporary_name(const char *path, int number, char *name, size_t size)
{
    (void)snprintf(name, size, "%s.%ld-%d.tmp", path, (long)getpid(), number);
}

/* Where the digits in front of `end` begin. */
static size_t before_digits(const char *name, size_t end)
{
    while (end > 0 && name[end - 1] >= '0' && name[end - 1] <= '9')
        end--;
    return end;
}

size_t dither_temporary_stem(const char *name)
{
    const size_t length = strlen(name), tail = length > 4 && strcmp(name + length - 4, ".tmp") == 0 ? length - 4 : 0;
    const size_t number = before_digits(name, tail);
    if (number == tail || number == 0 || name[number - 1] != '-')
        return SIZE_MAX;
    const size_t process = before_digits(name, number - 1);
    return process < number - 1 && process > 1 && name[process - 1] == '.' ? process - 1 : SIZE_MAX;
}

/* Reports the failure of `doing` after giving the temporary file up; errno is taken first, before unlink changes it. */
static dither_status give_up(dither_atomic *file, const char *doing, dither_error *error)
{
    int number = errno;
    dither_atomic_abandon(file);
    return dither_fail_errno(error, file->path, doing, number);
}

dither_status dither_atomic_open(dither_atomic *file, const char *path, dither_error *error)
{
    file->fd = -1;
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof file->path)
        return dither_fail(error, DITHER_E_IO, path, "a path of %zu bytes; 1 to %zu are possible", length,
                           sizeof file->path - 1);
    memcpy(file->path, path, length + 1);
    for (int number = 0; file->fd < 0 && number < TEMPORARY_TRIES; number++) {
        temporary_name(path, number, file->temporary, sizeof file->temporary);
        file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->fd < 0 && errno != EEXIST)
            break;
    }
    if (file->fd < 0)
        return dither_fail_errno(error, file->temporary, "create", errno);
    return DITHER_OK;
}

dither_status dither_atomic_write(dither_atomic *file, const void *bytes, size_t size, dither_error *error)
{
    const unsigned char *next = bytes;
    while (size > 0) {
        ssize_t written = write(file->fd, next, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return give_up(file, "write", error);
        next += written;
        size -= (size_t)written;
    }
    return DITHER_OK;
}

static int sync_fd(int fd)
{
    int result;
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result;
}

/* Makes the entry of `path` in its folder durable. Some file systems cannot sync a folder (EINVAL), some folders cannot
 * be read. */
static dither_status sync_folder(const char *path, dither_error *error)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    snprintf(folder, sizeof folder, "%.*s.", (int)length, path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return DITHER_OK;
    int number = sync_fd(fd) == 0 ? 0 : errno;
    close(fd);
    if (number == 0 || number == EINVAL || number == EROFS)
        return DITHER_OK;
    return dither_fail_errno(error, path, "make its entry in the folder last", number);
}

dither_status dither_atomic_commit(dither_atomic *file, dither_error *error)
{
    if (sync_fd(file->fd) != 0)
        return give_up(file, "write to disk", error);
    int fd = file->fd;
    file->fd = -1;
    /* EINTR leaves the descriptor closed on Linux, and the bytes are on disk already. */
    if ((close(fd) != 0 && errno != EINTR) || rename(file->temporary, file->path) != 0) {
        int number = errno;
        unlink(file->temporary);
        return dither_fail_errno(error, file->path, "put the new file in place", number);
    }
    return sync_folder(file->path, error);
}

void dither_atomic_abandon(dither_atomic *file)
{
    if (file->fd < 0)
        return;
    close(file->fd);
    unlink(file->temporary);
    file->fd = -1;
}

dither_status dither_atomic_file(const char *path, const void *bytes, size_t size, dither_error *error)
{
    dither_atomic file;
    dither_status status = dither_atomic_open(&file, path, error);
    if (status == DITHER_OK)
        status = dither_atomic_write(&file, bytes, size, error);
    if (status == DITHER_OK)
        status = dither_atomic_commit(&file, error);
    return status;
}

dither_status dither_path_rename(const char *from, const char *to, dither_error *error)
{
    if (rename(from, to) != 0)
        return dither_fail_errno(error, to, "put it in place", errno);
    return sync_folder(to, error);
}

dither_status dither_path_remove(const char *path, dither_error *error)
{
    if (unlink(path) == 0)
        return sync_folder(path, error);
    return errno == ENOENT ? DITHER_OK : dither_fail_errno(error, path, "remove", errno);
}

void dither_atomic_sweep(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    const int length = slash == NULL ? 0 : (int)(slash - path) + 1;
    char place[PATH_MAX];
    if ((size_t)snprintf(place, sizeof place, "%.*s.", length, path) >= sizeof place)
        return;
    DIR *list = opendir(place);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        const size_t stem = dither_temporary_stem(entry->d_name);
        if (stem == strlen(name) && memcmp(entry->d_name, name, stem) == 0 &&
            (size_t)snprintf(place, sizeof place, "%.*s%s", length, path, entry->d_name) < sizeof place)
            (void)unlink(place);
    }
    if (list != NULL)
        closedir(list);
}

dither_status dither_folder_temporary(const char *path, char *temporary, size_t size, dither_error *error)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    temporary[0] = '\0';
    if (strlen(path) + DITHER_TEMPORARY_TAIL > size || strlen(path) >= sizeof parent)
        return dither_fail(error, DITHER_E_IO, path, "the path is too long");
    if (slash != NULL && slash != path) {
        (void)snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
        const dither_status status = dither_folder_create(parent, error);
        if (status != DITHER_OK)
            return status;
    }
    int failed = EEXIST;
    for (int number = 0; failed == EEXIST && number < TEMPORARY_TRIES; number++) {
        temporary_name(path, number, temporary, size);
        failed = mkdir(temporary, 0777) == 0 ? 0 : errno;
    }
    if (failed == 0)
        return sync_folder(temporary, error);
    const dither_status status = dither_fail_errno(error, temporary, "create the folder", failed);
    temporary[0] = '\0';
    return status;
}

dither_status dither_folder_create(const char *path, dither_error *error)
{
    char partial[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof partial)
        return dither_fail(error, DITHER_E_IO, path, "a path of %zu bytes; 1 to %zu are possible", length,
                           sizeof partial - 1);
    for (size_t end = 1; end <= length; end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        memcpy(partial, path, end);
        partial[end] = '\0';
        struct stat status;
        if (stat(partial, &status) == 0 && S_ISDIR(status.st_mode))
            continue;
        if (mkdir(partial, 0777) == 0) {
            const dither_status synced = sync_folder(partial, error);
            if (synced != DITHER_OK)
                return synced;
            continue;
        }
        int number = errno;
        /* Another process may have been faster. */
        if (number == EEXIST && stat(partial, &status) == 0 && S_ISDIR(status.st_mode))
            continue;
        if (number == EEXIST)
            return dither_fail(error, DITHER_E_IO, partial, "exists and is not a folder; choose another path");
        return dither_fail_errno(error, partial, "create the folder", number);
    }
    return DITHER_OK;
}

/* @return 0, or errno */
static int take_lock(int lock)
{
    int result;
    do
        result = flock(lock, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

/* Whether what is open is what others find under the path. */
static bool is_at(int file, const char *path)
{
    struct stat open_file, there;
    return fstat(file, &open_file) == 0 && stat(path, &there) == 0 && open_file.st_dev == there.st_dev &&
           open_file.st_ino == there.st_ino;
}

dither_status dither_folder_lock(const char *folder, int *fd, dither_error *error)
{
    char path[PATH_MAX];
    *fd = -1;
    if ((size_t)snprintf(path, sizeof path, "%s/lock", folder) >= sizeof path)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    int number = 0;
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        const int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
        if (lock < 0)
            return dither_fail_errno(error, path, "open", errno);
        number = take_lock(lock);
        if (number == 0 && is_at(lock, path)) {
            *fd = lock;
            return DITHER_OK;
        }
        close(lock);
        if (number != 0)
            break;
        number = EWOULDBLOCK; /* its holder has removed it, as one that leaves nothing behind does */
    }
    if (number == EWOULDBLOCK)
        return dither_fail(error, DITHER_E_BUSY, folder,
                           "another process works in this folder; wait for it, stop it or choose another folder");
    return dither_fail_errno(error, path, "lock", number);
}
