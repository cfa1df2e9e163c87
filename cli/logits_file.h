/* Logits in a file that NumPy reads: f32 [tokens][vocab], format .npy 1.0. */
#ifndef DITHER_CLI_LOGITS_FILE_H
#define DITHER_CLI_LOGITS_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct dither_logits_file {
    const char *path;
    FILE *file;
    uint64_t tokens; /* written so far */
    size_t vocab;
} dither_logits_file;

/** @return 0, or the exit code of what went wrong, which has been printed */
int dither_logits_file_open(dither_logits_file *file, const char *path);

/** What dither_model_watch_logits calls. @param file  a dither_logits_file */
void dither_logits_file_add(void *file, size_t tokens, size_t vocab, const float *logits);

/** Write the head, whose shape is known now. @return as open */
int dither_logits_file_close(dither_logits_file *file);

#endif
