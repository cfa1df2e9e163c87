/* The bytes of a regular file, read-only; and what the operating system refused, in words. */
#ifndef DITHER_FILE_MAPPING_H
#define DITHER_FILE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

#include "dither/status.h"

typedef struct dither_mapping {
    const unsigned char *bytes; /* NULL where size is 0 */
    size_t size;
    void *memory;               /* what to give back */
    bool mapped;                /* else on the heap */
} dither_mapping;

/**
 * Open a file's bytes: small files are copied, larger ones mapped (the kernel bounds how many mappings a process has).
 * A mapped file that somebody shortens meanwhile ends the process with SIGBUS.
 * @return DITHER_OK | DITHER_E_IO (missing, unreadable, not a regular file) | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_mapping_open(dither_mapping *mapping, const char *path, dither_error *error);
void dither_mapping_close(dither_mapping *mapping);
/** Let go of what is resident of it; what is read again comes from the file again. */
void dither_mapping_forget(const dither_mapping *mapping);

/** DITHER_E_IO with "cannot <doing>: <what errno number means>" and, where there is one, what to do about it. */
dither_status dither_fail_errno(dither_error *error, const char *where, const char *doing, int number);

#endif
