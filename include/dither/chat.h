/**
 * Chats as text: what a model's chat template makes of a conversation, and which bytes of it the assistant says.
 *
 * Model files carry the template as a program in Jinja. Programs are not run here: each common family of templates is a
 * row of a table, recognised by what only its text holds, and its rendering equals that of transformers'
 * apply_chat_template byte for byte (tools without calls and reasoning options aside, which are not supported).
 */
#ifndef DITHER_CHAT_H
#define DITHER_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dither_chat_role {
    DITHER_CHAT_SYSTEM,
    DITHER_CHAT_USER,
    DITHER_CHAT_ASSISTANT,
    DITHER_CHAT_ROLES
} dither_chat_role;

/** "system", "user", "assistant". */
DITHER_API const char *dither_chat_role_name(dither_chat_role role);

typedef struct dither_chat_message {
    dither_chat_role role;
    const char *text; /* [length] UTF-8 */
    size_t length;
} dither_chat_message;

/* ---- formats ---------------------------------------------------------------------------------------------- */

typedef struct dither_chat_format dither_chat_format;

/** The formats in turn; NULL past the end. */
DITHER_API const dither_chat_format *dither_chat_format_at(size_t index);
DITHER_API const char *dither_chat_format_name(const dither_chat_format *format);   /* "chatml" */
DITHER_API const char *dither_chat_format_models(const dither_chat_format *format); /* whose it is, in words */

/** The format of this name; NULL: there is none. */
DITHER_API const dither_chat_format *dither_chat_format_named(const char *name);

/** The format whose template this Jinja text is; NULL: none that is known. */
DITHER_API const dither_chat_format *dither_chat_format_find(const char *template_text);

/**
 * The named format; where name is NULL, the one of the tokenizer's own template.
 * @param where  whose template it is, for the error; may be NULL
 * @return DITHER_OK | DITHER_E_USAGE (no such name) | DITHER_E_FORMAT (no template, or an unknown one); the error lists
 *         the names
 */
DITHER_API DITHER_MUST_USE dither_status dither_chat_format_choose(const char *name, const dither_tokenizer *tokenizer,
                                                                   const char *where,
                                                                   const dither_chat_format **format,
                                                                   dither_error *error);

/* ---- rendering -------------------------------------------------------------------------------------------- */

enum { DITHER_CHAT_MARK = 64 };

/* Texts of the tokens that begin and end a text, which templates call bos_token and eos_token. */
typedef struct dither_chat_marks {
    char bos[DITHER_CHAT_MARK], eos[DITHER_CHAT_MARK];
} dither_chat_marks;

/**
 * Those that the tokenizer's template names, if it is one of dither_chat_format_template; else the tokenizer's; where
 * it has none, those that the format's models usually have, as plain text.
 */
DITHER_API void dither_chat_marks_get(const dither_chat_format *format, const dither_tokenizer *tokenizer,
                                      dither_chat_marks *marks);

/**
 * A Jinja text for model files that renders chats as the format does, for a tokenizer with these marks:
 * dither_chat_format_find knows it, and transformers renders it equally.
 * @param text  receives it; free() it
 * @return DITHER_OK | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_chat_format_template(const dither_chat_format *format,
                                                                     const dither_chat_marks *marks, char **text,
                                                                     dither_error *error);

/**
 * Marks of the format (<|im_start|> and the like) that are single tokens where its models have them, and not in this
 * vocabulary: there they are ordinary text.
 * @param names  [size], receives them with ", " between, cut to fit
 * @return how many they are
 */
DITHER_API size_t dither_chat_format_lacking(const dither_chat_format *format, const dither_tokenizer *tokenizer,
                                             char *names, size_t size);

/** The text that ends a turn of the assistant's; lives in `format` or `marks`. */
DITHER_API const char *dither_chat_stop(const dither_chat_format *format, const dither_chat_marks *marks);

/* What the assistant says in a rendered chat: its words and what ends its turn. */
typedef struct dither_chat_span {
    size_t begin, end; /* bytes [begin, end) */
} dither_chat_span;

typedef struct dither_chat_text {
    char *text; /* [length], and a 0 behind */
    size_t length;
    dither_chat_span *spans; /* [count], in order, apart */
    size_t count;
} dither_chat_text;

/**
 * @param messages  [count], the whole conversation from its first message on
 * @param prompt    end with what the assistant's next words follow (add_generation_prompt)
 * @param chat      dither_chat_text_free() it in any case
 * @return DITHER_OK | DITHER_E_FORMAT (a conversation that the format cannot hold: error.text says which message and
 *         why, error.where is empty) | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_chat_render(const dither_chat_format *format,
                                                            const dither_chat_marks *marks,
                                                            const dither_chat_message *messages, size_t count,
                                                            bool prompt, dither_chat_text *chat, dither_error *error);
DITHER_API void dither_chat_text_free(dither_chat_text *chat);

#ifdef __cplusplus
}
#endif
#endif
