/* Any text as a chat template; and any bytes as a conversation, in every format: rendered, or refused with words. */
#include "dither/chat.h"

#include <stdlib.h>
#include <string.h>

#include "target.h"

enum { MESSAGES_MAX = 12 };

static void require(int condition)
{
    if (!condition)
        abort();
}

/* A byte 1, 2 or 3 starts a message of that role. */
static size_t cut(const char *text, size_t size, dither_chat_message *messages)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] >= 1 && text[i] <= 3 && count < MESSAGES_MAX)
            messages[count++] = (dither_chat_message){(dither_chat_role)(text[i] - 1), text + i + 1, 0};
        else if (count > 0)
            messages[count - 1].length++;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const dither_chat_marks marks = {.bos = "<s>", .eos = "</s>"};
    char *text = malloc(size + 1);
    require(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    (void)dither_chat_format_find(text);
    dither_chat_message messages[MESSAGES_MAX];
    const size_t count = cut(text, size, messages);
    for (size_t f = 0; dither_chat_format_at(f); f++) {
        dither_chat_text chat;
        dither_error error = {.status = DITHER_OK};
        const dither_status status =
            dither_chat_render(dither_chat_format_at(f), &marks, messages, count, size % 2, &chat, &error);
        require(status == DITHER_OK || (error.status == status && error.text[0] != '\0'));
        size_t end = 0;
        for (size_t i = 0; status == DITHER_OK && i < chat.count; i++) {
            require(chat.spans[i].begin >= end && chat.spans[i].end >= chat.spans[i].begin);
            end = chat.spans[i].end;
        }
        require(status != DITHER_OK || end <= chat.length);
        dither_chat_text_free(&chat);
    }
    free(text);
    return 0;
}
