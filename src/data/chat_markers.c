/* The marks of a chat format, and which of them a vocabulary lacks. */
#include <stdio.h>
#include <string.h>

#include "data/chat_format.h"

static bool has(const char *text, const char *mark)
{
    return text && strstr(text, mark);
}

bool dither_chat_format_names(const dither_chat_format *format, const char *mark)
{
    bool found = has(format->begin, mark) || has(format->prompt, mark) || has(format->end, mark);
    for (int role = 0; role < DITHER_CHAT_ROLES; role++) {
        const dither_chat_turn *turn = &format->turns[role];
        found = found || has(turn->head, mark) || has(turn->lead, mark) || has(turn->stop, mark) ||
                has(turn->rest, mark);
    }
    return found;
}

static bool is_token(const dither_tokenizer *tokenizer, const char *text)
{
    uint32_t id;
    return dither_tokenizer_encode_special(tokenizer, text, strlen(text), &id, 1) == 1;
}

size_t dither_chat_format_lacking(const dither_chat_format *format, const dither_tokenizer *tokenizer, char *names,
                                  size_t size)
{
    dither_chat_marks marks;
    const char *texts[DITHER_CHAT_TOKENS + 2];
    size_t count = 0, lacking = 0, used = 0;
    dither_chat_marks_get(format, tokenizer, &marks);
    if (dither_chat_format_names(format, "{bos}") && marks.bos[0])
        texts[count++] = marks.bos;
    for (size_t i = 0; i < DITHER_CHAT_TOKENS && format->tokens[i]; i++)
        texts[count++] = format->tokens[i];
    if (dither_chat_format_names(format, "{eos}") && marks.eos[0])
        texts[count++] = marks.eos;
    if (size > 0)
        names[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (is_token(tokenizer, texts[i]))
            continue;
        if (used < size)
            used += (size_t)snprintf(names + used, size - used, "%s%s", lacking > 0 ? ", " : "", texts[i]);
        lacking++;
    }
    return lacking;
}
