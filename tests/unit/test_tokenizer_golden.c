/* Ids that Hugging Face tokenizers gave for the tokenizers of tools/golden_tokenizers.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dither/tokenizer.h"

enum { TEXT = 4096 };

static dither_tokenizer *opened(const char *name)
{
    dither_tokenizer *tokenizer;
    dither_error error;
    char path[512];
    snprintf(path, sizeof path, DITHER_TEST_DATA "/%s", name);
    if (dither_tokenizer_open(&tokenizer, path, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return tokenizer;
}

static size_t from_hex(const char *hex, char *text)
{
    size_t length = 0;
    unsigned byte;
    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        text[length++] = (char)byte;
    return length;
}

/* The bytes of the ids, one after another. */
static size_t decoded(const dither_tokenizer *tokenizer, const uint32_t *ids, size_t count, char *text)
{
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        const char *bytes = NULL;
        const size_t size = dither_tokenizer_decode(tokenizer, ids[i], &bytes);
        assert_true(size <= TEXT - length);
        memcpy(text + length, bytes, size);
        length += size;
    }
    return length;
}

static void expect_text_back(const dither_tokenizer *tokenizer, const char *text, size_t length)
{
    uint32_t ids[TEXT];
    char back[TEXT];
    const size_t count = dither_tokenizer_encode(tokenizer, text, length, ids, TEXT);
    assert_true(count <= TEXT);
    const size_t size = decoded(tokenizer, ids, count, back);
    const size_t space = length > 0 && dither_tokenizer_space_prefix(tokenizer);
    assert_int_equal(size, length + space);
    assert_memory_equal(back + space, text, length);
}

/* One line of the file: its tokenizer, P or S, the text, the ids. */
static void check_case(const dither_tokenizer *tokenizer, char *line)
{
    char *rest = NULL, text[TEXT];
    const char *name = strtok_r(line, " \n", &rest), *mode = strtok_r(NULL, " \n", &rest);
    const char *hex = strtok_r(NULL, " \n", &rest);
    uint32_t ids[TEXT];
    const size_t length = from_hex(hex, text);
    size_t (*const encode)(const dither_tokenizer *, const char *, size_t, uint32_t *, size_t) =
        *mode == 'S' ? dither_tokenizer_encode_special : dither_tokenizer_encode;
    const size_t count = encode(tokenizer, text, length, ids, TEXT);
    assert_true(count < TEXT);
    assert_int_equal(encode(tokenizer, text, length, NULL, 0), count);
    for (size_t i = 0; i <= count; i++) {
        const char *word = strtok_r(NULL, " \n", &rest);
        if ((word == NULL) != (i == count) || (word != NULL && strtoul(word, NULL, 10) != ids[i]))
            fail_msg("%s %s %s: id %zu is %u, expected %s", name, mode, hex, i, i < count ? ids[i] : 0,
                     word != NULL ? word : "none");
    }
    if (count > 0) { /* no more is written than there is room for */
        ids[count - 1] = 12345678;
        assert_int_equal(encode(tokenizer, text, length, ids, count - 1), count);
        assert_int_equal(ids[count - 1], 12345678);
    }
    if (strstr(name, "digits") != NULL || (strstr(name, "pieces") != NULL && memmem(text, length, "\u2581", 3) == NULL))
        expect_text_back(tokenizer, text, length);
}

static void ids_are_those_of_hugging_face(void **state)
{
    (void)state;
    FILE *file = fopen(DITHER_TEST_DATA "/tokenizer_cases.txt", "r");
    char line[32768], name[64] = "", last[64] = "";
    dither_tokenizer *tokenizer = NULL;
    size_t cases = 0;
    assert_non_null(file);
    for (; fgets(line, sizeof line, file) != NULL; cases++) {
        assert_int_equal(sscanf(line, "%63s", name), 1);
        if (strcmp(name, last) != 0) {
            dither_tokenizer_close(tokenizer);
            tokenizer = opened(name);
            strcpy(last, name);
        }
        check_case(tokenizer, line);
    }
    dither_tokenizer_close(tokenizer);
    fclose(file);
    assert_true(cases > 300);
}

static void any_bytes_are_encoded(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer_digits.gguf", "tokenizer_pieces.gguf", "tokenizer_pieces.json",
                                        "tokenizer_words.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        dither_tokenizer *tokenizer = opened(names[i]);
        char text[1000];
        unsigned draw = 1;
        for (size_t round = 0; round < 50; round++) {
            for (size_t k = 0; k < sizeof text; k++) {
                draw = draw * 1103515245 + 12345;
                text[k] = (char)(round == 0 ? k & 255 : draw >> 16 & (round & 1 ? 255 : 127));
            }
            if (i < 3) /* the fourth normalizes; no U+2581 is among these bytes */
                expect_text_back(tokenizer, text, sizeof text);
            else
                assert_true(dither_tokenizer_encode(tokenizer, text, sizeof text, NULL, 0) < SIZE_MAX);
        }
        dither_tokenizer_close(tokenizer);
    }
}

static void expect_found(const dither_tokenizer *tokenizer, const char *text, uint32_t want, bool special)
{
    uint32_t id = 1234567;
    assert_true(dither_tokenizer_find(tokenizer, text, strlen(text), &id));
    const char *bytes = NULL;
    assert_int_equal(id, want);
    assert_int_equal(dither_tokenizer_decode(tokenizer, id, &bytes), strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
    assert_int_equal(dither_tokenizer_is_special(tokenizer, id), special);
}

static void tokens_and_marks(void **state)
{
    (void)state;
    dither_tokenizer *tokenizer = opened("tokenizer_digits.gguf");
    const dither_tokenizer_marks *marks = dither_tokenizer_marks_get(tokenizer);
    assert_int_equal(dither_tokenizer_vocab(tokenizer), 380);
    assert_int_equal(dither_tokenizer_id_bound(tokenizer), 380);
    expect_found(tokenizer, "<|end|>", 0, true);
    expect_found(tokenizer, "<|cut|>", 1, true);
    uint32_t id;
    assert_true(dither_tokenizer_find(tokenizer, " the", 4, &id));
    assert_false(dither_tokenizer_is_special(tokenizer, id));
    assert_false(dither_tokenizer_find(tokenizer, "no such token", 13, &id));
    assert_true(!marks->add_bos && !marks->add_eos && marks->bos == 0 && marks->eos == 0 && marks->pad == 1);
    assert_true(marks->unk == UINT32_MAX && marks->eot == 0); /* <|end|> usually ends a turn */
    assert_string_equal(dither_tokenizer_chat_template(tokenizer),
                        "{% for m in messages %}{{ m.content }}{% endfor %}");
    dither_tokenizer_close(tokenizer);
    tokenizer = opened("tokenizer_pieces.gguf");
    marks = dither_tokenizer_marks_get(tokenizer);
    assert_true(marks->add_bos && marks->bos == 1 && !marks->add_eos && marks->eos == 2 && marks->unk == 0);
    expect_found(tokenizer, "</s>", 2, true);
    expect_found(tokenizer, "\x07", 3 + 7, false);
    const char *bytes;
    assert_int_equal(dither_tokenizer_decode(tokenizer, UINT32_MAX, &bytes), 0);
    dither_tokenizer_close(tokenizer);
    tokenizer = opened("tokenizer_words.json");
    expect_found(tokenizer, "wavelet", 423, false);
    expect_found(tokenizer, "<|left|>", 422, true);
    dither_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_hugging_face),
        cmocka_unit_test(any_bytes_are_encoded),
        cmocka_unit_test(tokens_and_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
