/*
 * What a chat format is made of. A turn is
 *
 *     head lead TEXT stop rest
 *
 * of which an assistant's turn is trained on from lead to stop: head ends where the prompt for it ends. In all texts
 * {bos} and {eos} stand for those tokens.
 */
#ifndef DITHER_DATA_CHAT_FORMAT_H
#define DITHER_DATA_CHAT_FORMAT_H

#include "dither/chat.h"

typedef enum dither_chat_strip {
    DITHER_STRIP_NONE,
    DITHER_STRIP_TEXT, /* white space around the message */
    DITHER_STRIP_TURN  /* the same, after a system message was put in front of it */
} dither_chat_strip;

typedef struct dither_chat_turn {
    const char *head, *lead, *stop, *rest; /* NULL: nothing */
    dither_chat_strip strip;
} dither_chat_turn;

/* Where the first message goes if it is a system message. */
typedef enum dither_chat_place {
    DITHER_PLACE_TURN, /* a turn of its own, as later ones; else there are no later ones */
    DITHER_PLACE_FIRST_USER,
    DITHER_PLACE_LAST_USER, /* into the user's message that ends the chat; nowhere where the assistant's ends it */
    DITHER_PLACE_REFUSED
} dither_chat_place;

enum { DITHER_CHAT_MARKERS = 7, DITHER_CHAT_TOKENS = 6 };

struct dither_chat_format {
    const char *name, *models;
    const char *has[DITHER_CHAT_MARKERS], *lacks[DITHER_CHAT_MARKERS]; /* of the Jinja text; NULL at the end */
    const char *bos, *eos; /* of a tokenizer that has none. Without bos: where the tokenizer begins texts with one */
    const char *tokens[DITHER_CHAT_TOKENS]; /* what its models have single tokens for, beside bos and eos */
    const char *begin;                                   /* of every chat */
    dither_chat_turn turns[DITHER_CHAT_ROLES];
    dither_chat_place place;
    const char *system_before, *system_after; /* around a system message in a user's */
    const char *default_system;               /* where the first message is none; NULL: nothing then */
    const char *first_system_lead;            /* in front of the first system message's text */
    bool drop_empty_system;
    bool alternates; /* user, assistant, user, ... */
    bool thinks;     /* thoughts of answers before the last question are left out, missing ones are shown as empty */
    const char *prompt, *end; /* what ends a chat, with a prompt for the assistant and without */
};

/** Whether one of the format's texts has `mark`, {bos} or {eos}, in it. */
bool dither_chat_format_names(const dither_chat_format *format, const char *mark);

#endif
