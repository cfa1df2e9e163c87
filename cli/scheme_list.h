/* Several schemes in one argument: "paper-int8,int8" or "int8,goact=int4/row:sr,bf16". */
#ifndef DITHER_CLI_SCHEME_LIST_H
#define DITHER_CLI_SCHEME_LIST_H

#include <stddef.h>

typedef struct dither_scheme_list {
    const char **items; /* [count] */
    size_t count;
    char *texts; /* what they are in */
} dither_scheme_list;

/**
 * Cut: a preset's name begins a scheme, and what follows up to the next one changes it.
 * @param words  [count] the arguments, each with one scheme at least
 * @param list   dither_scheme_list_free() it
 * @return 0, or -1: no memory
 */
int dither_scheme_list_read(const char *const *words, size_t count, dither_scheme_list *list);
void dither_scheme_list_free(dither_scheme_list *list);

#endif
