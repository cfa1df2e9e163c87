/* Files that are either the old one or the new one, whole, whatever happens in between. */
#ifndef DITHER_FILE_ATOMIC_H
#define DITHER_FILE_ATOMIC_H

#include <stddef.h>

#include "dither/status.h"

enum { DITHER_TEMPORARY_TAIL = 48 }; /* bytes that a temporary name has more than the path, at most */

typedef struct dither_atomic {
    int fd;
    char path[4096], temporary[4096 + DITHER_TEMPORARY_TAIL];
} dither_atomic;

/** Open a new file beside PATH for writing: PATH.PROCESS-NUMBER.tmp, the first that is not there. */
DITHER_MUST_USE dither_status dither_atomic_open(dither_atomic *file, const char *path, dither_error *error);
/** Write all bytes; on failure the temporary file is removed and the file closed. */
DITHER_MUST_USE dither_status dither_atomic_write(dither_atomic *file, const void *bytes, size_t size,
                                                  dither_error *error);
/** fsync, rename over PATH, fsync the folder. On failure PATH is as it was; or new, where only the last step failed. */
DITHER_MUST_USE dither_status dither_atomic_commit(dither_atomic *file, dither_error *error);
/** Give up: remove the temporary file. Nothing after commit or a failure. */
void dither_atomic_abandon(dither_atomic *file);

/**
 * Remove what processes that were killed left beside PATH, by their temporary names. Only for a folder that is known
 * to be ours, and locked.
 */
void dither_atomic_sweep(const char *path);
/** The length of a file's name without what a temporary one has behind it; SIZE_MAX: it is none. */
size_t dither_temporary_stem(const char *name);

/** A whole small file in one call. */
DITHER_MUST_USE dither_status dither_atomic_file(const char *path, const void *bytes, size_t size, dither_error *error);

/** Rename a file or folder, lasting. @return DITHER_OK | DITHER_E_IO */
DITHER_MUST_USE dither_status dither_path_rename(const char *from, const char *to, dither_error *error);

/** Remove a file, lasting; fine where there is none. @return DITHER_OK | DITHER_E_IO */
DITHER_MUST_USE dither_status dither_path_remove(const char *path, dither_error *error);

/**
 * Create a new folder beside PATH, which need not be there, and the folders that it is in: PATH.PROCESS-NUMBER.tmp, the
 * first that is not there.
 * @param temporary  [size] its path; "" where it could not be created
 * @return DITHER_OK | DITHER_E_IO
 */
DITHER_MUST_USE dither_status dither_folder_temporary(const char *path, char *temporary, size_t size,
                                                      dither_error *error);

/** Create a folder and its parents, each lasting (fsync); fine where it exists. @return DITHER_OK | DITHER_E_IO */
DITHER_MUST_USE dither_status dither_folder_create(const char *path, dither_error *error);

/**
 * Lock FOLDER/lock until closed or the process ends, however it ends.
 * @param fd  receives what to close
 * @return DITHER_OK | DITHER_E_BUSY (another process holds it) | DITHER_E_IO
 */
DITHER_MUST_USE dither_status dither_folder_lock(const char *folder, int *fd, dither_error *error);

#endif
