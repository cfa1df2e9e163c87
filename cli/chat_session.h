/* A conversation with a model, kept as messages and rendered anew for every answer. */
#ifndef DITHER_CLI_CHAT_SESSION_H
#define DITHER_CLI_CHAT_SESSION_H

#include "dither/chat.h"
#include "generation.h"

typedef struct dither_chat_session {
    dither_generation *generation;
    const dither_chat_format *format;
    dither_chat_marks marks;
    dither_chat_message *messages; /* [count] whose texts are ... */
    char **texts;                  /* ... these, owned */
    size_t count, capacity;
    bool json;
    size_t dropped; /* messages that the context has no room for any more */
} dither_chat_session;

/** @param system  the first message; NULL: the format's own, if it has one */
dither_status dither_chat_session_open(dither_chat_session *session, dither_generation *generation,
                                       const dither_chat_format *format, const char *system, dither_error *error);
void dither_chat_session_close(dither_chat_session *session);

/** Say one thing and write the answer to the generation's output. What was said and answered is kept. */
dither_status dither_chat_session_say(dither_chat_session *session, const char *text, dither_error *error);

/** Read lines from standard input, each a message or a command, until it ends. @return an exit code */
int dither_chat_session_run(dither_chat_session *session);

/** Lines that --help says about them. */
void dither_chat_session_notes(void);

#endif
