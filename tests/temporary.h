/* A fresh folder for a test's files, and the few file operations tests need. Every failure ends the test program. */
#ifndef DITHER_TESTS_TEMPORARY_H
#define DITHER_TESTS_TEMPORARY_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Creates a folder below $TMPDIR or /tmp. */
static inline void temporary_create(char folder[static 256])
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder, 256, "%.200s/dither-test-XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(folder) == NULL)
        abort();
}

static inline int temporary_remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static inline void temporary_remove(const char *folder)
{
    if (nftw(folder, temporary_remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        abort();
}

/* folder/name, in memory that the next call but seven writes over. */
static inline const char *temporary_path(const char *folder, const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    if (snprintf(path, sizeof paths[0], "%s/%s", folder, name) >= (int)sizeof paths[0])
        abort();
    return path;
}

static inline void temporary_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        abort();
}

/* The whole file, on the heap. */
static inline unsigned char *temporary_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) != 0)
        abort();
    *size = (size_t)status.st_size;
    unsigned char *bytes = malloc(*size + 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size)
        abort();
    fclose(file);
    return bytes;
}

/* The folder of a whole test program, and its group's setup and teardown. */
static char temporary_folder[256];

static inline int temporary_setup(void **state)
{
    (void)state;
    temporary_create(temporary_folder);
    return 0;
}

static inline int temporary_teardown(void **state)
{
    (void)state;
    temporary_remove(temporary_folder);
    return 0;
}

#endif
