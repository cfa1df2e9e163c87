#include "file/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

enum { COPIED = 64 * 1024 };

static const char *advice(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT: return "; free some space there or choose another folder";
    case EFBIG: return "; the limit on the size of a file (ulimit -f) or the file system is too small for it";
    case EACCES:
    case EPERM: return "; check its permissions and those of its folder";
    case ENOENT: return "; check the path";
    case EROFS: return "; choose a folder on a writable file system";
    case EMFILE: return "; raise the limit on open files (ulimit -n)";
    default: return "";
    }
}

dither_status dither_fail_errno(dither_error *error, const char *where, const char *doing, int number)
{
    return dither_fail(error, DITHER_E_IO, where, "cannot %s: %s%s", doing, strerror(number), advice(number));
}

static dither_status copy(dither_mapping *mapping, int fd, size_t size, const char *path, dither_error *error)
{
    unsigned char *memory = malloc(size);
    if (memory == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory for a file of %zu bytes", size);
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(fd, memory + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int number = errno;
            free(memory);
            return dither_fail_errno(error, path, "read", number);
        }
        if (got == 0)
            break; /* shortened since it was measured: what is there is the file */
        done += (size_t)got;
    }
    *mapping = (dither_mapping){.bytes = memory, .size = done, .memory = memory};
    return DITHER_OK;
}

static dither_status contents(dither_mapping *mapping, int fd, const char *path, dither_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return dither_fail_errno(error, path, "read", errno);
    if (!S_ISREG(status.st_mode))
        return dither_fail(error, DITHER_E_IO, path, "%s where a regular file is needed",
                           S_ISDIR(status.st_mode) ? "a folder" : "a device, pipe or socket");
    if ((uintmax_t)status.st_size > SIZE_MAX)
        return dither_fail(error, DITHER_E_MEMORY, path, "too large to be mapped on this machine");
    size_t size = (size_t)status.st_size;
    if (size == 0)
        return DITHER_OK;
    if (size <= COPIED)
        return copy(mapping, fd, size, path, error);
    void *memory = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED)
        return errno == ENOMEM ? dither_fail(error, DITHER_E_MEMORY, path, "no room to map %zu bytes", size)
                               : dither_fail_errno(error, path, "map", errno);
    *mapping = (dither_mapping){.bytes = memory, .size = size, .memory = memory, .mapped = true};
    return DITHER_OK;
}

dither_status dither_mapping_open(dither_mapping *mapping, const char *path, dither_error *error)
{
    *mapping = (dither_mapping){0};
    /* Non-blocking, so that opening a named pipe nobody writes to comes back. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dither_fail_errno(error, path, "open", errno);
    dither_status status = contents(mapping, fd, path, error);
    close(fd);
    return status;
}

void dither_mapping_forget(const dither_mapping *mapping)
{
    /* Of a copy on the heap this would be the end. */
    if (mapping->mapped)
        (void)madvise(mapping->memory, mapping->size, MADV_DONTNEED);
}

void dither_mapping_close(dither_mapping *mapping)
{
    if (mapping->mapped)
        munmap(mapping->memory, mapping->size);
    else
        free(mapping->memory);
    *mapping = (dither_mapping){0};
}
