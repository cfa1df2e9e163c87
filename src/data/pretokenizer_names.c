#include "data/pretokenizer_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

/* Each is a name, or an alias, of the table of splits. */
static const char *const kinds[] = {
    "gpt2",         "smollm",         "llama3",      "qwen2",  "starcoder", "refact", "mpt", "falcon",
    "deepseek-llm", "deepseek-coder", "deepseek-v3", "gpt-4o", "tekken",
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *dither_pretokenizer_kind(size_t index)
{
    return index < KINDS ? kinds[index] : NULL;
}

dither_status dither_pretokenizer_regex(dither_pretokenizer **pretokenizer, const char *const *patterns, size_t count,
                                        dither_error *error)
{
    *pretokenizer = NULL;
    dither_split *splits = calloc(count + 1, sizeof *splits);
    if (splits == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "pre-tokenizer", "no memory for %zu patterns", count);
    for (size_t i = 0; i < count; i++)
        splits[i].pattern = patterns[i];
    const dither_status status = dither_pretokenizer_splits(pretokenizer, splits, count, error);
    free(splits);
    return status;
}

dither_status dither_pretokenizer_split(dither_pretokenizer **pretokenizer, const dither_vocabulary_split *split,
                                        dither_error *error)
{
    const char *patterns[DITHER_SPLIT_STEPS];
    return dither_pretokenizer_regex(pretokenizer, patterns, dither_vocabulary_split_patterns(split, patterns), error);
}

dither_status dither_pretokenizer_open(dither_pretokenizer **pretokenizer, const char *name, dither_error *error)
{
    const dither_vocabulary_split *split = dither_vocabulary_split_named(name, strlen(name));
    *pretokenizer = NULL;
    if (split == NULL) {
        char names[KINDS * 16] = "";
        for (size_t i = 0; i < KINDS; i++) {
            strcat(names, i > 0 ? ", " : "");
            strcat(names, kinds[i]);
        }
        return dither_fail(error, DITHER_E_FORMAT, "pre-tokenizer", "\"%.40s\" is not known; known are %s", name,
                           names);
    }
    return dither_pretokenizer_split(pretokenizer, split, error);
}
