#include "data/idx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fail.h"

enum { MAGIC = 4, WORD = 4, TYPE_BYTES = 8 };
#define BYTES_MAX (UINT64_C(1) << 31)

typedef struct reader {
    gzFile file;
    const char *path;
    dither_error *error;
} reader;

/* @param got  receives how many bytes came, fewer than `size` where the file ends */
static dither_status read_some(const reader *in, void *bytes, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        const size_t left = size - *got;
        const int count = gzread(in->file, (char *)bytes + *got, left < INT_MAX ? (unsigned)left : INT_MAX);
        int number = Z_OK;
        const char *const text = gzerror(in->file, &number);
        if (count < 0)
            return number == Z_ERRNO
                       ? dither_fail(in->error, DITHER_E_IO, in->path, "cannot read: %s", strerror(errno))
                       : dither_fail(in->error, DITHER_E_FORMAT, in->path, "cannot be unpacked: %s", text);
        if (!count)
            break;
        *got += (size_t)count;
    }
    return DITHER_OK;
}

static dither_status read_header(const reader *in, size_t dims, dither_idx *idx, size_t *bytes)
{
    uint8_t header[MAGIC + DITHER_IDX_DIMS * WORD];
    size_t got;
    const size_t wanted = MAGIC + dims * WORD;
    const dither_status status = read_some(in, header, wanted, &got);
    if (status)
        return status;
    if (got < MAGIC || header[0] || header[1])
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "no IDX file: it does not begin with two bytes 0");
    if (header[2] != TYPE_BYTES)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "IDX numbers of type 0x%02x; unsigned bytes, 0x08, are right", header[2]);
    if (header[3] != dims)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "an IDX file of %u dimensions; %zu are right here",
                           header[3], dims);
    if (got < wanted)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "cut short: it ends in its header, after %zu bytes",
                           got);
    uint64_t size = 1;
    idx->dims = dims;
    for (size_t i = 0; i < dims; i++) {
        const uint8_t *const at = header + MAGIC + i * WORD;
        idx->dim[i] = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        if (!idx->dim[i])
            return dither_fail(in->error, DITHER_E_FORMAT, in->path, "dimension %zu is 0", i + 1);
        if (idx->dim[i] > BYTES_MAX / size)
            return dither_fail(in->error, DITHER_E_MEMORY, in->path, "it says that it holds more than 2 GiB");
        size *= idx->dim[i];
    }
    *bytes = (size_t)size;
    return DITHER_OK;
}

static dither_status read_body(const reader *in, size_t bytes, dither_idx *idx)
{
    enum { STEP = 1 << 20 };
    size_t have = 0, room = 0, got = STEP;
    /* In steps: a header that promises much must not take much. */
    while (have <= bytes && got == STEP) {
        if (have + STEP > room) {
            room = room ? 2 * room : STEP;
            uint8_t *const more = realloc(idx->bytes, room);
            if (!more)
                return dither_fail(in->error, DITHER_E_MEMORY, in->path, "no memory for its %zu bytes", bytes);
            idx->bytes = more;
        }
        const dither_status status = read_some(in, idx->bytes + have, STEP, &got);
        if (status)
            return status;
        have += got;
    }
    if (have < bytes)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path,
                           "cut short: %zu bytes after its header where %zu are right", have, bytes);
    if (have > bytes)
        return dither_fail(in->error, DITHER_E_FORMAT, in->path, "more than the %zu bytes that its header says", bytes);
    return DITHER_OK;
}

/* @param path  receives which of the two it is */
static int open_either(const char *folder, const char *name, char *path, size_t size)
{
    static const char *const endings[] = {"", ".gz"};
    int fd = -1;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0] && fd < 0; i++) {
        if (snprintf(path, size, "%s/%s%s", folder, name, endings[i]) >= (int)size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            return -1;
    }
    return fd;
}

dither_status dither_idx_read(const char *folder, const char *name, size_t dims, dither_idx *idx, dither_error *error)
{
    char path[PATH_MAX];
    *idx = (dither_idx){.dims = 0};
    const int fd = open_either(folder, name, path, sizeof path);
    if (fd < 0)
        return errno == ENOENT
                   ? dither_fail(error, DITHER_E_IO, folder, "neither %s nor %s.gz is there", name, name)
                   : dither_fail(error, DITHER_E_IO, path, "cannot open: %s", strerror(errno));
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(fd);
        return dither_fail(error, DITHER_E_IO, path, "a folder; an IDX file is right");
    }
    const reader in = {gzdopen(fd, "rb"), path, error};
    if (!in.file) {
        close(fd);
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory to unpack it");
    }
    size_t bytes = 0;
    dither_status result = read_header(&in, dims, idx, &bytes);
    if (!result)
        result = read_body(&in, bytes, idx);
    const int closed = gzclose(in.file);
    if (!result && closed == Z_BUF_ERROR)
        result = dither_fail(error, DITHER_E_FORMAT, path, "cut short: its packing has no end");
    if (result)
        dither_idx_close(idx);
    return result;
}

void dither_idx_close(dither_idx *idx)
{
    free(idx->bytes);
    *idx = (dither_idx){.dims = 0};
}
