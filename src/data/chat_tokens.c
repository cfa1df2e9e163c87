#include "data/chat_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "dither/records.h"

typedef struct job {
    const dither_tokenizer *tokenizer;
    const dither_chat_text *chat;
    const bool *left_out;
    uint32_t *ids; /* [count] */
    size_t count;
} job;

/*
 * The length of token i at byte `at` of the text, where its bytes stand there. Vocabularies that write a space in front
 * of every text make one that is not in the text: it does not count.
 */
static bool length_at(const job *j, size_t i, size_t at, size_t *length)
{
    const char *bytes = NULL;
    size_t size = dither_tokenizer_decode(j->tokenizer, j->ids[i], &bytes);
    const size_t left = j->chat->length - at;
    bool same = size > 0 && size <= left && !memcmp(bytes, j->chat->text + at, size);
    if (!same && size > 0 && bytes[0] == ' ' && size - 1 <= left) {
        size--;
        same = !memcmp(bytes + 1, j->chat->text + at, size);
    }
    *length = size;
    return same;
}

/* By the bytes that tokens stand for. @return whether they are the text: a tokenizer may have changed it */
static bool mark_by_bytes(const job *j)
{
    const dither_chat_text *chat = j->chat;
    size_t at = 0, span = 0, length;
    for (size_t i = 0; i < j->count; i++, at += length) {
        if (!length_at(j, i, at, &length))
            return false;
        while (span < chat->count && at >= chat->spans[span].end)
            span++;
        if (span < chat->count && at >= chat->spans[span].begin && !(j->left_out && j->left_out[span]))
            j->ids[i] |= DITHER_RECORD_TRAINED;
    }
    return at == chat->length;
}

/*
 * How many tokens begin before byte `at`: those of the text up to there, as far as they are the whole text's.
 * @return SIZE_MAX: no memory
 */
static size_t tokens_before(const job *j, size_t at, uint32_t *scratch)
{
    const size_t n = dither_tokenizer_encode_special(j->tokenizer, j->chat->text, at, scratch, j->count);
    size_t same = 0;
    if (n == SIZE_MAX) /* scratch says nothing */
        return SIZE_MAX;
    while (same < n && same < j->count && scratch[same] == (j->ids[same] & DITHER_RECORD_ID))
        same++;
    return same < n && same < j->count ? same + 1 : same;
}

/* @return false: no memory */
static bool mark_by_prefixes(const job *j, uint32_t *scratch)
{
    for (size_t i = 0; i < j->count; i++)
        j->ids[i] &= DITHER_RECORD_ID;
    for (size_t span = 0; span < j->chat->count; span++) {
        if (j->left_out && j->left_out[span])
            continue;
        const size_t end = tokens_before(j, j->chat->spans[span].end, scratch);
        const size_t begin = tokens_before(j, j->chat->spans[span].begin, scratch);
        if (begin == SIZE_MAX || end == SIZE_MAX)
            return false;
        for (size_t i = begin; i < end; i++)
            j->ids[i] |= DITHER_RECORD_TRAINED;
    }
    return true;
}

dither_status dither_chat_tokens(const dither_tokenizer *tokenizer, const dither_chat_text *chat,
                                 const bool *left_out, dither_bytes *tokens, dither_error *error)
{
    job j = {.tokenizer = tokenizer, .chat = chat, .left_out = left_out};
    /* seldom more tokens than bytes */
    const size_t guess = chat->length < SIZE_MAX - 16 ? chat->length + 16 : SIZE_MAX;
    char *room = dither_bytes_room(tokens, dither_multiply(guess, sizeof *j.ids));
    if (room)
        j.count = dither_tokenizer_encode_special(tokenizer, chat->text, chat->length, (uint32_t *)(void *)room, guess);
    if (room && j.count > guess && j.count != SIZE_MAX) {
        room = dither_bytes_room(tokens, dither_multiply(j.count, sizeof *j.ids));
        if (room)
            j.count = dither_tokenizer_encode_special(tokenizer, chat->text, chat->length, (uint32_t *)(void *)room,
                                                      j.count);
    }
    bool whole = room && j.count != SIZE_MAX;
    j.ids = (uint32_t *)(void *)room;
    if (whole && !mark_by_bytes(&j)) {
        uint32_t *scratch = calloc(j.count + 1, sizeof *scratch);
        whole = scratch != NULL && mark_by_prefixes(&j, scratch);
        free(scratch);
    }
    if (!whole)
        return dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for the tokens of a chat");
    tokens->size += j.count * sizeof *j.ids;
    return DITHER_OK;
}
