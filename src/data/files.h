/* Which files a list of files and folders stands for. */
#ifndef DITHER_DATA_FILES_H
#define DITHER_DATA_FILES_H

#include <stddef.h>

#include "dither/status.h"

typedef struct dither_files {
    char **paths; /* [count], each on the heap */
    size_t count, capacity;
} dither_files;

/**
 * Append a file as it stands; or a folder's regular files, all the way down, in byte order of their paths, without
 * those whose names start with a dot. A link to a file counts as the file; a link to a folder inside a folder is
 * left out, so that no circle of links is walked.
 * @param files  zeroed before the first call; close it in any case
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT (a folder without files) | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_files_add(dither_files *files, const char *path, dither_error *error);
void dither_files_close(dither_files *files);

#endif
