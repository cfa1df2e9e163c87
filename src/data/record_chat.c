#include "data/record_chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/json.h"

enum { FIELD_MAX = 128 };

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* A text the object must have. */
static dither_status text_of(dither_record_chat *chat, const cJSON *object, const char *key, const char **text,
                             dither_error *error)
{
    return dither_record_text(object, key, &chat->texts, text, error);
}

static dither_status add(dither_record_chat *chat, dither_chat_role role, const char *text, size_t length,
                         bool unweighted, dither_error *error)
{
    if (chat->count == chat->capacity) {
        const size_t capacity = chat->capacity ? 2 * chat->capacity : 16;
        dither_chat_message *messages = realloc(chat->messages, capacity * sizeof *messages);
        chat->messages = messages ? messages : chat->messages;
        bool *flags = messages ? realloc(chat->unweighted, capacity * sizeof *flags) : NULL;
        if (!flags)
            return dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for %zu messages", capacity);
        chat->unweighted = flags;
        chat->capacity = capacity;
    }
    chat->messages[chat->count] = (dither_chat_message){role, text, length};
    chat->unweighted[chat->count++] = unweighted;
    return DITHER_OK;
}

static dither_status add_text(dither_record_chat *chat, dither_chat_role role, const char *text, dither_error *error)
{
    return add(chat, role, text, strlen(text), false, error);
}

/* ---- lists of messages ------------------------------------------------------------------------------------- */

/* How a list of messages spells who speaks and what is said. */
typedef struct spelling {
    const char *list, *role, *text;
} spelling;

static const spelling spellings[] = {
    {"messages", "role", "content"},
    {"conversations", "from", "value"},
};

enum { NAMES = 4 };

/* Both spellings take all of them: none means two things. */
static const char *const role_names[DITHER_CHAT_ROLES][NAMES] = {
    {"system"}, {"user", "human"}, {"assistant", "gpt", "bot", "model"}};

static dither_status role_of(const cJSON *item, const char *key, dither_chat_role *role, dither_error *error)
{
    const cJSON *word = member(item, key);
    if (!word)
        return dither_fail(error, DITHER_E_FORMAT, NULL, "the field \"%s\" is missing", key);
    if (!cJSON_IsString(word))
        return dither_fail(error, DITHER_E_FORMAT, NULL, "\"%s\" must be a string, here it is %s", key,
                           dither_record_kind(word));
    for (int r = 0; r < DITHER_CHAT_ROLES; r++)
        for (int i = 0; i < NAMES && role_names[r][i]; i++)
            if (!strcmp(role_names[r][i], word->valuestring)) {
                *role = (dither_chat_role)r;
                return DITHER_OK;
            }
    return dither_fail(error, DITHER_E_FORMAT, NULL,
                       "\"%s\" is \"%.40s\"; it must be system, user (or human) or assistant (or gpt, bot, model)", key,
                       word->valuestring);
}

/* What would change the text of a chat and is not rendered here. */
static dither_status refuse_tools(const cJSON *object, const char *const *keys, dither_error *error)
{
    for (; *keys; keys++) {
        const cJSON *item = member(object, *keys);
        if (item && !cJSON_IsNull(item) && !(cJSON_IsArray(item) && !item->child))
            return dither_fail(error, DITHER_E_FORMAT, NULL, "\"%s\" is not supported; leave such records out", *keys);
    }
    return DITHER_OK;
}

static dither_status read_message(dither_record_chat *chat, const spelling *s, const cJSON *item, dither_error *error)
{
    static const char *const tools[] = {"tool_calls", "function_call", "reasoning_content", NULL};
    const char *text = NULL;
    dither_chat_role role = DITHER_CHAT_USER;
    if (!cJSON_IsObject(item))
        return dither_fail(error, DITHER_E_FORMAT, NULL, "an object is expected, here it is %s",
                           dither_record_kind(item));
    dither_status status = role_of(item, s->role, &role, error);
    if (status == DITHER_OK)
        status = refuse_tools(item, tools, error);
    if (status == DITHER_OK)
        status = text_of(chat, item, s->text, &text, error);
    const cJSON *weight = member(item, "weight");
    const bool unweighted = role == DITHER_CHAT_ASSISTANT && cJSON_IsNumber(weight) && !(weight->valuedouble > 0);
    return status != DITHER_OK ? status : add(chat, role, text, strlen(text), unweighted, error);
}

static dither_status read_messages(dither_record_chat *chat, const spelling *s, const cJSON *object,
                                   dither_error *error)
{
    static const char *const tools[] = {"tools", "functions", NULL};
    const cJSON *list = member(object, s->list), *item;
    if (!cJSON_IsArray(list) || !list->child)
        return dither_fail(error, DITHER_E_FORMAT, NULL, "\"%s\" must be a list of messages, here it is %s", s->list,
                           cJSON_IsArray(list) ? "empty" : dither_record_kind(list));
    dither_status status = refuse_tools(object, tools, error);
    size_t number = 0;
    cJSON_ArrayForEach(item, list)
    {
        number++;
        if (status == DITHER_OK)
            status = read_message(chat, s, item, error);
        if (status != DITHER_OK)
            return error ? dither_fail(error, status, NULL, "message %zu: %s", number, error->text) : status;
    }
    return DITHER_OK;
}

/* ---- a question and an answer ------------------------------------------------------------------------------- */

static dither_status read_pair(dither_record_chat *chat, const cJSON *object, const char *question, const char *answer,
                               dither_error *error)
{
    const char *asked = NULL, *said = NULL;
    dither_status status = text_of(chat, object, question, &asked, error);
    if (status == DITHER_OK)
        status = text_of(chat, object, answer, &said, error);
    if (status == DITHER_OK)
        status = add_text(chat, DITHER_CHAT_USER, asked, error);
    return status != DITHER_OK ? status : add_text(chat, DITHER_CHAT_ASSISTANT, said, error);
}

static dither_status read_instruction(dither_record_chat *chat, const cJSON *object, dither_error *error)
{
    const char *input = NULL;
    const cJSON *given = member(object, "input");
    dither_status status = read_pair(chat, object, "instruction", "output", error);
    if (status != DITHER_OK || !given || cJSON_IsNull(given))
        return status;
    status = text_of(chat, object, "input", &input, error);
    if (status != DITHER_OK || !*input)
        return status;
    dither_chat_message *question = &chat->messages[chat->count - 2];
    dither_bytes_add(&chat->joined, question->text, question->length);
    dither_bytes_add_text(&chat->joined, "\n\n");
    dither_bytes_add_text(&chat->joined, input);
    if (chat->joined.failed)
        return dither_fail(error, DITHER_E_MEMORY, NULL, "no memory for a record");
    question->text = chat->joined.bytes;
    question->length = chat->joined.size;
    return DITHER_OK;
}

static dither_status read_text(dither_record_chat *chat, const cJSON *object, const char *key, dither_error *error)
{
    const dither_status status = text_of(chat, object, key, &chat->text, error);
    if (status == DITHER_OK)
        chat->length = strlen(chat->text);
    return status;
}

/* The system message that stands beside a question or a list. */
static dither_status read_system(dither_record_chat *chat, const cJSON *object, dither_error *error)
{
    const cJSON *item = member(object, "system");
    const char *text = "";
    const dither_status status =
        item && !cJSON_IsNull(item) ? text_of(chat, object, "system", &text, error) : DITHER_OK;
    return status != DITHER_OK || !*text ? status : add_text(chat, DITHER_CHAT_SYSTEM, text, error);
}

/* ---- records ----------------------------------------------------------------------------------------------- */

/* The two names of "a,b"; the second empty where there is one alone. */
static bool split_fields(const char *fields, char first[FIELD_MAX], char second[FIELD_MAX])
{
    const char *comma = strchr(fields, ',');
    const size_t length = comma ? (size_t)(comma - fields) : strlen(fields);
    const size_t rest = comma ? strlen(comma + 1) : 0;
    if (length == 0 || length >= FIELD_MAX || rest >= FIELD_MAX || (comma && (rest == 0 || strchr(comma + 1, ','))))
        return false;
    memcpy(first, fields, length);
    first[length] = '\0';
    memcpy(second, comma ? comma + 1 : "", rest + 1);
    return true;
}

dither_status dither_record_fields_check(const char *fields, dither_error *error)
{
    char first[FIELD_MAX], second[FIELD_MAX];
    if (!fields || split_fields(fields, first, second))
        return DITHER_OK;
    return dither_fail(error, DITHER_E_USAGE, "--fields",
                       "\"%.60s\" must be the names of a question and an answer, as question,answer; or one, of a text",
                       fields);
}

static dither_status read_named(dither_record_chat *chat, const cJSON *object, const char *fields, dither_error *error)
{
    char first[FIELD_MAX], second[FIELD_MAX];
    if (!split_fields(fields, first, second))
        return dither_record_fields_check(fields, error);
    if (!second[0])
        return read_text(chat, object, first, error);
    const dither_status status = read_system(chat, object, error);
    return status != DITHER_OK ? status : read_pair(chat, object, first, second, error);
}

static dither_status fail_unknown(const cJSON *object, dither_error *error)
{
    char found[200] = "nothing";
    size_t used = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        if (used + strlen(item->string) + 3 > sizeof found || !dither_json_printable(item->string))
            break;
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%s", used ? ", " : "", item->string);
    }
    return dither_fail(error, DITHER_E_FORMAT, NULL,
                       "none of messages; conversations; instruction, output; prompt, completion; question, answer; "
                       "text is in it, but %s; name what is meant with --fields", found);
}

static dither_status read_usual(dither_record_chat *chat, const cJSON *object, dither_error *error)
{
    static const char *const pairs[][2] = {{"prompt", "completion"}, {"question", "answer"}};
    dither_status status = read_system(chat, object, error);
    if (status != DITHER_OK)
        return status;
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++)
        if (member(object, spellings[i].list))
            return read_messages(chat, &spellings[i], object, error);
    if (member(object, "instruction") && member(object, "output"))
        return read_instruction(chat, object, error);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (member(object, pairs[i][0]) && member(object, pairs[i][1]))
            return read_pair(chat, object, pairs[i][0], pairs[i][1], error);
    if (!member(object, "text"))
        return fail_unknown(object, error);
    chat->count = 0; /* a text has no system message */
    return read_text(chat, object, "text", error);
}

dither_status dither_record_chat_read(dither_record_chat *chat, const cJSON *object, const char *fields,
                                      dither_error *error)
{
    chat->count = 0;
    chat->text = NULL;
    chat->length = 0;
    chat->joined.size = 0;
    dither_record_texts_clear(&chat->texts);
    if (!cJSON_IsObject(object))
        return dither_fail(error, DITHER_E_FORMAT, NULL, "an object is expected, here it is %s",
                           dither_record_kind(object));
    return fields ? read_named(chat, object, fields, error) : read_usual(chat, object, error);
}

void dither_record_chat_free(dither_record_chat *chat)
{
    free(chat->messages);
    free(chat->unweighted);
    free(chat->joined.bytes);
    dither_record_texts_free(&chat->texts);
    *chat = (dither_record_chat){.count = 0};
}

bool dither_record_chat_unanswered(const dither_record_chat *chat)
{
    bool answers = false;
    for (size_t i = 0; i < chat->count; i++) {
        const dither_chat_message *m = &chat->messages[i];
        if (m->role != DITHER_CHAT_ASSISTANT || chat->unweighted[i])
            continue;
        answers = true;
        for (size_t c = 0; c < m->length; c++)
            if (!strchr(" \t\r\n", m->text[c]))
                return false;
    }
    return answers;
}
