#include "scheme_list.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dither/format.h"

static bool is_preset(const char *text, size_t length)
{
    for (size_t i = 0; dither_preset_name(i); i++)
        if (strlen(dither_preset_name(i)) == length && !memcmp(dither_preset_name(i), text, length))
            return true;
    return false;
}

/* One argument, copied to `at`; commas before a preset's name become ends. @return behind the copy */
static char *read_word(const char *word, char *at, dither_scheme_list *list)
{
    list->items[list->count++] = at;
    for (const char *item = word;;) {
        const size_t length = strcspn(item, ",");
        if (item > word && is_preset(item, length)) {
            at[-1] = 0;
            list->items[list->count++] = at;
        }
        memcpy(at, item, length);
        at += length;
        *at++ = item[length];
        if (!item[length])
            return at;
        item += length + 1;
    }
}

int dither_scheme_list_read(const char *const *words, size_t count, dither_scheme_list *list)
{
    size_t bytes = 1, most = 1;
    for (size_t i = 0; i < count; i++) {
        bytes += strlen(words[i]) + 1;
        most += 1 + strlen(words[i]) / 2; /* a preset's name and its comma */
    }
    *list = (dither_scheme_list){.items = calloc(most, sizeof *list->items), .texts = malloc(bytes)};
    if (!list->items || !list->texts) {
        dither_scheme_list_free(list);
        return -1;
    }
    char *at = list->texts;
    for (size_t i = 0; i < count; i++)
        at = read_word(words[i], at, list);
    return 0;
}

void dither_scheme_list_free(dither_scheme_list *list)
{
    free(list->items);
    free(list->texts);
    *list = (dither_scheme_list){.items = NULL};
}
