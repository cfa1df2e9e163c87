#include "data/pair_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { SLOTS_FIRST = 1 << 10, ITEMS_FIRST = 1 << 9 };

/* Room for one more item of an array. @return the array, NULL: no memory */
static void *with_room(void *items, size_t count, size_t *capacity, size_t item)
{
    if (count < *capacity)
        return items;
    const size_t grown = *capacity == 0 ? ITEMS_FIRST : 2 * *capacity, bytes = dither_multiply(grown, item);
    void *moved = bytes != SIZE_MAX ? realloc(items, bytes) : NULL;
    if (moved != NULL)
        *capacity = grown;
    return moved;
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

static size_t first_slot(uint32_t left, uint32_t right, size_t mask)
{
    const uint64_t key = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio */
    return (size_t)(key ^ key >> 32) & mask;
}

static bool grow_slots(dither_pair_table *table)
{
    const size_t slot_count = table->slot_count == 0 ? SLOTS_FIRST : 2 * table->slot_count, mask = slot_count - 1;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < table->count; i++) {
        size_t slot = first_slot(table->pairs[i].left, table->pairs[i].right, mask);
        while (slots[slot] != 0)
            slot = (slot + 1) & mask;
        slots[slot] = (uint32_t)(i + 1);
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    return true;
}

uint32_t dither_pair_index(dither_pair_table *table, uint32_t left, uint32_t right)
{
    if (2 * (table->count + 1) > table->slot_count && !grow_slots(table))
        return UINT32_MAX;
    const size_t mask = table->slot_count - 1;
    size_t slot = first_slot(left, right, mask);
    for (; table->slots[slot] != 0; slot = (slot + 1) & mask) {
        const dither_pair *pair = &table->pairs[table->slots[slot] - 1];
        if (pair->left == left && pair->right == right)
            return table->slots[slot] - 1;
    }
    dither_pair *pairs = table->count < UINT32_MAX - 1
                             ? with_room(table->pairs, table->count, &table->capacity, sizeof *pairs)
                             : NULL;
    if (pairs == NULL)
        return UINT32_MAX;
    table->pairs = pairs;
    pairs[table->count] = (dither_pair){.left = left, .right = right};
    table->slots[slot] = (uint32_t)(table->count + 1);
    return (uint32_t)table->count++;
}

bool dither_pair_note(dither_pair_table *table, uint32_t pair)
{
    if (table->pairs[pair].noted)
        return true;
    uint32_t *changed =
        with_room(table->changed, table->changed_count, &table->changed_capacity, sizeof *table->changed);
    if (changed == NULL)
        return false;
    table->changed = changed;
    changed[table->changed_count++] = pair;
    table->pairs[pair].noted = true;
    return true;
}

void dither_pair_table_close(dither_pair_table *table)
{
    free(table->pairs);
    free(table->slots);
    free(table->changed);
    free(table->heap);
    *table = (dither_pair_table){0};
}

/* ---- the heap ------------------------------------------------------------------------------------------------ */

/* As strings of bytes: at the first that differs, else the shorter is less. */
static int compare_tokens(const dither_words *tokens, uint32_t a, uint32_t b)
{
    const size_t m = tokens->words[a].length, n = tokens->words[b].length;
    const int order = memcmp(dither_words_bytes(tokens, a), dither_words_bytes(tokens, b), m < n ? m : n);
    return order != 0 ? order : (m > n) - (m < n);
}

/* Whether a is merged before b. No two pairs are equal: no two tokens are. */
static bool comes_before(const dither_pair_table *table, const dither_words *tokens, dither_pair_rank a,
                         dither_pair_rank b)
{
    if (a.count != b.count)
        return a.count > b.count;
    const dither_pair *p = &table->pairs[a.pair], *q = &table->pairs[b.pair];
    if (p->left != q->left)
        return compare_tokens(tokens, p->left, q->left) > 0;
    return p->right != q->right && compare_tokens(tokens, p->right, q->right) > 0;
}

static void sift_up(dither_pair_table *table, const dither_words *tokens, dither_pair_rank rank)
{
    size_t at = table->heap_count++;
    for (; at > 0 && comes_before(table, tokens, rank, table->heap[(at - 1) / 2]); at = (at - 1) / 2)
        table->heap[at] = table->heap[(at - 1) / 2];
    table->heap[at] = rank;
}

/* In place of the top. */
static void sift_down(dither_pair_table *table, const dither_words *tokens, dither_pair_rank rank)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < table->heap_count; at = child) {
        if (child + 1 < table->heap_count && comes_before(table, tokens, table->heap[child + 1], table->heap[child]))
            child++;
        if (!comes_before(table, tokens, table->heap[child], rank))
            break;
        table->heap[at] = table->heap[child];
    }
    table->heap[at] = rank;
}

bool dither_pair_rank_noted(dither_pair_table *table, const dither_words *tokens, uint64_t least)
{
    for (size_t i = 0; i < table->changed_count; i++) {
        dither_pair *pair = &table->pairs[table->changed[i]];
        pair->noted = false;
        if (pair->count < least)
            continue;
        dither_pair_rank *heap = with_room(table->heap, table->heap_count, &table->heap_capacity, sizeof *heap);
        if (heap == NULL)
            return false;
        table->heap = heap;
        sift_up(table, tokens, (dither_pair_rank){pair->count, table->changed[i]});
    }
    table->changed_count = 0;
    return true;
}

void dither_pair_take(dither_pair_table *table, const dither_words *tokens, uint64_t least, uint32_t *pair)
{
    *pair = UINT32_MAX;
    while (table->heap_count > 0 && *pair == UINT32_MAX) {
        const dither_pair_rank top = table->heap[0];
        const uint64_t count = table->pairs[top.pair].count;
        if (count == top.count || count < least) {
            const dither_pair_rank last = table->heap[--table->heap_count];
            if (table->heap_count > 0)
                sift_down(table, tokens, last);
            if (count >= least)
                *pair = top.pair;
        } else {
            sift_down(table, tokens, (dither_pair_rank){count, top.pair});
        }
    }
}
