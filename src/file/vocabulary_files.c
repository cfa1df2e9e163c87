#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/atomic.h"
#include "file/mapping.h"
#include "file/vocabulary_files.h"

const char *const dither_vocabulary_files[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json",     "merges.txt",            "tokenizer.model",         "chat_template.jinja",
    "chat_template.json", "generation_config.json", DITHER_METADATA_FILE, NULL,
};

static dither_status copy(const char *from, const char *to, dither_error *error)
{
    dither_mapping mapping;
    dither_status status = dither_mapping_open(&mapping, from, error);
    if (status != DITHER_OK)
        return status;
    status = dither_atomic_file(to, mapping.bytes, mapping.size, error);
    dither_mapping_close(&mapping);
    return status;
}

dither_status dither_vocabulary_copy(const char *from, const char *to, dither_error *error)
{
    dither_status status = DITHER_OK;
    for (const char *const *name = dither_vocabulary_files; *name != NULL && status == DITHER_OK; name++) {
        char source[PATH_MAX], target[PATH_MAX];
        if ((size_t)snprintf(source, sizeof source, "%s/%s", from, *name) >= sizeof source ||
            (size_t)snprintf(target, sizeof target, "%s/%s", to, *name) >= sizeof target)
            return dither_fail(error, DITHER_E_IO, from, "the path is too long");
        if (access(source, F_OK) == 0)
            status = copy(source, target, error);
    }
    return status;
}
