/* What a run leaves in its folder, and whether there is room for it. */
#ifndef DITHER_TRAIN_DISK_H
#define DITHER_TRAIN_DISK_H

#include "train/run.h"

/* In bytes; the tokenizer and the log are not counted. */
typedef struct dither_disk {
    uint64_t model; /* model.safetensors */
    uint64_t state; /* the checkpoint */
    uint64_t peak;  /* both, and a new one of the larger beside the old */
    uint64_t free;  /* on the file system of the folder; UINT64_MAX: not known, or there is no folder */
} dither_disk;

/* There from a run's first write until its first checkpoint: the other files are its own, and may be halves. */
#define DITHER_DISK_BEGUN "state/begun"

typedef enum dither_disk_kind {
    DITHER_DISK_MODEL, /* and its tokenizer */
    DITHER_DISK_LOG,
    DITHER_DISK_STATE,
    DITHER_DISK_LOCK
} dither_disk_kind;

/** The i-th of the files that a run may write, below its folder; NULL past the end. The state stands late. */
const char *dither_disk_file(size_t i, dither_disk_kind *kind);

/** Of a run that is counted. */
dither_disk dither_run_disk(const dither_run *run);

/** @return DITHER_OK | DITHER_E_IO (the file system has too little room; error has the figures) */
DITHER_MUST_USE dither_status dither_run_check_disk(const dither_run *run, dither_error *error);

/** Which of the files that a run writes are in its folder, and whether that is there: one bit each. */
uint32_t dither_disk_files(const char *out);

/**
 * Remove what a run has written whose first step was never done; the folder too, where it made it and it is empty.
 * @param kept  what was there before it, as dither_disk_files said
 */
void dither_disk_discard(const char *out, uint32_t kept);

#endif
