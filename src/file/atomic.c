#include "file/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/mapping.h"

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
    snprintf(file->temporary, sizeof file->temporary, "%s.tmp", path);
    /* What a killed run left is removed rather than opened: it might be a link to somewhere else by now. */
    if (unlink(file->temporary) != 0 && errno != ENOENT)
        return dither_fail_errno(error, file->temporary, "replace", errno);
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
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

dither_status dither_folder_lock(const char *folder, int *fd, dither_error *error)
{
    char path[PATH_MAX];
    *fd = -1;
    if ((size_t)snprintf(path, sizeof path, "%s/lock", folder) >= sizeof path)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (lock < 0)
        return dither_fail_errno(error, path, "open", errno);
    int result;
    do
        result = flock(lock, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0) {
        *fd = lock;
        return DITHER_OK;
    }
    int number = errno;
    close(lock);
    if (number == EWOULDBLOCK)
        return dither_fail(error, DITHER_E_BUSY, folder,
                           "another process works in this folder; wait for it, stop it or choose another folder");
    return dither_fail_errno(error, path, "lock", number);
}
