#include "data/words.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { SLOTS_FIRST = 1 << 10, WORDS_FIRST = 1 << 9, BYTES_FIRST = 1 << 13 };

/* Eight bytes at a time; every step is a bijection of the state for a fixed word of text. */
static uint64_t mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio, odd */
    return state ^ state >> 32;
}

static uint32_t hash_of(const unsigned char *bytes, size_t length)
{
    uint64_t state = length, word = 0;
    size_t i = 0;
    for (; length - i >= sizeof word; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        state = mix(state, word);
    }
    word = 0;
    memcpy(&word, bytes + i, length - i);
    return (uint32_t)mix(mix(state, word), 0);
}

static bool is_word(const dither_words *words, const dither_word *word, const void *bytes, size_t length, uint32_t hash)
{
    return word->hash == hash && word->length == length && memcmp(words->bytes + word->start, bytes, length) == 0;
}

/* The slot that holds the word, or the free one where it belongs. */
static size_t slot_of(const dither_words *words, const void *bytes, size_t length, uint32_t hash)
{
    const size_t mask = words->slot_count - 1;
    size_t slot = hash & mask;
    while (words->slots[slot] != 0 &&
           !is_word(words, &words->words[words->slots[slot] - 1], bytes, length, hash))
        slot = (slot + 1) & mask;
    return slot;
}

/* Twice the slots, so that at most half are taken. */
static bool grow_slots(dither_words *words)
{
    const size_t slot_count = words->slot_count == 0 ? SLOTS_FIRST : 2 * words->slot_count, mask = slot_count - 1;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < words->count; i++) {
        size_t slot = words->words[i].hash & mask;
        while (slots[slot] != 0)
            slot = (slot + 1) & mask;
        slots[slot] = (uint32_t)(i + 1);
    }
    free(words->slots);
    words->slots = slots;
    words->slot_count = slot_count;
    return true;
}

static bool grow_words(dither_words *words)
{
    const size_t capacity = words->capacity == 0 ? WORDS_FIRST : 2 * words->capacity;
    const size_t bytes = dither_multiply(capacity, sizeof *words->words);
    dither_word *grown = bytes != SIZE_MAX ? realloc(words->words, bytes) : NULL;
    if (grown == NULL)
        return false;
    words->words = grown;
    words->capacity = capacity;
    return true;
}

static bool grow_bytes(dither_words *words, size_t length)
{
    size_t size = words->size == 0 ? BYTES_FIRST : words->size;
    while (size - words->used < length) {
        if (size > SIZE_MAX / 2)
            return false;
        size *= 2;
    }
    unsigned char *grown = realloc(words->bytes, size);
    if (grown == NULL)
        return false;
    words->bytes = grown;
    words->size = size;
    return true;
}

/* Room for one more word; slots hold 1 + its index in 32 bits. */
static bool make_room(dither_words *words, size_t length)
{
    if (words->count >= UINT32_MAX - 1)
        return false;
    if (words->count == words->capacity && !grow_words(words))
        return false;
    if (words->bytes == NULL || words->size - words->used < length)
        return grow_bytes(words, length);
    return true;
}

dither_status dither_words_add(dither_words *words, const void *bytes, size_t length, uint64_t count)
{
    assert(length <= UINT32_MAX);
    if (2 * (words->count + 1) > words->slot_count && !grow_slots(words))
        return DITHER_E_MEMORY;
    const uint32_t hash = hash_of(bytes, length);
    const size_t slot = slot_of(words, bytes, length, hash);
    if (words->slots[slot] != 0) {
        words->words[words->slots[slot] - 1].count += count;
        return DITHER_OK;
    }
    if (!make_room(words, length))
        return DITHER_E_MEMORY;
    memcpy(words->bytes + words->used, bytes, length);
    words->words[words->count] = (dither_word){words->used, (uint32_t)length, hash, count};
    words->used += length;
    words->slots[slot] = (uint32_t)++words->count;
    return DITHER_OK;
}

size_t dither_words_find(const dither_words *words, const void *bytes, size_t length)
{
    if (words->slot_count == 0 || length > UINT32_MAX)
        return SIZE_MAX;
    const uint32_t index = words->slots[slot_of(words, bytes, length, hash_of(bytes, length))];
    return index != 0 ? index - 1 : SIZE_MAX;
}

const unsigned char *dither_words_bytes(const dither_words *words, size_t index)
{
    return words->bytes + words->words[index].start;
}

dither_status dither_words_merge(dither_words *words, const dither_words *more)
{
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < more->count && status == DITHER_OK; i++)
        status = dither_words_add(words, dither_words_bytes(more, i), more->words[i].length, more->words[i].count);
    return status;
}

void dither_words_clear(dither_words *words)
{
    if (words->slot_count > 0)
        memset(words->slots, 0, words->slot_count * sizeof *words->slots);
    words->count = 0;
    words->used = 0;
}

void dither_words_close(dither_words *words)
{
    free(words->words);
    free(words->slots);
    free(words->bytes);
    *words = (dither_words){0};
}
