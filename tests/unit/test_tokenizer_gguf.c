/* GGUF files whose tokenizer cannot be read: refused, with what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "dither/tokenizer.h"
#include "file/gguf.h"
#include "temporary.h"

enum { TOKENS = 6 };

/* What is written; NULL and 0: that key is left out. */
typedef struct change {
    const char *model, *pre;
    const char *tokens[TOKENS], *merges[2];
    int32_t types[TOKENS];
    float scores[TOKENS];
    size_t type_count, score_count;
    uint32_t eos;
} change;

static const change words = {
    .model = "gpt2",
    .pre = "gpt-2",
    .tokens = {"a", "b", "ab", "\u0120", "<s>", "abab"},
    .merges = {"a b", "ab ab"},
    .types = {1, 1, 1, 1, 3, 1},
    .type_count = TOKENS,
    .eos = 4,
};

static const change pieces = {
    .model = "llama",
    .tokens = {"<unk>", "a", "b", "\u2581", "<0x0A>", "ab"},
    .types = {2, 1, 1, 1, 6, 1},
    .scores = {0, -1, -2, -3, 0, -4},
    .type_count = TOKENS,
    .score_count = TOKENS,
    .eos = 0,
};

static void put_strings(dither_gguf_writer *writer, const char *key, const char *const *strings, size_t count)
{
    dither_gguf_writer_strings(writer, key, count);
    for (size_t i = 0; i < count; i++)
        dither_gguf_writer_item(writer, strings[i], strlen(strings[i]));
}

static const char *written(const change *c)
{
    const char *path = temporary_path(temporary_folder, "t.gguf");
    dither_gguf_writer *writer;
    assert_int_equal(dither_gguf_writer_open(&writer, path, NULL), DITHER_OK);
    if (c->model != NULL)
        dither_gguf_writer_string(writer, "tokenizer.ggml.model", c->model, strlen(c->model));
    if (c->pre != NULL)
        dither_gguf_writer_string(writer, "tokenizer.ggml.pre", c->pre, strlen(c->pre));
    if (c->tokens[0] != NULL)
        put_strings(writer, "tokenizer.ggml.tokens", c->tokens, TOKENS);
    if (c->merges[0] != NULL)
        put_strings(writer, "tokenizer.ggml.merges", c->merges, 2);
    if (c->type_count > 0)
        dither_gguf_writer_numbers(writer, "tokenizer.ggml.token_type", DITHER_GGUF_I32, c->type_count, c->types);
    if (c->score_count > 0)
        dither_gguf_writer_numbers(writer, "tokenizer.ggml.scores", DITHER_GGUF_F32, c->score_count, c->scores);
    dither_gguf_writer_u32(writer, "tokenizer.ggml.eos_token_id", c->eos);
    assert_int_equal(dither_gguf_writer_commit(writer, NULL), DITHER_OK);
    return path;
}

static void expect_ids(const change *c, const char *text, const uint32_t *want, size_t count)
{
    dither_tokenizer *tokenizer;
    dither_error error;
    uint32_t ids[32];
    if (dither_tokenizer_open(&tokenizer, written(c), &error) != DITHER_OK)
        fail_msg("%s", error.text);
    assert_int_equal(dither_tokenizer_encode_special(tokenizer, text, strlen(text), ids, 32), count);
    assert_memory_equal(ids, want, count * sizeof *ids);
    assert_int_equal(dither_tokenizer_marks_get(tokenizer)->eos, c->eos < TOKENS ? c->eos : UINT32_MAX);
    dither_tokenizer_close(tokenizer);
}

static void expect_refused(const change *c, const char *says)
{
    dither_tokenizer *tokenizer;
    dither_error error = {.status = DITHER_OK};
    if (dither_tokenizer_open(&tokenizer, written(c), &error) != DITHER_E_FORMAT)
        fail_msg("accepted where '%s' is right", says);
    assert_null(tokenizer);
    if (strstr(error.text, says) == NULL || strstr(error.where, "t.gguf") == NULL)
        fail_msg("%s: %s", error.where, error.text);
}

static void both_kinds_are_read(void **state)
{
    (void)state;
    change c = words;
    expect_ids(&c, "ababab <s>", (const uint32_t[]){5, 2, 3, 4}, 4);
    c.eos = UINT32_MAX; /* which some files have for none */
    expect_ids(&c, "b", (const uint32_t[]){1}, 1);
    c = pieces;
    expect_ids(&c, "ab\nc", (const uint32_t[]){3, 5, 4, 0}, 4);
    /* the better score merges first, the leftmost among the same */
    c.tokens[3] = "bb";
    c.tokens[4] = "ba";
    c.types[4] = 1;
    c.scores[3] = -5;
    c.scores[4] = -4;
    expect_ids(&c, "abab", (const uint32_t[]){0, 5, 5}, 3);
}

/* What llama.cpp takes of SentencePiece, and an exported folder says. */
static void marks_that_are_not_named(void **state)
{
    (void)state;
    dither_tokenizer *tokenizer;
    change c = pieces;
    assert_int_equal(dither_tokenizer_open(&tokenizer, written(&c), NULL), DITHER_OK);
    const dither_tokenizer_marks *marks = dither_tokenizer_marks_get(tokenizer);
    assert_true(marks->bos == 1 && marks->add_bos && marks->unk == 0 && marks->eos == 0);
    dither_tokenizer_close(tokenizer);
    c = words;
    assert_int_equal(dither_tokenizer_open(&tokenizer, written(&c), NULL), DITHER_OK);
    marks = dither_tokenizer_marks_get(tokenizer);
    assert_true(marks->bos == UINT32_MAX && !marks->add_bos && marks->unk == UINT32_MAX);
    dither_tokenizer_close(tokenizer);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    change c = words;
    c.model = NULL;
    expect_refused(&c, "the file has no tokenizer");
    c.model = "bert";
    expect_refused(&c, "the kind \"bert\"");
    c = words;
    c.pre = NULL;
    expect_refused(&c, "tokenizer.ggml.pre is missing");
    c.pre = "gpt3";
    expect_refused(&c, "the pre-tokenizer \"gpt3\"");
    c = words;
    c.tokens[0] = NULL;
    expect_refused(&c, "tokenizer.ggml.tokens");
    c = words;
    c.merges[0] = NULL;
    expect_refused(&c, "tokenizer.ggml.merges");
    c.merges[0] = "a c";
    expect_refused(&c, "merge 0 is about a token");
    c.merges[0] = "b a";
    expect_refused(&c, "merge 0 is about a token");
    c.merges[0] = "ab";
    expect_refused(&c, "merge 0 is not two tokens");
    c = words;
    c.types[1] = 7;
    expect_refused(&c, "token 1 is of type 7");
    c.types[1] = 6;
    expect_refused(&c, "token 1 is of type 6");
    c = words;
    c.type_count = 5;
    expect_refused(&c, "a type for each");
    c = pieces;
    c.score_count = 5;
    expect_refused(&c, "a score for each");
    c.score_count = 0;
    expect_refused(&c, "tokenizer.ggml.scores");
    c = pieces;
    c.scores[1] = NAN;
    expect_refused(&c, "NaN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds_are_read),
        cmocka_unit_test(marks_that_are_not_named),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
