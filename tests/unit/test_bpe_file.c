#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "data/bpe_file.h"
#include "temporary.h"

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static cJSON *write_and_parse(const dither_trained_bpe *bpe, const char *const *special, size_t count,
                              const char *pattern)
{
    const char *path = temporary_path(temporary_folder, "tok.json");
    dither_error error;
    size_t size;
    if (dither_bpe_write(bpe, special, count, pattern, path, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    char *text = (char *)temporary_read(path, &size);
    text[size] = '\0';
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    free(text);
    return root;
}

static const cJSON *at(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (item == NULL)
        fail_msg("there is no %s", key);
    return item;
}

static void trained(dither_trained_bpe *bpe)
{
    dither_words words = {0};
    static const char *const texts[] = {" \"\\", " \"\\", "\n\n", "\n\n", "\xff\xad", "\xff\xad"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(dither_words_add(&words, texts[i], strlen(texts[i]), 1), DITHER_OK);
    assert_int_equal(dither_bpe_train(bpe, &words, 300, 2, NULL, NULL, NULL), DITHER_OK);
    dither_words_close(&words);
}

static void ids_and_merges(void **state)
{
    (void)state;
    static const char *const special[] = {"<|\"\\|>", "\t\u00e9nd\x7f"};
    dither_trained_bpe bpe = {0};
    trained(&bpe);
    cJSON *root = write_and_parse(&bpe, special, 2, "gpt2");
    const cJSON *model = at(root, "model"), *vocab = at(model, "vocab"), *merges = at(model, "merges");
    assert_int_equal(cJSON_GetArraySize(vocab), 2 + bpe.tokens.count);
    int id = 0;
    for (const cJSON *token = vocab->child; token != NULL; token = token->next)
        assert_int_equal(token->valueint, id++);
    for (int i = 0; i < 2; i++) {
        const cJSON *added = cJSON_GetArrayItem(at(root, "added_tokens"), i);
        assert_string_equal(at(added, "content")->valuestring, special[i]);
        assert_int_equal(at(added, "id")->valueint, i);
        assert_true(cJSON_IsTrue(at(added, "special")));
        assert_int_equal(at(vocab, special[i])->valueint, i);
    }
    /* bytes in the order of their characters, as GPT-2 has them: space is U+0120, newline U+010a, 0xad U+0143 */
    static const char *const characters[] = {"!", "~", "\u00a1", "\u00ac", "\u00ae", "\u00ff", "\u0100", "\u010a",
                                             "\u0120", "\u0121", "\u0142", "\u0143"};
    static const int order[] = {0, 93, 94, 105, 106, 187, 188, 198, 220, 221, 254, 255};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        assert_int_equal(at(vocab, characters[i])->valueint, 2 + order[i]);
    assert_int_equal(cJSON_GetArraySize(merges), bpe.merge_count);
    /* each merge's parts are tokens, and joined they are the next token */
    id = 258;
    for (const cJSON *merge = merges->child; merge != NULL; merge = merge->next) {
        char left[64], right[64], both[128];
        assert_int_equal(sscanf(merge->valuestring, "%63s %63s", left, right), 2);
        assert_true(at(vocab, left)->valueint < id && at(vocab, right)->valueint < id);
        snprintf(both, sizeof both, "%s%s", left, right);
        assert_int_equal(at(vocab, both)->valueint, id++);
    }
    assert_string_equal(cJSON_GetArrayItem(merges, 0)->valuestring, "\u00ff \u0143"); /* the greatest of equals */
    cJSON_Delete(root);
    dither_trained_bpe_close(&bpe);
}

static void expect_pretokenizer(const char *pattern, bool whole_words, const char *json)
{
    dither_trained_bpe bpe = {0};
    dither_words words = {0};
    assert_int_equal(dither_bpe_train(&bpe, &words, 256, 1, NULL, NULL, NULL), DITHER_OK);
    cJSON *root = write_and_parse(&bpe, NULL, 0, pattern), *wanted = cJSON_Parse(json);
    assert_non_null(wanted);
    if (!cJSON_Compare(at(root, "pre_tokenizer"), wanted, true)) {
        char *text = cJSON_Print(at(root, "pre_tokenizer"));
        fail_msg("%s: %s", pattern, text);
    }
    assert_int_equal(cJSON_IsTrue(at(at(root, "model"), "ignore_merges")), whole_words);
    assert_int_equal(cJSON_GetArraySize(at(root, "added_tokens")), 0);
    assert_int_equal(cJSON_GetArraySize(at(at(root, "model"), "merges")), 0);
    cJSON_Delete(root);
    cJSON_Delete(wanted);
    dither_trained_bpe_close(&bpe);
    dither_words_close(&words);
}

static void patterns_become_splits(void **state)
{
    (void)state;
#define BYTE_LEVEL(regex) \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":" regex "}"
#define SPLIT(regex) \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define SEQUENCE(items) "{\"type\":\"Sequence\",\"pretokenizers\":[" items "]}"
    expect_pretokenizer("gpt2", false, BYTE_LEVEL("true"));
    expect_pretokenizer("smollm", false,
                        SEQUENCE("{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL("true")));
    expect_pretokenizer("qwen2", false,
                        SEQUENCE(SPLIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
                                       "\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
                                       "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+") "," BYTE_LEVEL("false")));
    expect_pretokenizer("llama3", true,
                        SEQUENCE(SPLIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
                                       "\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
                                       "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+") "," BYTE_LEVEL("false")));
    expect_pretokenizer("falcon", false,
                        SEQUENCE(SPLIT("[\\\\p{P}\\\\$\\\\+<=>\\\\^~\\\\|`]+") ","
                                 SPLIT("'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+|"
                                       " ?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+") ","
                                 SPLIT("\\\\p{N}+") "," SPLIT("[0-9][0-9][0-9]") "," BYTE_LEVEL("false")));
}

static void a_file_that_cannot_be_is_not(void **state)
{
    (void)state;
    dither_trained_bpe bpe = {0};
    dither_error error;
    trained(&bpe);
    const char *path = temporary_path(temporary_folder, "none/tok.json");
    assert_int_equal(dither_bpe_write(&bpe, NULL, 0, "gpt2", path, &error), DITHER_E_IO);
    dither_trained_bpe_close(&bpe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_merges),
        cmocka_unit_test(patterns_become_splits),
        cmocka_unit_test(a_file_that_cannot_be_is_not),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
