#include "chat_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

static dither_status no_memory(dither_error *error)
{
    *error = (dither_error){.status = DITHER_E_MEMORY, .text = "no memory for the conversation"};
    return error->status;
}

static bool grow(dither_chat_session *s)
{
    const size_t capacity = s->capacity ? 2 * s->capacity : 16;
    dither_chat_message *messages = realloc(s->messages, capacity * sizeof *messages);
    if (messages)
        s->messages = messages;
    char **texts = realloc(s->texts, capacity * sizeof *texts);
    if (texts)
        s->texts = texts;
    if (messages && texts)
        s->capacity = capacity;
    return messages && texts;
}

static dither_status add_message(dither_chat_session *s, dither_chat_role role, const char *text, size_t length,
                                 dither_error *error)
{
    char *copy = s->count < s->capacity || grow(s) ? malloc(length + 1) : NULL;
    if (!copy)
        return no_memory(error);
    memcpy(copy, text, length);
    copy[length] = 0;
    s->texts[s->count] = copy;
    s->messages[s->count++] = (dither_chat_message){.role = role, .text = copy, .length = length};
    return DITHER_OK;
}

static void drop_messages(dither_chat_session *s, size_t first, size_t count)
{
    const size_t behind = s->count - first - count;
    for (size_t i = first; i < first + count; i++)
        free(s->texts[i]);
    if (behind) {
        memmove(s->messages + first, s->messages + first + count, behind * sizeof *s->messages);
        memmove(s->texts + first, s->texts + first + count, behind * sizeof *s->texts);
    }
    s->count -= count;
}

static bool has_system(const dither_chat_session *s)
{
    return s->count > 0 && s->messages[0].role == DITHER_CHAT_SYSTEM;
}

dither_status dither_chat_session_open(dither_chat_session *session, dither_generation *generation,
                                       const dither_chat_format *format, const char *system, dither_error *error)
{
    *session = (dither_chat_session){.generation = generation, .format = format};
    dither_chat_marks_get(format, generation->tokenizer, &session->marks);
    return system ? add_message(session, DITHER_CHAT_SYSTEM, system, strlen(system), error) : DITHER_OK;
}

void dither_chat_session_close(dither_chat_session *session)
{
    drop_messages(session, 0, session->count);
    free(session->messages);
    free(session->texts);
}

/* The tokens of the whole conversation up to where the answer begins; the caller frees them. */
static dither_status encode(const dither_chat_session *s, uint32_t **ids, size_t *count, dither_error *error)
{
    dither_chat_text chat = {0};
    *ids = NULL;
    dither_status status = dither_chat_render(s->format, &s->marks, s->messages, s->count, true, &chat, error);
    if (!status) {
        const dither_tokenizer *tokenizer = s->generation->tokenizer;
        *count = dither_tokenizer_encode_special(tokenizer, chat.text, chat.length, NULL, 0);
        if (*count == SIZE_MAX || !(*ids = malloc((*count + 1) * sizeof **ids)) ||
            dither_tokenizer_encode_special(tokenizer, chat.text, chat.length, *ids, *count) != *count)
            status = no_memory(error);
    }
    dither_chat_text_free(&chat);
    return status;
}

/*
 * The conversation as tokens, without its oldest turns where the context would have no room for an answer: a quarter of
 * it, or as many tokens as may be written.
 */
static dither_status encode_fitting(dither_chat_session *s, uint32_t **ids, size_t *count, dither_error *error)
{
    const size_t ctx = dither_writer_ctx(s->generation->writer);
    const uint64_t room = s->generation->tokens < ctx / 4 ? s->generation->tokens : ctx / 4;
    for (;;) {
        const dither_status status = encode(s, ids, count, error);
        if (status || *count + room <= ctx)
            return status;
        free(*ids);
        *ids = NULL;
        const size_t first = has_system(s) ? 1 : 0;
        if (s->count < first + 3) { /* a question, its answer, and what is asked now */
            *error = (dither_error){.status = DITHER_E_SHAPE};
            (void)snprintf(error->text, sizeof error->text,
                           "the message has %zu tokens; the context of %zu has no room for an answer of %zu: a shorter "
                           "message, or %s", *count, ctx, (size_t)room,
                           *count < ctx ? "fewer --tokens" : "a model with a longer one");
            return error->status;
        }
        drop_messages(s, first, 2);
        s->dropped += 2;
    }
}

/* The answer into memory, beside where it is shown. */
static dither_status write_answer(dither_chat_session *s, const uint32_t *ids, size_t count, char **text,
                                  size_t *length, dither_error *error)
{
    dither_generation *g = s->generation;
    g->tee = open_memstream(text, length);
    if (!g->tee)
        return no_memory(error);
    dither_status status = dither_generation_run(g, ids, count, error);
    if (fclose(g->tee) && !status)
        status = no_memory(error);
    g->tee = NULL;
    return status;
}

static void print_json(const dither_chat_session *s, const char *said, const char *text, size_t length)
{
    printf("{\"prompt\":");
    dither_output_json_text(stdout, said, strlen(said));
    printf(",\"text\":");
    dither_output_json_text(stdout, text, length);
    dither_generation_json(s->generation);
    printf(",\"dropped\":%zu", s->dropped);
    printf("}\n");
    fflush(stdout);
}

dither_status dither_chat_session_say(dither_chat_session *session, const char *text, dither_error *error)
{
    uint32_t *ids = NULL;
    char *answer = NULL;
    size_t count = 0, length = 0;
    const size_t dropped = session->dropped;
    dither_status status = add_message(session, DITHER_CHAT_USER, text, strlen(text), error);
    if (status)
        return status;
    status = encode_fitting(session, &ids, &count, error);
    if (!status && session->dropped > dropped)
        fprintf(stderr, "(the context of %zu tokens is full: the oldest messages are left out)\n",
                dither_writer_ctx(session->generation->writer));
    if (!status)
        status = write_answer(session, ids, count, &answer, &length, error);
    if (!status)
        status = add_message(session, DITHER_CHAT_ASSISTANT, answer, length, error);
    else
        drop_messages(session, session->count - 1, 1);
    if (!status && session->json)
        print_json(session, text, answer, length);
    free(ids);
    free(answer);
    return status;
}

/* ---- lines -------------------------------------------------------------------------------------------------- */

void dither_chat_session_notes(void)
{
    printf("Chat:\n"
           "With --chat and without --prompt every line of standard input is a message; a line that ends in \\ goes\n"
           "on in the next. On a terminal Ctrl-C stops an answer and Ctrl-D leaves. Lines that are no messages:\n"
           "  /clear          forget the conversation\n"
           "  /system TEXT    forget it and begin a new one with this system message; without TEXT the model's own\n"
           "  /exit           leave\n"
           "The keys and values of what was said are kept, so that each turn reads only what is new; where the\n"
           "context is full the oldest turns are left out.\n");
}

static bool starts_command(const char *line, const char *name, const char **rest)
{
    const size_t length = strlen(name);
    if (strncmp(line, name, length) || (line[length] && line[length] != ' '))
        return false;
    *rest = line + length + strspn(line + length, " ");
    return true;
}

typedef enum line_kind { LINE_MESSAGE, LINE_DONE, LINE_LEAVE } line_kind;

static line_kind command(dither_chat_session *s, const char *line, dither_error *error)
{
    const char *rest;
    const size_t kept = has_system(s) ? 1 : 0;
    if (line[0] != '/')
        return line[strspn(line, " \t")] ? LINE_MESSAGE : LINE_DONE;
    if (starts_command(line, "/exit", &rest))
        return LINE_LEAVE;
    if (starts_command(line, "/clear", &rest)) {
        drop_messages(s, kept, s->count - kept);
    } else if (starts_command(line, "/system", &rest)) {
        drop_messages(s, 0, s->count);
        if (*rest && add_message(s, DITHER_CHAT_SYSTEM, rest, strlen(rest), error))
            (void)dither_output_error(error);
    } else {
        fprintf(stderr, "dither: %s: no such command; there are /clear, /system TEXT and /exit\n", line);
    }
    return LINE_DONE;
}

typedef enum read_result { READ_MESSAGE, READ_END, READ_INTERRUPTED } read_result;

/* A line, and those that its backslashes lead to. */
static read_result read_message(FILE *memory, bool terminal)
{
    size_t capacity = 0;
    char *line = NULL;
    read_result result = READ_END;
    for (bool goes_on = true; goes_on;) {
        if (terminal) {
            fputs(result == READ_MESSAGE ? "... " : "> ", stdout);
            fflush(stdout);
        }
        errno = 0;
        ssize_t got = getline(&line, &capacity, stdin);
        if (got < 0) {
            if (errno == EINTR)
                result = READ_INTERRUPTED;
            break;
        }
        result = READ_MESSAGE;
        if (got > 0 && line[got - 1] == '\n')
            got--;
        goes_on = got > 0 && line[got - 1] == '\\';
        fwrite(line, 1, (size_t)(goes_on ? got - 1 : got), memory);
        if (goes_on)
            fputc('\n', memory);
    }
    free(line);
    return result;
}

/* @return whether to go on */
static bool take_line(dither_chat_session *s, const char *line, bool terminal, int *code)
{
    dither_error error = {.status = DITHER_OK};
    const line_kind kind = command(s, line, &error);
    if (kind != LINE_MESSAGE)
        return kind != LINE_LEAVE;
    if (dither_chat_session_say(s, line, &error)) {
        *code = dither_output_error(&error);
        return terminal && error.status != DITHER_E_MEMORY;
    }
    if (!s->json)
        putchar('\n');
    fflush(stdout);
    if (terminal)
        dither_generation_report(s->generation);
    return !ferror(stdout);
}

int dither_chat_session_run(dither_chat_session *session)
{
    const bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    int code = EXIT_SUCCESS;
    for (bool goes_on = true; goes_on;) {
        char *text = NULL;
        size_t length = 0;
        FILE *memory = open_memstream(&text, &length);
        const read_result result = memory ? read_message(memory, terminal) : READ_END;
        if (!memory || fclose(memory)) {
            code = dither_output_fail(DITHER_E_MEMORY, NULL, "no memory for a message");
            goes_on = false;
        } else if (result == READ_MESSAGE) {
            goes_on = take_line(session, text, terminal, &code);
        } else {
            goes_on = terminal && result == READ_INTERRUPTED; /* Ctrl-C while nothing is written: a new line */
            clearerr(stdin);
            if (terminal)
                putchar('\n');
        }
        free(text);
    }
    return code;
}
