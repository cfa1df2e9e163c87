#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "data/chat_template.h"
#include "dither/chat.h"
#include "temporary.h"

enum { MESSAGES_MAX = 16 };

static cJSON *golden; /* what transformers renders: tools/check_chat_templates.py */

static int setup(void **state)
{
    (void)state;
    size_t size;
    char *text = (char *)temporary_read(DITHER_TEST_DATA "/chat_templates.json", &size);
    golden = cJSON_ParseWithLength(text, size);
    free(text);
    return golden ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    cJSON_Delete(golden);
    return 0;
}

static dither_chat_role role_of(const char *name)
{
    for (int role = 0; role < DITHER_CHAT_ROLES; role++)
        if (!strcmp(dither_chat_role_name((dither_chat_role)role), name))
            return (dither_chat_role)role;
    fail_msg("no role %s", name);
    return DITHER_CHAT_ROLES;
}

static size_t read_conversation(const cJSON *from, dither_chat_message *messages)
{
    size_t count = 0;
    const cJSON *turn;
    cJSON_ArrayForEach(turn, from)
    {
        const char *text = cJSON_GetArrayItem(turn, 1)->valuestring;
        messages[count++] =
            (dither_chat_message){role_of(cJSON_GetArrayItem(turn, 0)->valuestring), text, strlen(text)};
    }
    return count;
}

static dither_chat_marks golden_marks(void)
{
    dither_chat_marks marks;
    snprintf(marks.bos, sizeof marks.bos, "%s", cJSON_GetObjectItem(golden, "bos")->valuestring);
    snprintf(marks.eos, sizeof marks.eos, "%s", cJSON_GetObjectItem(golden, "eos")->valuestring);
    return marks;
}

static void check_rendering(const dither_chat_format *format, int conversation, bool prompt, const cJSON *wanted)
{
    dither_chat_message messages[MESSAGES_MAX];
    const size_t count =
        read_conversation(cJSON_GetArrayItem(cJSON_GetObjectItem(golden, "conversations"), conversation), messages);
    const dither_chat_marks marks = golden_marks();
    dither_chat_text chat;
    dither_error error = {.status = DITHER_OK};
    const dither_status status = dither_chat_render(format, &marks, messages, count, prompt, &chat, &error);
    if (cJSON_IsNull(wanted)) {
        assert_int_equal(status, DITHER_E_FORMAT);
        assert_non_null(strstr(error.text, "message "));
    } else {
        assert_int_equal(status, DITHER_OK);
        assert_string_equal(chat.text, wanted->valuestring);
        assert_int_equal(chat.length, strlen(wanted->valuestring));
    }
    dither_chat_text_free(&chat);
}

static void renders_as_transformers_does(void **state)
{
    (void)state;
    const cJSON *formats = cJSON_GetObjectItem(golden, "formats"), *rows;
    int seen = 0;
    cJSON_ArrayForEach(rows, formats)
    {
        const dither_chat_format *format = dither_chat_format_named(rows->string);
        assert_non_null(format);
        assert_int_equal(cJSON_GetArraySize(rows), 12);
        for (int i = 0; i < 12; i++)
            for (int prompt = 0; prompt < 2; prompt++)
                check_rendering(format, i, prompt, cJSON_GetArrayItem(cJSON_GetArrayItem(rows, i), prompt));
        seen++;
    }
    int known = 0;
    while (dither_chat_format_at((size_t)known))
        known++;
    assert_int_equal(seen, known - 1); /* "plain" is no template's */
}

/* Which chats can be taken up in the middle: a later message changes nothing of what came before. */
static bool grows(const char *name, const dither_chat_message *messages, size_t count)
{
    if (!strncmp(name, "mistral-v3", 10))
        return messages[0].role != DITHER_CHAT_SYSTEM; /* it moves to the last question */
    bool thinks = false;
    for (size_t i = 0; i < count; i++)
        thinks = thinks || strstr(messages[i].text, "<think>") || (i > 0 && messages[i].role == messages[i - 1].role);
    return strcmp(name, "qwen3") || (!thinks && count < 4);
}

/* What stands before an answer is the prompt for it, and it ends with the token that ends a turn. */
static void check_spans(const dither_chat_format *format, const dither_chat_message *messages, size_t count)
{
    const dither_chat_marks marks = golden_marks();
    const char *stop = dither_chat_stop(format, &marks);
    dither_chat_text whole, before;
    if (dither_chat_render(format, &marks, messages, count, false, &whole, NULL) != DITHER_OK)
        return;
    size_t span = 0;
    for (size_t i = 0; i < count; i++) {
        if (messages[i].role != DITHER_CHAT_ASSISTANT)
            continue;
        assert_true(span < whole.count);
        const dither_chat_span s = whole.spans[span++];
        assert_true(s.begin < s.end && s.end <= whole.length);
        assert_memory_equal(whole.text + s.end - strlen(stop), stop, strlen(stop));
        if (!grows(dither_chat_format_name(format), messages, count))
            continue;
        assert_int_equal(dither_chat_render(format, &marks, messages, i, true, &before, NULL), DITHER_OK);
        assert_int_equal(before.length, s.begin);
        assert_memory_equal(before.text, whole.text, s.begin);
        dither_chat_text_free(&before);
    }
    assert_int_equal(span, whole.count);
    dither_chat_text_free(&whole);
}

static void spans_are_what_follows_the_prompt(void **state)
{
    (void)state;
    const cJSON *conversation;
    dither_chat_message messages[MESSAGES_MAX];
    for (size_t f = 0; dither_chat_format_at(f); f++)
        cJSON_ArrayForEach(conversation, cJSON_GetObjectItem(golden, "conversations"))
        {
            const size_t count = read_conversation(conversation, messages);
            check_spans(dither_chat_format_at(f), messages, count);
        }
}

static void recognises_by_what_only_a_template_holds(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        {"{% for m in messages %}{{'<|im_start|>' + m.role + m.content + '<|im_end|>'}}{% endfor %}"
         "{% if add_generation_prompt %}{% endif %}", "chatml"},
        {"{{'<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>'}}",
         "smollm2"},
        {"{% if loop.first and messages[0] %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>{% endif %}",
         "qwen2"},
        {"<|im_start|>system You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>",
         "qwen2.5"},
        {"{{ bos_token }}<start_of_turn> System role not supported message['content'] | trim", "gemma"},
        {"<|start_header_id|> Cutting Knowledge Date: December 2023\\n 26 Jul 2024 system_message = \"\"", "llama-3.1"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const dither_chat_format *format = dither_chat_format_find(known[i][0]);
        assert_non_null(format);
        assert_string_equal(dither_chat_format_name(format), known[i][1]);
    }
    static const char *const unknown[] = {
        "", "{{ messages }}", "{{ bos_token }}<|im_start|> <|im_end|> add_generation_prompt",
        "<|im_start|> <|im_end|> add_generation_prompt <think>",
        "<|im_start|>user<|im_sep|> <|im_end|> add_generation_prompt",
        "<|im_start|>You are Dolphin<|im_end|> add_generation_prompt",
    };
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_null(dither_chat_format_find(unknown[i]));
}

/* What is written is what transformers was seen to render equally, and it is known again whatever the marks. */
static void written_templates_are_those_that_were_checked(void **state)
{
    (void)state;
    const dither_chat_marks checked = golden_marks();
    const dither_chat_marks odd = {.bos = "a\" -%}\n{{\\", .eos = "\\\"\xc3\xa9"}, none = {.bos = ""};
    const cJSON *written = cJSON_GetObjectItem(golden, "written");
    for (size_t f = 0; dither_chat_format_at(f); f++) {
        const dither_chat_format *format = dither_chat_format_at(f);
        const dither_chat_marks *const marks[] = {&checked, &odd, &none};
        for (size_t m = 0; m < 3; m++) {
            char *text;
            assert_int_equal(dither_chat_format_template(format, marks[m], &text, NULL), DITHER_OK);
            if (m == 0)
                assert_string_equal(text, cJSON_GetObjectItem(written, dither_chat_format_name(format))->valuestring);
            assert_ptr_equal(dither_chat_format_find(text), format);
            dither_chat_marks read = {.bos = "?", .eos = "?"};
            dither_chat_template_marks(text, &read);
            assert_string_equal(read.bos, strstr(text, "set bos =") ? marks[m]->bos : "?");
            assert_string_equal(read.eos, strstr(text, "set eos =") ? marks[m]->eos : "?");
            free(text);
        }
    }
    assert_int_equal((size_t)cJSON_GetArraySize(written), 19);
}

static void changed_templates_are_not_ours(void **state)
{
    (void)state;
    const dither_chat_marks marks = golden_marks();
    const dither_chat_format *format = dither_chat_format_named("llama-2");
    char *text;
    assert_int_equal(dither_chat_format_template(format, &marks, &text, NULL), DITHER_OK);
    const size_t length = strlen(text);
    char *changed = malloc(length + 2);
    assert_non_null(changed);
    for (size_t i = 0; i <= length; i += 7) { /* a character more, anywhere but in a mark */
        memcpy(changed, text, i);
        changed[i] = '#';
        memcpy(changed + i + 1, text + i, length + 1 - i);
        const char *const at = text + i, *const bos = strstr(text, "<BOS>"), *const eos = strstr(text, "<EOS>");
        const bool inside = (at >= bos && at <= bos + 5) || (at >= eos && at <= eos + 5);
        assert_true(inside || dither_chat_format_find(changed) != format);
    }
    free(changed);
    free(text);
}

static void marks_that_are_no_tokens_are_named(void **state)
{
    (void)state;
    dither_tokenizer *tokenizer;
    char names[200], few[12];
    assert_int_equal(dither_tokenizer_bytes(&tokenizer, NULL), DITHER_OK);
    assert_int_equal(dither_chat_format_lacking(dither_chat_format_named("chatml"), tokenizer, names, sizeof names), 2);
    assert_string_equal(names, "<|im_start|>, <|im_end|>");
    assert_int_equal(dither_chat_format_lacking(dither_chat_format_named("zephyr"), tokenizer, names, sizeof names), 1);
    assert_string_equal(names, "</s>");
    assert_int_equal(dither_chat_format_lacking(dither_chat_format_named("mistral-v3"), tokenizer, names, sizeof names),
                     4);
    assert_string_equal(names, "<s>, [INST], [/INST], </s>");
    assert_int_equal(dither_chat_format_lacking(dither_chat_format_named("chatml"), tokenizer, few, sizeof few), 2);
    assert_string_equal(few, "<|im_start|");
    assert_int_equal(dither_chat_format_lacking(dither_chat_format_named("plain"), tokenizer, names, sizeof names), 0);
    assert_string_equal(names, "");
    dither_tokenizer_close(tokenizer);
}

static void an_unknown_name_is_answered_with_the_names(void **state)
{
    (void)state;
    const dither_chat_format *format;
    dither_tokenizer *tokenizer;
    dither_error error;
    assert_int_equal(dither_tokenizer_bytes(&tokenizer, &error), DITHER_OK);
    assert_int_equal(dither_chat_format_choose("zephyr", tokenizer, NULL, &format, &error), DITHER_OK);
    assert_string_equal(dither_chat_format_name(format), "zephyr");
    assert_int_equal(dither_chat_format_choose("zefyr", tokenizer, NULL, &format, &error), DITHER_E_USAGE);
    assert_non_null(strstr(error.text, "did you mean zephyr?"));
    assert_int_equal(dither_chat_format_choose("my own", tokenizer, NULL, &format, &error), DITHER_E_USAGE);
    assert_non_null(strstr(error.text, "chatml, "));
    assert_int_equal(dither_chat_format_choose(NULL, tokenizer, "folder", &format, &error), DITHER_E_FORMAT);
    assert_string_equal(error.where, "folder");
    for (size_t i = 0; dither_chat_format_at(i); i++)
        assert_non_null(strstr(error.text, dither_chat_format_name(dither_chat_format_at(i))));
    dither_tokenizer_close(tokenizer);
}

static void marks_of_a_tokenizer_without_any_are_the_usual_ones(void **state)
{
    (void)state;
    dither_tokenizer *tokenizer;
    dither_chat_marks marks;
    assert_int_equal(dither_tokenizer_bytes(&tokenizer, NULL), DITHER_OK);
    dither_chat_marks_get(dither_chat_format_named("llama-2"), tokenizer, &marks);
    assert_string_equal(marks.bos, "<s>");
    assert_string_equal(marks.eos, "</s>");
    assert_string_equal(dither_chat_stop(dither_chat_format_named("llama-2"), &marks), "</s>");
    assert_string_equal(dither_chat_stop(dither_chat_format_named("chatml"), &marks), "<|im_end|>");
    dither_tokenizer_close(tokenizer);
}

static void a_chat_without_messages_is_refused(void **state)
{
    (void)state;
    dither_chat_text chat;
    dither_error error;
    const dither_chat_marks marks = golden_marks();
    assert_int_equal(dither_chat_render(dither_chat_format_at(0), &marks, NULL, 0, true, &chat, &error),
                     DITHER_E_FORMAT);
    dither_chat_text_free(&chat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_as_transformers_does),
        cmocka_unit_test(spans_are_what_follows_the_prompt),
        cmocka_unit_test(recognises_by_what_only_a_template_holds),
        cmocka_unit_test(written_templates_are_those_that_were_checked),
        cmocka_unit_test(changed_templates_are_not_ours),
        cmocka_unit_test(marks_that_are_no_tokens_are_named),
        cmocka_unit_test(an_unknown_name_is_answered_with_the_names),
        cmocka_unit_test(marks_of_a_tokenizer_without_any_are_the_usual_ones),
        cmocka_unit_test(a_chat_without_messages_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
