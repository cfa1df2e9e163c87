#include "data/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "data/bytes.h"
#include "data/chat_format.h"

static const char content[] = "message[\"content\"]", system_content[] = "messages[0][\"content\"]";

/* ---- expressions ------------------------------------------------------------------------------------------- */

/* Terms of one output, {{- a + b -}}; nothing is written where there are none. */
typedef struct sum {
    dither_bytes *out;
    size_t terms;
} sum;

static void put_string(dither_bytes *out, const char *text, size_t length)
{
    dither_bytes_add_text(out, "\"");
    for (size_t i = 0; i < length; i++) {
        const bool quoted = text[i] == '"' || text[i] == '\\';
        if (quoted)
            dither_bytes_add_text(out, "\\");
        if (text[i] == '\n')
            dither_bytes_add_text(out, "\\n");
        else
            dither_bytes_add(out, text + i, 1);
    }
    dither_bytes_add_text(out, "\"");
}

static void term(sum *s, const char *expression)
{
    dither_bytes_add_text(s->out, s->terms++ > 0 ? " + " : "{{- ");
    dither_bytes_add_text(s->out, expression);
}

/* A text of the table, with {bos} and {eos} in it. */
static void terms(sum *s, const char *text)
{
    while (text && *text) {
        const bool bos = !strncmp(text, "{bos}", 5), eos = !strncmp(text, "{eos}", 5);
        const char *next = strchr(text + 1, '{');
        const size_t plain = next ? (size_t)(next - text) : strlen(text);
        term(s, bos ? "bos" : eos ? "eos" : "");
        if (!bos && !eos)
            put_string(s->out, text, plain);
        text += bos || eos ? 5 : plain;
    }
}

static void end(sum *s)
{
    if (s->terms > 0)
        dither_bytes_add_text(s->out, " -}}\n");
    s->terms = 0;
}

static void put(dither_bytes *out, const char *text)
{
    sum s = {.out = out};
    terms(&s, text);
    end(&s);
}

/* ---- turns ------------------------------------------------------------------------------------------------- */

/* Thoughts of answers before the last question are left out, missing ones are shown as empty. */
static const char find_question[] =
    "{%- set question = namespace(last=messages|length - 1) -%}\n"
    "{%- for message in messages -%}\n"
    "{%- if message[\"role\"] == \"user\" and not (message[\"content\"].startswith(\"<tool_response>\")"
    " and message[\"content\"].endswith(\"</tool_response>\")) -%}\n"
    "{%- set question.last = loop.index0 -%}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n";

static const char put_thoughts[] =
    "{%- set thoughts = \"\" -%}\n"
    "{%- set says = message[\"content\"] -%}\n"
    "{%- if \"</think>\" in message[\"content\"] -%}\n"
    "{%- set thoughts = message[\"content\"].split(\"</think>\")[0].rstrip(\"\\n\").split(\"<think>\")[-1]"
    ".lstrip(\"\\n\") -%}\n"
    "{%- set says = message[\"content\"].split(\"</think>\")[-1].lstrip(\"\\n\") -%}\n"
    "{%- endif -%}\n"
    "{%- if loop.index0 > question.last and (loop.last or thoughts) -%}\n"
    "{{- \"<think>\\n\" + thoughts.strip(\"\\n\") + \"\\n</think>\\n\\n\" + says.lstrip(\"\\n\") -}}\n"
    "{%- else -%}\n"
    "{{- says -}}\n"
    "{%- endif -%}\n";

static void words(sum *s, const dither_chat_turn *turn)
{
    term(s, turn->strip == DITHER_STRIP_NONE ? "" : "(");
    dither_bytes_add_text(s->out, content);
    dither_bytes_add_text(s->out, turn->strip == DITHER_STRIP_NONE ? "" : " | trim)");
}

/* A user's words behind the system message. */
static void words_behind_system(sum *s, const dither_chat_format *f, const dither_chat_turn *turn)
{
    const bool trims = turn->strip == DITHER_STRIP_TURN;
    term(s, trims ? "((" : "(");
    if (f->system_before) {
        put_string(s->out, f->system_before, strlen(f->system_before));
        dither_bytes_add_text(s->out, " + ");
    }
    dither_bytes_add_text(s->out, system_content);
    dither_bytes_add_text(s->out, " + ");
    put_string(s->out, f->system_after, strlen(f->system_after));
    sum inner = {.out = s->out, .terms = 1};
    if (turn->strip == DITHER_STRIP_TEXT)
        words(&inner, turn);
    else
        term(&inner, content);
    dither_bytes_add_text(s->out, trims ? ") | trim)" : ")");
}

static void system_turn(dither_bytes *out, const dither_chat_format *f)
{
    const dither_chat_turn *turn = &f->turns[DITHER_CHAT_SYSTEM];
    sum s = {.out = out};
    if (f->drop_empty_system)
        dither_bytes_add_text(out, "{%- if message[\"content\"] -%}\n");
    terms(&s, turn->head);
    terms(&s, turn->lead);
    if (f->first_system_lead) {
        term(&s, "(");
        put_string(out, f->first_system_lead, strlen(f->first_system_lead));
        dither_bytes_add_text(out, " if loop.first else \"\")");
    }
    words(&s, turn);
    terms(&s, turn->stop);
    terms(&s, turn->rest);
    end(&s);
    if (f->drop_empty_system)
        dither_bytes_add_text(out, "{%- endif -%}\n");
}

static void user_turn(dither_bytes *out, const dither_chat_format *f)
{
    const dither_chat_turn *turn = &f->turns[DITHER_CHAT_USER];
    sum s = {.out = out};
    if (f->place == DITHER_PLACE_FIRST_USER || f->place == DITHER_PLACE_LAST_USER) {
        dither_bytes_add_text(out, f->place == DITHER_PLACE_FIRST_USER ? "{%- if leads and loop.first -%}\n"
                                                                       : "{%- if leads and loop.last -%}\n");
        terms(&s, turn->head);
        terms(&s, turn->lead);
        words_behind_system(&s, f, turn);
        terms(&s, turn->stop);
        terms(&s, turn->rest);
        end(&s);
        dither_bytes_add_text(out, "{%- else -%}\n");
    }
    terms(&s, turn->head);
    terms(&s, turn->lead);
    words(&s, turn);
    terms(&s, turn->stop);
    terms(&s, turn->rest);
    end(&s);
    if (f->place == DITHER_PLACE_FIRST_USER || f->place == DITHER_PLACE_LAST_USER)
        dither_bytes_add_text(out, "{%- endif -%}\n");
}

static void assistant_turn(dither_bytes *out, const dither_chat_format *f)
{
    const dither_chat_turn *turn = &f->turns[DITHER_CHAT_ASSISTANT];
    sum s = {.out = out};
    terms(&s, turn->head);
    terms(&s, turn->lead);
    if (f->thinks) {
        end(&s);
        dither_bytes_add_text(out, put_thoughts);
    } else {
        words(&s, turn);
    }
    terms(&s, turn->stop);
    terms(&s, turn->rest);
    end(&s);
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static void put_default_system(dither_bytes *out, const dither_chat_format *f)
{
    const dither_chat_turn *turn = &f->turns[DITHER_CHAT_SYSTEM];
    sum s = {.out = out};
    if (!f->default_system)
        return;
    dither_bytes_add_text(out, "{%- if not leads -%}\n");
    terms(&s, turn->head);
    terms(&s, f->first_system_lead);
    terms(&s, f->default_system);
    terms(&s, turn->stop);
    terms(&s, turn->rest);
    end(&s);
    dither_bytes_add_text(out, "{%- endif -%}\n");
}

static void put_loop(dither_bytes *out, const dither_chat_format *f)
{
    const bool own = f->place == DITHER_PLACE_TURN; /* system messages have turns of their own */
    if (!own)
        dither_bytes_add_text(out, "{%- set turns = messages[1:] if leads else messages -%}\n");
    dither_bytes_add_text(out, own ? "{%- for message in messages -%}\n" : "{%- for message in turns -%}\n");
    if (f->alternates)
        dither_bytes_add_text(out, "{%- if message[\"role\"] != "
                                   "(\"user\" if loop.index0 % 2 == 0 else \"assistant\") -%}\n"
                                   "{{- raise_exception(\"user and assistant take turns, user first\") -}}\n"
                                   "{%- endif -%}\n");
    dither_bytes_add_text(out, "{%- if message[\"role\"] == \"user\" -%}\n");
    user_turn(out, f);
    dither_bytes_add_text(out, "{%- elif message[\"role\"] == \"assistant\" -%}\n");
    assistant_turn(out, f);
    if (own) {
        dither_bytes_add_text(out, "{%- elif message[\"role\"] == \"system\" -%}\n");
        system_turn(out, f);
    }
    dither_bytes_add_text(out, "{%- else -%}\n{{- raise_exception(\"no such role: \" + message[\"role\"]) -}}\n"
                               "{%- endif -%}\n{%- endfor -%}\n");
}

static void put_body(dither_bytes *out, const dither_chat_format *f)
{
    if (f->place != DITHER_PLACE_TURN || f->default_system)
        dither_bytes_add_text(out, "{%- set leads = messages[0][\"role\"] == \"system\" -%}\n");
    if (f->place == DITHER_PLACE_REFUSED)
        dither_bytes_add_text(out, "{%- if leads -%}\n{{- raise_exception(\"there are no system messages here\") -}}\n"
                                   "{%- endif -%}\n");
    if (f->thinks)
        dither_bytes_add_text(out, find_question);
    put(out, f->begin);
    put_default_system(out, f);
    put_loop(out, f);
    if (f->prompt) {
        dither_bytes_add_text(out, "{%- if add_generation_prompt -%}\n");
        put(out, f->prompt);
        dither_bytes_add_text(out, "{%- endif -%}\n");
    }
    if (f->end) {
        dither_bytes_add_text(out, "{%- if not add_generation_prompt -%}\n");
        put(out, f->end);
        dither_bytes_add_text(out, "{%- endif -%}\n");
    }
    dither_bytes_add(out, "", 1);
}

#define SET_BOS "{%- set bos = "
#define SET_EOS "{%- set eos = "
#define SET_END " -%}\n"

/* A mark that the format's texts name. */
static void put_mark(dither_bytes *out, const dither_chat_format *format, const char *name, const char *set,
                     const char *mark)
{
    if (!dither_chat_format_names(format, name))
        return;
    dither_bytes_add_text(out, set);
    put_string(out, mark, strlen(mark));
    dither_bytes_add_text(out, SET_END);
}

dither_status dither_chat_format_template(const dither_chat_format *format, const dither_chat_marks *marks, char **text,
                                          dither_error *error)
{
    dither_bytes whole = {.size = 0};
    *text = NULL;
    put_mark(&whole, format, "{bos}", SET_BOS, marks->bos);
    put_mark(&whole, format, "{eos}", SET_EOS, marks->eos);
    put_body(&whole, format);
    if (whole.failed) {
        free(whole.bytes);
        return dither_fail(error, DITHER_E_MEMORY, format->name, "no memory for a chat template");
    }
    *text = whole.bytes;
    return DITHER_OK;
}

/*
 * What is behind a mark of the front; the text itself where none is there.
 * @param mark  [DITHER_CHAT_MARK], receives it, cut to fit; may be NULL
 */
static const char *read_mark(const char *text, const char *set, char *mark)
{
    if (strncmp(text, set, strlen(set)) != 0 || text[strlen(set)] != '"')
        return text;
    const char *c = text + strlen(set) + 1;
    size_t used = 0;
    for (; *c && *c != '"'; c++) {
        const bool escaped = *c == '\\' && c[1];
        c += escaped;
        if (mark && used + 1 < DITHER_CHAT_MARK)
            mark[used++] = escaped && *c == 'n' ? '\n' : *c;
    }
    if (*c != '"' || strncmp(c + 1, SET_END, strlen(SET_END)) != 0)
        return text;
    if (mark)
        mark[used] = '\0';
    return c + 1 + strlen(SET_END);
}

void dither_chat_template_marks(const char *text, dither_chat_marks *marks)
{
    (void)read_mark(read_mark(text, SET_BOS, marks->bos), SET_EOS, marks->eos);
}

bool dither_chat_template_is(const dither_chat_format *format, const char *text)
{
    dither_bytes body = {.size = 0};
    put_body(&body, format);
    const bool same = !body.failed && !strcmp(read_mark(read_mark(text, SET_BOS, NULL), SET_EOS, NULL), body.bytes);
    free(body.bytes);
    return same;
}
