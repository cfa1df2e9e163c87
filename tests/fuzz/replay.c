/* Runs a fuzz target on the files of the folders named on the command line: the seeds, with any compiler. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "target.h"

static int replay(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    uint8_t *data = size < 0 ? NULL : malloc((size_t)size + 1);
    if (data == NULL || fseek(file, 0, SEEK_SET) != 0 || fread(data, 1, (size_t)size, file) != (size_t)size) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    int result = LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return result;
}

int main(int count, char **folders)
{
    unsigned inputs = 0;
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(folders[i]);
        if (folder == NULL) {
            perror(folders[i]);
            return 1;
        }
        for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
            if (entry->d_name[0] != '.' && replay(folders[i], entry->d_name) == 0)
                inputs++;
        closedir(folder);
    }
    printf("%u inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
