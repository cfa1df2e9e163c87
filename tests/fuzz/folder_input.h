/* For parsers that read FOLDER/NAME: the input as such a file, in a folder that lives as long as the process. */
#ifndef DITHER_TESTS_FUZZ_FOLDER_INPUT_H
#define DITHER_TESTS_FUZZ_FOLDER_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder_input_path[64], folder_input_file[128];

static inline void folder_input_remove(void)
{
    unlink(folder_input_file);
    rmdir(folder_input_path);
}

/* Writes data to NAME and returns the folder. */
static inline const char *folder_input(const char *name, const uint8_t *data, size_t size)
{
    if (folder_input_path[0] == '\0') {
        snprintf(folder_input_path, sizeof folder_input_path, "/tmp/dither-fuzz-XXXXXX");
        if (mkdtemp(folder_input_path) == NULL || atexit(folder_input_remove) != 0)
            abort();
        snprintf(folder_input_file, sizeof folder_input_file, "%s/%s", folder_input_path, name);
    }
    FILE *file = fopen(folder_input_file, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
    return folder_input_path;
}

#endif
