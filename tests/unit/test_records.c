#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "data/record_reader.h"
#include "dither/records.h"
#include "temporary.h"

static dither_tokenizer *tokenizer;

static int setup(void **state)
{
    return temporary_setup(state) || dither_tokenizer_bytes(&tokenizer, NULL) != DITHER_OK ? -1 : 0;
}

static int teardown(void **state)
{
    dither_tokenizer_close(tokenizer);
    return temporary_teardown(state);
}

static const char *put(const char *name, const char *text)
{
    const char *path = temporary_path(temporary_folder, name);
    temporary_write(path, text, strlen(text));
    return path;
}

static dither_records *opened(const char *path, const dither_records_options *options)
{
    dither_records *records;
    dither_error error;
    if (dither_records_open(&records, &path, 1, options, tokenizer, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return records;
}

/* The record as text, with [[ ]] around what is trained on. */
static void describe(const dither_records *records, size_t index, char *text, size_t size)
{
    const dither_record record = dither_records_at(records, index);
    size_t used = 0;
    bool inside = false;
    for (size_t i = 0; i <= record.count; i++) {
        const bool trained = i < record.count && record.tokens[i] & DITHER_RECORD_TRAINED;
        if (trained != inside)
            used += (size_t)snprintf(text + used, size - used, trained ? "[[" : "]]");
        inside = trained;
        if (i < record.count)
            used += (size_t)snprintf(text + used, size - used, "%c", (int)(record.tokens[i] & DITHER_RECORD_ID));
    }
    text[used] = '\0';
}

/* One line, read in this format, gives this text. */
static void expect(const char *line, dither_records_options options, const char *wanted)
{
    char text[1024];
    if (!options.chat_format)
        options.chat_format = "zephyr";
    dither_records *records = opened(put("one.jsonl", line), &options);
    assert_int_equal(dither_records_count(records), 1);
    describe(records, 0, text, sizeof text);
    assert_string_equal(text, wanted);
    dither_records_close(records);
}

static void every_kind_of_record_is_read(void **state)
{
    (void)state;
    const dither_records_options usual = {0};
    static const char wanted[] = "<|user|>\nq</s>\n<|assistant|>\n[[a</s>]]\n";
    expect("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}",
           usual, wanted);
    expect("{\"id\":1,\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"gpt\",\"value\":\"a\"}]}",
           usual, wanted);
    expect("{\"prompt\":\"q\",\"completion\":\"a\"}", usual, wanted);
    expect("{\"answer\":\"a\",\"question\":\"q\",\"text\":\"no\"}", usual, wanted);
    expect("{\"instruction\":\"q\",\"output\":\"a\"}", usual, wanted);
    expect("{\"instruction\":\"q\",\"input\":\"\",\"output\":\"a\"}", usual, wanted);
    expect("{\"instruction\":\"do\",\"input\":\"this\",\"output\":\"a\"}", usual,
           "<|user|>\ndo\n\nthis</s>\n<|assistant|>\n[[a</s>]]\n");
    expect("{\"system\":\"s\",\"question\":\"q\",\"answer\":\"a\"}", usual,
           "<|system|>\ns</s>\n<|user|>\nq</s>\n<|assistant|>\n[[a</s>]]\n");
    expect("{\"text\":\"all of it \xc3\xa9\"}", usual, "[[all of it \xc3\xa9]]");
    expect("{\"query\":\"q\",\"text\":\"a\"}", (dither_records_options){.fields = "query,text"}, wanted);
    expect("{\"body\":\"b\"}", (dither_records_options){.fields = "body"}, "[[b]]");
    expect("{\"prompt\":\"q \",\"completion\":\"a\"}", (dither_records_options){.chat_format = "plain"}, "q [[a]]");
    expect("{\"prompt\":\"q\",\"completion\":\"a\"}", (dither_records_options){.train_on = DITHER_TRAIN_ON_ALL},
           "[[<|user|>\nq</s>\n<|assistant|>\na</s>\n]]");
}

static void texts_may_be_parts_or_numbers(void **state)
{
    (void)state;
    const dither_records_options usual = {0};
    static const struct {
        const char *json, *text;
    } answers[] = {{"42", "42"}, {"-7", "-7"}, {"0.1", "0.1"}, {"2.50", "2.5"}, {"0", "0"},
                   {"9007199254740991", "9007199254740991"},
                   {"true", "true"}, {"false", "false"}, {"[{\"type\":\"text\",\"text\":\"a\"}]", "a"},
                   {"[{\"type\":\"text\",\"text\":\"a \"},{\"text\":\"b\",\"type\":\"text\"}]", "a b"}};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        char line[300], wanted[200];
        snprintf(line, sizeof line, "{\"question\":%s,\"answer\":%s}", answers[i].json, answers[i].json);
        snprintf(wanted, sizeof wanted, "<|user|>\n%s</s>\n<|assistant|>\n[[%s</s>]]\n", answers[i].text,
                 answers[i].text);
        expect(line, usual, wanted);
    }
    expect("{\"instruction\":[{\"type\":\"text\",\"text\":\"do\"}],\"input\":5,\"output\":[{\"type\":\"text\","
           "\"text\":\"a\"}],\"system\":[{\"type\":\"text\",\"text\":\"s\"}]}", usual,
           "<|system|>\ns</s>\n<|user|>\ndo\n\n5</s>\n<|assistant|>\n[[a</s>]]\n");
    expect("{\"text\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\"y\"}]}", usual, "[[xy]]");
}

static void every_name_of_a_role_is_known(void **state)
{
    (void)state;
    static const char *const users[] = {"user", "human"}, *const assistants[] = {"assistant", "gpt", "bot", "model"};
    static const char *const keys[][3] = {{"messages", "role", "content"}, {"conversations", "from", "value"}};
    for (size_t k = 0; k < 2; k++)
        for (size_t u = 0; u < 2; u++)
            for (size_t a = 0; a < 4; a++) {
                char line[300];
                snprintf(line, sizeof line, "{\"%s\":[{\"%s\":\"system\",\"%s\":\"s\"},{\"%s\":\"%s\",\"%s\":\"q\"},"
                         "{\"%s\":\"%s\",\"%s\":\"a\"}]}", keys[k][0], keys[k][1], keys[k][2], keys[k][1], users[u],
                         keys[k][2], keys[k][1], assistants[a], keys[k][2]);
                expect(line, (dither_records_options){0},
                       "<|system|>\ns</s>\n<|user|>\nq</s>\n<|assistant|>\n[[a</s>]]\n");
            }
}

static void empty_answers_are_counted(void **state)
{
    (void)state;
#define ASKED "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"bot\",\"content\":\"\"},"
    static const char file[] = "{\"question\":\"q\",\"answer\":\"\"}\n{\"question\":\"q\",\"answer\":\" \\n\"}\n"
                               "{\"question\":\"q\",\"answer\":\"a\"}\n{\"text\":\"t\"}\n{\"text\":\"\"}\n"
                               ASKED "{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"bot\",\"content\":\"a\"}]}\n"
                               ASKED "{\"role\":\"user\",\"content\":\"q\"},"
                               "{\"role\":\"bot\",\"content\":\"a\",\"weight\":0}]}\n";
    dither_records_options options = {.chat_format = "zephyr"};
    dither_records *records = opened(put("some.jsonl", file), &options);
#undef ASKED
    assert_int_equal(dither_records_unanswered(records), 3);
    dither_records_packed packed;
    assert_int_equal(dither_records_pack(records, 64, DITHER_LONG_CUT, &packed, NULL), DITHER_OK);
    dither_records_close(records);
    options.train_on = DITHER_TRAIN_ON_ALL;
    records = opened(put("some.jsonl", file), &options);
    assert_int_equal(dither_records_unanswered(records), 0);
    dither_records_close(records);
    options.train_on = DITHER_TRAIN_ON_ASSISTANT;
    records = opened(put("none.jsonl", "{\"question\":\"q\",\"answer\":\"\"}\n{\"question\":\"q\",\"answer\":\"\"}"),
                     &options);
    dither_error error = {.status = DITHER_OK};
    assert_int_equal(dither_records_pack(records, 64, DITHER_LONG_CUT, &packed, &error), DITHER_E_SHAPE);
    assert_non_null(strstr(error.text, "2 of 2 records have an answer, and all of these are empty"));
    dither_records_close(records);
}

static void files_say_what_an_epoch_has_of_them(void **state)
{
    (void)state;
    char two[300], half[300];
    snprintf(two, sizeof two, "%s:2", put("two.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"de\"}\n{\"text\":\"f\"}\n"));
    snprintf(half, sizeof half, "%s:0.1", put("half.jsonl", "{\"question\":\"q\",\"answer\":\"a\"}\n"));
    const char *const paths[] = {two, half};
    const dither_records_options options = {.chat_format = "zephyr"};
    dither_records *records;
    assert_int_equal(dither_records_open(&records, paths, 2, &options, tokenizer, NULL), DITHER_OK);
    assert_int_equal(dither_records_files(records), 2);
    const dither_records_file a = dither_records_file_at(records, 0), b = dither_records_file_at(records, 1);
    assert_true(a.weight > 1.99 && a.weight < 2.01 && b.weight > 0.09 && b.weight < 0.11);
    assert_true(a.records == 3 && a.epoch_records == 6 && a.tokens == 6 && a.trained == 6);
    assert_true(b.records == 1 && b.epoch_records == 1 && b.trained == 5 && b.tokens > 5);
    dither_records_close(records);
}

static void answers_of_weight_0_are_not_trained_on(void **state)
{
    (void)state;
    expect("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
           "{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0},"
           "{\"role\":\"user\",\"content\":\"r\"},{\"role\":\"assistant\",\"content\":\"b\",\"weight\":1}]}",
           (dither_records_options){0},
           "<|user|>\nq</s>\n<|assistant|>\na</s>\n<|user|>\nr</s>\n<|assistant|>\n[[b</s>]]\n");
}

static void lines_arrays_and_blanks_are_one(void **state)
{
    (void)state;
    static const char *const files[] = {
        "{\"text\":\"a\"}\n{\"text\":\"b\"}\n",
        "\xef\xbb\xbf{\"text\":\"a\"}\r\n\r\n   \n{\"text\":\"b\"}",
        "[{\"text\":\"a\"},{\"text\":\"b\"}]",
        " \n[\n  {\n    \"text\": \"a\"\n  },\n  {\"text\": \"b\"}\n]\n\n",
    };
    const dither_records_options options = {0};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        dither_records *records = opened(put("file.json", files[i]), &options);
        assert_int_equal(dither_records_count(records), 2);
        assert_int_equal(dither_records_tokens(records), 2);
        assert_int_equal(dither_records_at(records, 1).tokens[0], 'b' | DITHER_RECORD_TRAINED);
        assert_null(dither_records_format(records));
        assert_true(i == 0 || dither_records_hash(records) == hash);
        hash = dither_records_hash(records);
        dither_records_close(records);
    }
    dither_records *other = opened(put("file.json", "{\"text\":\"ab\"}\n{\"text\":\"\"}"), &options);
    assert_true(dither_records_hash(other) != hash);
    dither_records_close(other);
}

static void strings_hide_what_ends_elements(void **state)
{
    (void)state;
    char text[256];
    dither_records *records =
        opened(put("a.json", "[{\"text\":\"],}\\\"[\"},{\"text\":\"\\\\\"}, {\"x\":[{}],\"text\":\"c\"}]"),
               &(dither_records_options){0});
    assert_int_equal(dither_records_count(records), 3);
    describe(records, 0, text, sizeof text);
    assert_string_equal(text, "[[],}\"[]]");
    describe(records, 1, text, sizeof text);
    assert_string_equal(text, "[[\\]]");
    dither_records_close(records);
}

static void refuse(const char *file, const char *where, const char *what, dither_records_options options)
{
    dither_records *records;
    dither_error error = {.status = DITHER_OK};
    const char *path = put("bad.jsonl", file);
    const dither_status status = dither_records_open(&records, &path, 1, &options, tokenizer, &error);
    if (status == DITHER_OK || !strstr(error.text, what) || !strstr(error.where, where))
        fail_msg("%s gives %s: %s, without '%s'", file, error.where, error.text, what);
    assert_null(records);
}

static void bad_lines_are_refused_with_their_place(void **state)
{
    (void)state;
    const dither_records_options o = {.chat_format = "zephyr"}, alternating = {.chat_format = "llama-2"};
#define GOOD "{\"text\":\"a\"}\n"
    refuse("", "bad.jsonl", "no records", o);
    refuse("\n \n", "bad.jsonl", "no records", o);
    refuse("[]", "bad.jsonl", "no records", o);
    refuse(GOOD "\n{\"text\":\"b\"\n", "bad.jsonl:3", "not JSON", o);
    refuse(GOOD "{\"text\":\"\xff\"}", "bad.jsonl:2", "UTF-8", o);
    refuse(GOOD "{\"text\":\"\\u0000\"}", "bad.jsonl:2", "character 0", o);
    refuse(GOOD "{\"text\":\"a\"}{\"text\":\"b\"}", "bad.jsonl:2", "follows", o);
    refuse(GOOD "\"just a string\"", "bad.jsonl:2", "an object is expected, here it is a string", o);
    refuse(GOOD "{\"query\":\"q\",\"reply\":\"r\"}", "bad.jsonl:2", "but query, reply; name what", o);
    refuse(GOOD "{\"question\":{},\"answer\":\"a\"}", "bad.jsonl:2",
           "\"question\" must be a string, here it is an object", o);
    refuse(GOOD "{\"question\":\"q\",\"answer\":null}", "bad.jsonl:2",
           "\"answer\" must be a string, here it is null", o);
    refuse(GOOD "{\"question\":\"q\",\"answer\":9007199254740993}", "bad.jsonl:2", "make it a string", o);
    refuse(GOOD "{\"question\":\"q\",\"answer\":1e300}", "bad.jsonl:2", "make it a string", o);
    refuse(GOOD "{\"question\":\"q\",\"answer\":1e-9}", "bad.jsonl:2", "make it a string", o);
    refuse(GOOD "{\"question\":\"q\",\"answer\":[]}", "bad.jsonl:2", "\"answer\" is an empty list", o);
    refuse(GOOD "{\"question\":\"q\",\"answer\":[\"a\"]}", "bad.jsonl:2", "element 1 is a string", o);
    refuse(GOOD "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completion\":\"a\"}", "bad.jsonl:2",
           "\"prompt\" must be a string, or a list of parts {\"type\": \"text\", \"text\": \"...\"}; element 1 is an "
           "object without a type", o);
    refuse(GOOD "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                "{\"type\":\"image_url\",\"image_url\":{}}]}]}", "bad.jsonl:2",
           "message 1: \"content\": part 2 is of type \"image_url\", and only \"text\" can be trained on", o);
    refuse(GOOD "{\"question\":\"q\",\"answer\":[{\"type\":\"text\"}]}", "bad.jsonl:2",
           "the \"text\" of part 1 must be a string; it is missing", o);
    refuse(GOOD "{\"question\":\"q\",\"answer\":\"a\",\"system\":{}}", "bad.jsonl:2", "\"system\" must be a string", o);
    refuse(GOOD "{\"messages\":[{\"role\":1,\"content\":\"a\"}]}", "bad.jsonl:2", "\"role\" must be a string", o);
    refuse(GOOD "{\"messages\":[{\"content\":\"a\"}]}", "bad.jsonl:2", "the field \"role\" is missing", o);
    refuse("{\"prompt\":\"p\"}", "bad.jsonl:1", "none of messages", o);
    refuse("{\"messages\":[]}", "bad.jsonl:1", "here it is empty", o);
    refuse("{\"messages\":\"hi\"}", "bad.jsonl:1", "here it is a string", o);
    refuse("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"tool\",\"content\":\"x\"}]}",
           "bad.jsonl:1",
           "message 2: \"role\" is \"tool\"; it must be system, user (or human) or assistant (or gpt, bot, model)", o);
    refuse("{\"messages\":[{\"role\":\"assistant\",\"content\":null}]}", "bad.jsonl:1",
           "must be a string, here it is null", o);
    refuse("{\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{}]}]}", "bad.jsonl:1",
           "tool_calls", o);
    refuse("{\"tools\":[{}],\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", "bad.jsonl:1", "tools", o);
    refuse("{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}", "bad.jsonl:1", "message 1 is from assistant",
           alternating);
    refuse("[\n{\"text\":\"a\"},\n{\"text\":\n}]", "bad.jsonl:4", "not JSON", o);
    refuse("[{\"text\":\"a\"}\n,]", "bad.jsonl:2", "a comma before", o);
    refuse("[{\"text\":\"a\"}\n{\"text\":\"b\"}]", "bad.jsonl:2", "not JSON", o);
    refuse("[{\"text\":\"a\"}", "bad.jsonl:1", "no end", o);
    refuse("[{\"text\":\"a\"}] x", "bad.jsonl:1", "follows the array", o);
    refuse(GOOD, "--fields", "names of a question", (dither_records_options){.fields = "a,b,c"});
    refuse(GOOD, "bad.jsonl:1", "\"body\" is missing", (dither_records_options){.fields = "body"});
    refuse(GOOD, "--chat-format", "no format", (dither_records_options){.chat_format = "nonesuch"});
    refuse("{\"question\":\"\",\"answer\":\"\"}", "my model", "no chat template",
           (dither_records_options){.model = "my model"});
#undef GOOD
}

static void paths_say_whether_they_are_records(void **state)
{
    (void)state;
    assert_true(dither_records_path("a.jsonl") && dither_records_path("b/c.json:2") &&
                dither_records_path("x.ndjson:.5"));
    assert_false(dither_records_path("a.txt") || dither_records_path("jsonl") || dither_records_path("a.jsonl.txt"));
    const char *folder = temporary_path(temporary_folder, "folder");
    assert_int_equal(mkdir(folder, 0777), 0);
    put("folder/a.jsonl", "{\"text\":\"a\"}");
    assert_true(dither_records_path(folder));
    put("folder/b.txt", "text");
    assert_false(dither_records_path(folder));
    /* A file whose name ends like a weight is that file. */
    put("odd.jsonl:7", "text");
    assert_false(dither_records_path(temporary_path(temporary_folder, "odd.jsonl:7")));
}

static void a_value_that_is_too_long_is_refused(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "long.jsonl");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("{\"text\":\"a\"}\n{\"text\":\"", file);
    for (size_t i = 0; i < DITHER_RECORD_BYTES; i += 64)
        fputs("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", file);
    fclose(file);
    dither_records *records;
    dither_error error;
    assert_int_equal(dither_records_open(&records, &path, 1, &(dither_records_options){0}, tokenizer, &error),
                     DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "a record of more than 64 MB"));
    assert_non_null(strstr(error.where, "long.jsonl:2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_record_is_read),
        cmocka_unit_test(texts_may_be_parts_or_numbers),
        cmocka_unit_test(every_name_of_a_role_is_known),
        cmocka_unit_test(empty_answers_are_counted),
        cmocka_unit_test(files_say_what_an_epoch_has_of_them),
        cmocka_unit_test(answers_of_weight_0_are_not_trained_on),
        cmocka_unit_test(lines_arrays_and_blanks_are_one),
        cmocka_unit_test(strings_hide_what_ends_elements),
        cmocka_unit_test(bad_lines_are_refused_with_their_place),
        cmocka_unit_test(paths_say_whether_they_are_records),
        cmocka_unit_test(a_value_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
