/* Trained tokenizers, opened again: they make of the text what training said, and give it back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dither/tokenizer.h"
#include "dither/tokenizer_train.h"
#include "temporary.h"

enum { TEXT = 60000 };

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Words of a small language, some of them Chinese, Arabic or emoji; numbers, lines, and two special tokens. */
static size_t make_text(char text[static TEXT])
{
    static const char *const parts[] = {
        "ka", "ra", "mi", "to", "ne", "sol", "\xc3\xa9t\xc3\xa9", "Un", "RE", " ", " ", " ", " ", "\n", "\n\n", "\r\n",
        "\t", "  ", ". ", ", ", "?", "it's ", "we'LL ", "12", "345", "/", "--", "\xe4\xb8\xad\xe6\x96\x87",
        "\xe3\x81\x8b\xe3\x82\xab", "\xe3\x80\x82", "\xd8\xa7\xd9\x84", "\xf0\x9f\x98\x80", "e\xcc\x81",
        "\xed\x95\x9c\xea\xb8\x80", "\xc2\xa0", "<|end|>", "<|start|>",
    };
    uint32_t random = 3;
    size_t length = 0;
    while (length < TEXT - 32) {
        const uint32_t draw = next(&random) % 100;
        const size_t index = draw < 60 ? draw % 16 : next(&random) % (sizeof parts / sizeof *parts);
        length += (size_t)sprintf(text + length, "%s", parts[index]);
    }
    return length;
}

static void train(const char *pattern, size_t vocab, const char *out, dither_tokenizer_trained *trained)
{
    static const char *const special[] = {"<|end|>", "<|start|>"};
    const char *const data[] = {temporary_path(temporary_folder, "text")};
    dither_tokenizer_train_options options;
    dither_error error;
    dither_tokenizer_train_options_init(&options);
    options.data = data;
    options.data_count = 1;
    options.out = out;
    options.vocab = vocab;
    options.special = special;
    options.special_count = 2;
    options.pattern = pattern;
    options.threads = 2;
    options.replace = true;
    if (dither_tokenizer_train(&options, NULL, NULL, NULL, trained, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
}

static void expect_text(const dither_tokenizer *tokenizer, const uint32_t *ids, size_t count, const char *text,
                        size_t length)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const char *bytes;
        const size_t size = dither_tokenizer_decode(tokenizer, ids[i], &bytes);
        assert_true(size > 0 && size <= length - at);
        assert_memory_equal(text + at, bytes, size);
        at += size;
    }
    assert_int_equal(at, length);
}

static void they_encode_as_they_were_trained(void **state)
{
    (void)state;
    static char text[TEXT];
    static uint32_t ids[TEXT];
    const size_t length = make_text(text);
    const char *pattern;
    char out[512];
    strcpy(out, temporary_path(temporary_folder, "tok.json"));
    temporary_write(temporary_path(temporary_folder, "text"), text, length);
    int patterns = 0;
    for (; (pattern = dither_tokenizer_pattern(patterns)) != NULL; patterns++) {
        dither_tokenizer *tokenizer;
        dither_tokenizer_trained trained;
        dither_error error;
        train(pattern, 600, out, &trained);
        assert_int_equal(trained.tokens, 600);
        assert_int_equal(trained.bytes, length);
        if (dither_tokenizer_open(&tokenizer, out, &error) != DITHER_OK)
            fail_msg("%s: %s: %s", pattern, error.where, error.text);
        assert_int_equal(dither_tokenizer_vocab(tokenizer), 600);
        assert_true(dither_tokenizer_is_special(tokenizer, 0) && dither_tokenizer_is_special(tokenizer, 1));
        assert_false(dither_tokenizer_is_special(tokenizer, 2));
        const size_t count = dither_tokenizer_encode_special(tokenizer, text, length, ids, TEXT);
        assert_true(count < length);
        size_t special = 0;
        for (size_t i = 0; i < count; i++)
            special += ids[i] < 2;
        assert_true(special > 100);
        if (count - special != trained.text_tokens)
            fail_msg("%s: %zu tokens, %llu in training", pattern, count - special,
                     (unsigned long long)trained.text_tokens);
        expect_text(tokenizer, ids, count, text, length);
        dither_tokenizer_close(tokenizer);
    }
    assert_true(patterns >= 13);
}

static void stop_means_no_file(void **state)
{
    (void)state;
    const char *const data[] = {temporary_path(temporary_folder, "text")};
    const char *out = temporary_path(temporary_folder, "never.json");
    dither_tokenizer_train_options options;
    dither_tokenizer_trained trained;
    const volatile sig_atomic_t stop = 1;
    dither_tokenizer_train_options_init(&options);
    options.data = data;
    options.data_count = 1;
    options.out = out;
    assert_int_equal(dither_tokenizer_train(&options, NULL, NULL, &stop, &trained, NULL), DITHER_E_STOPPED);
    assert_int_equal(access(out, F_OK), -1);
    assert_int_equal(access(temporary_path(temporary_folder, "never.json.tmp"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_encode_as_they_were_trained),
        cmocka_unit_test(stop_means_no_file),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
