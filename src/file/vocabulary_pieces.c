#include "file/vocabulary_pieces.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

typedef struct join {
    float score;
    uint32_t left, right;             /* ids */
    uint32_t left_chars, right_chars; /* how long they are */
    uint32_t number;                  /* by whole, then by the ids: keeps the sort stable */
} join;

typedef struct joins {
    join *items;
    size_t count, capacity;
} joins;

/* Only what a text is made of: marks are never the result of a merge, nor are bytes that stand for themselves. */
static bool merges_into(const dither_token *token)
{
    return token->text != NULL && token->type == DITHER_TOKEN_NORMAL;
}

static bool is_start(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static uint32_t characters(const char *text, size_t length)
{
    uint32_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += is_start(text[i]);
    return count;
}

static bool append(joins *list, const join *item)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 1024;
        join *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *item;
    return true;
}

static bool split(const dither_tokens *tokens, const dither_token *whole, size_t at, join *item)
{
    if (!is_start(whole->text[at]) || !dither_tokens_find(tokens, whole->text, at, &item->left) ||
        !dither_tokens_find(tokens, whole->text + at, whole->length - at, &item->right))
        return false;
    item->left_chars = characters(whole->text, at);
    item->right_chars = characters(whole->text + at, whole->length - at);
    return merges_into(&tokens->token[item->left]) && merges_into(&tokens->token[item->right]);
}

static int by_ids(const void *a, const void *b)
{
    const join *left = a, *right = b;
    if (left->left != right->left)
        return left->left < right->left ? -1 : 1;
    return (left->right > right->right) - (left->right < right->right);
}

static int by_score(const void *a, const void *b)
{
    const join *left = a, *right = b;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    if (left->left_chars != right->left_chars)
        return left->left_chars > right->left_chars ? -1 : 1;
    if (left->right_chars != right->right_chars)
        return left->right_chars > right->right_chars ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

static bool collect(const dither_tokens *tokens, joins *list)
{
    for (size_t id = 0; id < tokens->count; id++) {
        const dither_token *whole = &tokens->token[id];
        const size_t first = list->count;
        for (size_t at = 1; merges_into(whole) && at < whole->length; at++) {
            join item = {.score = whole->score};
            if (split(tokens, whole, at, &item) && !append(list, &item))
                return false;
        }
        if (list->count > first)
            qsort(list->items + first, list->count - first, sizeof *list->items, by_ids);
        for (size_t i = first; i < list->count; i++)
            list->items[i].number = (uint32_t)i;
    }
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, by_score);
    return true;
}

dither_status dither_pieces_write_merges(const dither_tokens *tokens, dither_json_writer *writer, const char *path,
                                         dither_error *error)
{
    joins list = {.count = 0};
    const bool all = collect(tokens, &list);
    for (size_t i = 0; i < list.count && all; i++) {
        const dither_token *left = &tokens->token[list.items[i].left], *right = &tokens->token[list.items[i].right];
        dither_json_writer_text(writer, i > 0 ? ",\n      [" : "\n      [");
        dither_json_writer_string(writer, left->text, left->length);
        dither_json_writer_text(writer, ", ");
        dither_json_writer_string(writer, right->text, right->length);
        dither_json_writer_text(writer, "]");
    }
    dither_json_writer_text(writer, list.count > 0 ? "\n    ]" : "]");
    free(list.items);
    return all ? DITHER_OK : dither_fail(error, DITHER_E_MEMORY, path, "no memory for the merges");
}

/* ---- and back ----------------------------------------------------------------------------------------------- */

bool dither_merge_sides(const cJSON *merge, const char **left, size_t *left_length, const char **right,
                        size_t *right_length)
{
    if (cJSON_IsString(merge)) {
        *left = merge->valuestring;
        const char *space = strchr(*left, ' ');
        if (space == NULL || space == *left)
            return false;
        *left_length = (size_t)(space - *left);
        *right = space + 1;
        *right_length = strlen(*right);
        return *right_length > 0;
    }
    const cJSON *first = cJSON_IsArray(merge) ? merge->child : NULL, *second = first != NULL ? first->next : NULL;
    if (!cJSON_IsString(first) || !cJSON_IsString(second) || second->next != NULL)
        return false;
    *left = first->valuestring;
    *right = second->valuestring;
    *left_length = strlen(*left);
    *right_length = strlen(*right);
    return *left_length > 0 && *right_length > 0;
}

/* How many ways there are to make a piece of two. */
static size_t ways(const dither_tokens *tokens, const dither_token *whole)
{
    size_t count = 0;
    for (size_t at = 1; at < whole->length; at++) {
        join item;
        count += split(tokens, whole, at, &item);
    }
    return count;
}

/* What merges make, in the order in which they first make it. */
typedef struct ranking {
    uint32_t *id;      /* [count] */
    uint32_t *place;   /* [tokens] in `id`, UINT32_MAX: nothing makes it */
    uint32_t *made;    /* [tokens] how many merges make it */
    bool *tied;        /* [count] with the one before */
    size_t count;
} ranking;

static bool ranking_open(ranking *r, size_t tokens)
{
    const size_t count = tokens > 0 ? tokens : 1;
    *r = (ranking){.id = malloc(count * sizeof *r->id), .place = malloc(count * sizeof *r->place),
                   .made = calloc(count, sizeof *r->made), .tied = calloc(count, sizeof *r->tied)};
    for (size_t i = 0; i < tokens && r->place != NULL; i++)
        r->place[i] = UINT32_MAX;
    return r->id != NULL && r->place != NULL && r->made != NULL && r->tied != NULL;
}

static void ranking_close(ranking *r)
{
    free(r->id);
    free(r->place);
    free(r->made);
    free(r->tied);
}

/* A piece that is made again after others: those have its score, or its ways would stand together. */
static void add_made(ranking *r, uint32_t id)
{
    r->made[id]++;
    if (r->place[id] == UINT32_MAX) {
        r->place[id] = (uint32_t)r->count;
        r->id[r->count++] = id;
    }
    for (size_t i = r->count - 1; i > r->place[id]; i--)
        r->tied[i] = true;
}

static dither_status rank(const dither_tokens *tokens, ranking *r, const cJSON *merges, const char *path,
                          dither_error *error)
{
    size_t number = 0;
    for (const cJSON *merge = merges->child; merge != NULL; merge = merge->next, number++) {
        const char *left, *right;
        size_t left_length, right_length;
        char joined[1024];
        uint32_t id = 0;
        bool good = dither_merge_sides(merge, &left, &left_length, &right, &right_length) &&
                    left_length + right_length <= sizeof joined;
        if (good) {
            memcpy(joined, left, left_length);
            memcpy(joined + left_length, right, right_length);
            good = dither_tokens_find(tokens, joined, left_length + right_length, &id);
        }
        if (!good)
            return dither_fail(error, DITHER_E_FORMAT, path, "merge %zu makes no token of the vocabulary", number);
        add_made(r, id);
    }
    for (size_t id = 0; id < tokens->count; id++)
        if (merges_into(&tokens->token[id]) && r->made[id] < ways(tokens, &tokens->token[id]))
            return dither_fail(error, DITHER_E_FORMAT, path, "not the merges of a SentencePiece model, which joins two "
                               "pieces wherever a third reads like them (token %zu can be made in more ways); GGUF "
                               "files have no word for others", id);
    return DITHER_OK;
}

dither_status dither_pieces_score(dither_tokens *tokens, const cJSON *merges, const char *path, dither_error *error)
{
    ranking r;
    dither_status status = ranking_open(&r, tokens->count) ? rank(tokens, &r, merges, path, error)
                                                           : dither_fail(error, DITHER_E_MEMORY, path,
                                                                         "no memory for the scores");
    float next = 0;
    for (size_t i = 0; i < r.count && status == DITHER_OK; i++) {
        if (i > 0 && !r.tied[i])
            next--;
        tokens->token[r.id[i]].score = next;
    }
    for (size_t id = 0; id < tokens->count && status == DITHER_OK; id++)
        if (r.place[id] == UINT32_MAX && merges_into(&tokens->token[id]))
            tokens->token[id].score = --next;
    ranking_close(&r);
    return status;
}
