/* A conversation as the text that its format makes of it. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "data/bytes.h"
#include "data/chat_format.h"

typedef struct piece {
    const char *text;
    size_t length;
} piece;

/* ---- white space as Python's str.strip() knows it -------------------------------------------------------------- */

/* Bytes of the white-space character at the front of text, 0: none is there. */
static size_t space_at(const char *text, size_t length)
{
    const unsigned char *c = (const unsigned char *)text;
    if (length == 0)
        return 0;
    if ((c[0] >= 0x09 && c[0] <= 0x0d) || (c[0] >= 0x1c && c[0] <= 0x20))
        return 1;
    if (length >= 2 && c[0] == 0xc2 && (c[1] == 0x85 || c[1] == 0xa0))
        return 2;
    if (length < 3)
        return 0;
    const bool general = c[0] == 0xe2 && c[1] == 0x80 &&
                         ((c[2] >= 0x80 && c[2] <= 0x8a) || c[2] == 0xa8 || c[2] == 0xa9 || c[2] == 0xaf);
    const bool other = !memcmp(c, "\xe1\x9a\x80", 3) || !memcmp(c, "\xe2\x81\x9f", 3) || !memcmp(c, "\xe3\x80\x80", 3);
    return general || other ? 3 : 0;
}

static piece strip(piece p)
{
    for (size_t n; (n = space_at(p.text, p.length)) > 0; p.length -= n)
        p.text += n;
    for (bool more = true; more;) {
        more = false;
        for (size_t n = 1; n <= 3 && n <= p.length && !more; n++)
            if (space_at(p.text + p.length - n, n) == n) {
                p.length -= n;
                more = true;
            }
    }
    return p;
}

static piece strip_newlines(piece p, bool front, bool back)
{
    for (; front && p.length > 0 && p.text[0] == '\n'; p.length--)
        p.text++;
    while (back && p.length > 0 && p.text[p.length - 1] == '\n')
        p.length--;
    return p;
}

/* ---- thoughts ---------------------------------------------------------------------------------------------- */

static const char *find(piece in, const char *what, bool last)
{
    const size_t size = strlen(what);
    const char *found = NULL;
    for (size_t i = 0; i + size <= in.length && (last || !found); i++)
        if (!memcmp(in.text + i, what, size))
            found = in.text + i;
    return found;
}

static bool begins(piece p, const char *what)
{
    return p.length >= strlen(what) && !memcmp(p.text, what, strlen(what));
}

static bool ends(piece p, const char *what)
{
    const size_t size = strlen(what);
    return p.length >= size && !memcmp(p.text + p.length - size, what, size);
}

/* An answer cut into what it thinks and what it says; no thoughts where there is no end of them. */
static void split_thoughts(piece answer, piece *thoughts, piece *says)
{
    static const char open[] = "<think>", closed[] = "</think>";
    const char *first = find(answer, closed, false), *last = find(answer, closed, true);
    *says = answer;
    *thoughts = (piece){answer.text, 0};
    if (!first)
        return;
    const char *behind = last + strlen(closed);
    *says = strip_newlines((piece){behind, (size_t)(answer.text + answer.length - behind)}, true, false);
    piece before = strip_newlines((piece){answer.text, (size_t)(first - answer.text)}, false, true);
    const char *begun = find(before, open, true);
    if (begun) {
        before.length -= (size_t)(begun + strlen(open) - before.text);
        before.text = begun + strlen(open);
    }
    *thoughts = strip_newlines(before, true, false);
}

/* ---- rendering --------------------------------------------------------------------------------------------- */

typedef struct job {
    const dither_chat_format *format;
    const dither_chat_marks *marks;
    const dither_chat_message *messages;
    size_t count;
    size_t last_question; /* of a format that thinks: the message whose answers show thoughts are behind this one */
    dither_bytes text;
    dither_chat_text *chat;
} job;

/* A text of the table, with {bos} and {eos} in it. */
static void add(job *j, const char *text)
{
    while (text && *text) {
        const bool bos = !strncmp(text, "{bos}", 5), eos = !strncmp(text, "{eos}", 5);
        const char *next = strchr(text + 1, '{');
        const size_t plain = next ? (size_t)(next - text) : strlen(text);
        if (bos || eos)
            dither_bytes_add_text(&j->text, bos ? j->marks->bos : j->marks->eos);
        else
            dither_bytes_add(&j->text, text, plain);
        text += bos || eos ? 5 : plain;
    }
}

static void add_piece(job *j, piece p)
{
    dither_bytes_add(&j->text, p.text, p.length);
}

static void add_answer_with_thoughts(job *j, size_t index)
{
    const dither_chat_message *m = &j->messages[index];
    piece thoughts, says;
    split_thoughts((piece){m->text, m->length}, &thoughts, &says);
    if (index > j->last_question && (index + 1 == j->count || thoughts.length > 0)) {
        add(j, "<think>\n");
        add_piece(j, strip_newlines(thoughts, true, true));
        add(j, "\n</think>\n\n");
        says = strip_newlines(says, true, false);
    }
    add_piece(j, says);
}

/* A turn's text without what stands around it. @param system  goes in front of it; NULL: nothing does */
static void add_words(job *j, size_t index, const dither_chat_message *system)
{
    const dither_chat_format *f = j->format;
    const dither_chat_message *m = &j->messages[index];
    const dither_chat_turn *turn = &f->turns[m->role];
    piece words = {m->text, m->length};
    if (turn->strip == DITHER_STRIP_TEXT || (turn->strip == DITHER_STRIP_TURN && !system))
        words = strip(words);
    if (!system) {
        add_piece(j, words);
        return;
    }
    dither_bytes whole = {.size = 0};
    if (f->system_before)
        dither_bytes_add_text(&whole, f->system_before);
    dither_bytes_add(&whole, system->text, system->length);
    dither_bytes_add_text(&whole, f->system_after);
    dither_bytes_add(&whole, words.text, words.length);
    const piece all = {whole.bytes, whole.size};
    add_piece(j, turn->strip == DITHER_STRIP_TURN ? strip(all) : all);
    j->text.failed = j->text.failed || whole.failed;
    free(whole.bytes);
}

static void add_turn(job *j, size_t index, const dither_chat_message *system)
{
    const dither_chat_format *f = j->format;
    const dither_chat_message *m = &j->messages[index];
    const dither_chat_turn *turn = &f->turns[m->role];
    if (f->drop_empty_system && m->role == DITHER_CHAT_SYSTEM && m->length == 0)
        return;
    add(j, turn->head);
    const size_t begin = j->text.size;
    add(j, turn->lead);
    if (m->role == DITHER_CHAT_SYSTEM && index == 0)
        add(j, f->first_system_lead);
    if (f->thinks && m->role == DITHER_CHAT_ASSISTANT)
        add_answer_with_thoughts(j, index);
    else
        add_words(j, index, system);
    add(j, turn->stop);
    if (m->role == DITHER_CHAT_ASSISTANT)
        j->chat->spans[j->chat->count++] = (dither_chat_span){begin, j->text.size};
    add(j, turn->rest);
}

static void add_default_system(job *j)
{
    const dither_chat_format *f = j->format;
    const dither_chat_turn *turn = &f->turns[DITHER_CHAT_SYSTEM];
    if (!f->default_system || j->messages[0].role == DITHER_CHAT_SYSTEM)
        return;
    add(j, turn->head);
    add(j, f->first_system_lead);
    add(j, f->default_system);
    add(j, turn->stop);
    add(j, turn->rest);
}

static size_t find_last_question(const job *j)
{
    for (size_t i = j->count; i-- > 0;) {
        const piece words = {j->messages[i].text, j->messages[i].length};
        const bool tool = begins(words, "<tool_response>") && ends(words, "</tool_response>");
        if (j->messages[i].role == DITHER_CHAT_USER && !tool)
            return i;
    }
    return j->count - 1;
}

static void render(job *j, bool prompt)
{
    const dither_chat_format *f = j->format;
    const bool leads = j->messages[0].role == DITHER_CHAT_SYSTEM;
    const bool inside = leads && f->place != DITHER_PLACE_TURN; /* the system message is part of a user's turn */
    const size_t last = j->count - 1;
    const size_t into = f->place == DITHER_PLACE_LAST_USER ? last : 1;
    j->last_question = f->thinks ? find_last_question(j) : 0;
    add(j, f->begin);
    add_default_system(j);
    for (size_t i = inside; i < j->count; i++) {
        const bool takes = inside && i == into && j->messages[i].role == DITHER_CHAT_USER;
        add_turn(j, i, takes ? &j->messages[0] : NULL);
    }
    add(j, prompt ? f->prompt : f->end);
}

static dither_status check(const dither_chat_format *f, const dither_chat_message *messages, size_t count,
                           dither_error *error)
{
    if (count == 0)
        return dither_fail(error, DITHER_E_FORMAT, NULL, "a chat without messages");
    const bool leads = messages[0].role == DITHER_CHAT_SYSTEM;
    if (leads && f->place == DITHER_PLACE_REFUSED)
        return dither_fail(error, DITHER_E_FORMAT, NULL,
                           "message 1 is a system message, which the format %s has not; put it in front of the user's "
                           "first message", f->name);
    for (size_t i = leads; i < count && f->alternates; i++) {
        const dither_chat_role wanted = (i - leads) % 2 == 0 ? DITHER_CHAT_USER : DITHER_CHAT_ASSISTANT;
        if (messages[i].role != wanted)
            return dither_fail(error, DITHER_E_FORMAT, NULL,
                               "message %zu is from %s where one from %s must come: in the format %s user and "
                               "assistant take turns, user first", i + 1, dither_chat_role_name(messages[i].role),
                               dither_chat_role_name(wanted), f->name);
    }
    return DITHER_OK;
}

dither_status dither_chat_render(const dither_chat_format *format, const dither_chat_marks *marks,
                                 const dither_chat_message *messages, size_t count, bool prompt,
                                 dither_chat_text *chat, dither_error *error)
{
    *chat = (dither_chat_text){.text = NULL};
    const dither_status status = check(format, messages, count, error);
    if (status != DITHER_OK)
        return status;
    job j = {.format = format, .marks = marks, .messages = messages, .count = count, .chat = chat};
    chat->spans = calloc(count, sizeof *chat->spans);
    if (chat->spans)
        render(&j, prompt);
    dither_bytes_add(&j.text, "", 1);
    chat->text = j.text.bytes;
    if (!chat->spans || j.text.failed) {
        dither_chat_text_free(chat);
        return dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for a chat of %zu messages", count);
    }
    chat->length = j.text.size - 1;
    return DITHER_OK;
}

void dither_chat_text_free(dither_chat_text *chat)
{
    free(chat->text);
    free(chat->spans);
    *chat = (dither_chat_text){.text = NULL};
}
