#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "data/tokenizer_file.h"
#include "temporary.h"

/* The written file as text, on the heap. */
static char *written(void)
{
    dither_tokenizer *tokenizer;
    assert_int_equal(dither_tokenizer_bytes(&tokenizer, NULL), DITHER_OK);
    assert_int_equal(dither_tokenizer_write(tokenizer, temporary_folder, NULL), DITHER_OK);
    dither_tokenizer_close(tokenizer);
    size_t size;
    char *text = (char *)temporary_read(temporary_path(temporary_folder, "tokenizer.json"), &size);
    text[size] = '\0';
    return text;
}

static dither_status open_text(const char *text, size_t size, dither_error *error)
{
    temporary_write(temporary_path(temporary_folder, "tokenizer.json"), text, size);
    dither_tokenizer *tokenizer;
    dither_status status = dither_tokenizer_open(&tokenizer, temporary_folder, error);
    assert_true((status == DITHER_OK) == (tokenizer != NULL));
    dither_tokenizer_close(tokenizer);
    return status;
}

static void ids_are_bytes(void **state)
{
    (void)state;
    dither_tokenizer *tokenizer;
    assert_int_equal(dither_tokenizer_bytes(&tokenizer, NULL), DITHER_OK);
    assert_int_equal(dither_tokenizer_vocab(tokenizer), 256);
    char text[256];
    for (int i = 0; i < 256; i++)
        text[i] = (char)(unsigned char)i;
    uint32_t ids[256];
    assert_int_equal(dither_tokenizer_encode(tokenizer, text, 256, ids, 256), 256);
    for (uint32_t i = 0; i < 256; i++) {
        const char *bytes = NULL;
        assert_int_equal(ids[i], i);
        assert_int_equal(dither_tokenizer_decode(tokenizer, i, &bytes), 1);
        assert_int_equal(*bytes, text[i]);
    }
    const char *bytes;
    assert_int_equal(dither_tokenizer_decode(tokenizer, 256, &bytes), 0);
    assert_int_equal(dither_tokenizer_decode(tokenizer, UINT32_MAX, &bytes), 0);
    assert_int_equal(dither_tokenizer_encode(tokenizer, text, 256, NULL, 0), 256);
    ids[3] = 12345;
    assert_int_equal(dither_tokenizer_encode(tokenizer, text, 256, ids, 3), 256);
    assert_int_equal(ids[3], 12345);
    dither_tokenizer_close(tokenizer);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char *text = written(), *again = written();
    assert_string_equal(text, again);
    dither_tokenizer *tokenizer;
    assert_int_equal(dither_tokenizer_open(&tokenizer, temporary_folder, NULL), DITHER_OK);
    assert_int_equal(dither_tokenizer_vocab(tokenizer), 256);
    dither_tokenizer_close(tokenizer);
    /* neither the order nor the layout of the file matters */
    cJSON *root = cJSON_Parse(text);
    char *compact = cJSON_PrintUnformatted(root);
    assert_int_equal(open_text(compact, strlen(compact), NULL), DITHER_OK);
    cJSON_free(compact);
    cJSON_Delete(root);
    free(text);
    free(again);
}

/* The text with " for each ', so that JSON reads well here. In memory that the next call but seven writes over. */
static const char *quoted(const char *text)
{
    static char texts[8][512];
    static unsigned next;
    char *made = texts[next++ % 8];
    assert_true(strlen(text) < sizeof texts[0]);
    strcpy(made, text);
    for (char *c = made; *c != '\0'; c++)
        *c = *c == '\'' ? '"' : *c;
    return made;
}

/* The text with one part of it, in which ' stands for ", in the place of another; on the heap. */
static char *edited(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, quoted(from));
    if (at == NULL)
        fail_msg("not in the file: %s", from);
    char *made = malloc(strlen(text) + strlen(to) + 1);
    assert_non_null(made);
    const size_t before = (size_t)(at - text);
    memcpy(made, text, before);
    strcpy(made + before, quoted(to));
    strcat(made, at + strlen(from));
    return made;
}

#define AROUND(single, ids) \
    "'post_processor': {'type': 'TemplateProcessing', 'single': " single ", 'special_tokens': {'s': {'ids': " ids "}}}"

/* What would change ids, or how they are read, and is not known; and what does not fit itself. */
static void what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } edits[] = {
        {"'a': 97", "'a': 98", "two ids"},
        {"'a': 97", "'a': '97'", "the id of 'a'"},
        {"'a': 97", "'a': 97.5", "the id of 'a'"},
        {"'a': 97", "'a': -1", "the id of 'a'"},
        {"'a': 97", "'a': 100000", "too few"},
        {"'a': 97", "'a': 3000000000", "the id of 'a'"},
        {"'merges': []", "'merges': ['a b']", "merge 0 is about a token"},
        {"'merges': []", "'merges': ['a b c']", "merge 0 is neither"},
        {"'merges': []", "'merges': ['ab']", "merge 0 is neither"},
        {"'merges': []", "'merges': [['a']]", "merge 0 is neither"},
        {"'merges': []", "'merges': [['a', 'b', 'c']]", "merge 0 is neither"},
        {"'merges': []", "'merges': [1]", "merge 0 is neither"},
        {"'merges': []", "'merges': {}", "'merges' must be a list"},
        {"'merges': []", "'merges': ['\xe4\xb8\x80 b']", "merge 0 is about a token"},
        {"'added_tokens': []", "'added_tokens': [{'id': 97, 'content': '<s>'}]", "two ids"},
        {"'added_tokens': []", "'added_tokens': [{'id': 256, 'content': 'a'}]", "two ids"},
        {"'added_tokens': []", "'added_tokens': [{'content': '<s>'}]", "the id of"},
        {"'added_tokens': []", "'added_tokens': [{'id': 256}]", "'content'"},
        {"'added_tokens': []", "'added_tokens': [{'id': 256, 'content': 's', 'special': 1}]", "'special'"},
        {"'added_tokens': []", "'added_tokens': [{'id': 256, 'content': '<s>'}, {'id': 257, 'content': '<s>'}]",
         "two ids"},
        {"'normalizer': null", "'normalizer': {'type': 'Nmt'}", "the normalizer 'Nmt'"},
        {"'normalizer': null", "'normalizer': {'type': 'Sequence', 'normalizers': [{'type': 'Precompiled'}]}",
         "the normalizer 'Precompiled'"},
        {"'normalizer': null", "'normalizer': {'type': 'Replace', 'pattern': {'Regex': 'x*'}, 'content': ''}",
         "can match nothing"},
        {"'normalizer': null", "'normalizer': {'type': 'Replace', 'pattern': {'Regex': '('}, 'content': ''}",
         "the pattern '('"},
        {"'normalizer': null", "'normalizer': {'type': 'Replace', 'pattern': 'x', 'content': ''}",
         "'pattern' must be"},
        {"'pre_tokenizer': {'type': 'ByteLevel'", "'pre_tokenizer': {'type': 'UnicodeScripts'",
         "the pre-tokenizer 'UnicodeScripts'"},
        {"'pre_tokenizer': {", "'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'ByteLevel'}, "
          "{'type': 'Digits'}]}, 'x': {", "behind ByteLevel"},
        {"'pre_tokenizer': {", "'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'Digits'}, "
          "{'type': 'ByteLevel'}]}, 'x': {", "behind another one"},
        {"'pre_tokenizer': {", "'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '\\\\b'}, 'behavior': "
          "'Isolated', 'invert': false}, 'x': {", "the pattern"},
        {"'pre_tokenizer': {", "'pre_tokenizer': {'type': 'Split', 'pattern': {'String': 'x'}, 'behavior': "
          "'Odd', 'invert': false}, 'x': {", "the behavior 'Odd'"},
        {"'decoder': {'type': 'ByteLevel'", "'decoder': {'type': 'WordPiece'", "the decoder 'WordPiece'"},
        {"'post_processor': null", "'post_processor': {'type': 'BertProcessing'}", "the post-processor"},
        /* A template, each of whose ids must be a token's. */
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 's'}}, {'Sequence': {'id': 'A'}}]", "[256]"),
         "has the id 256, which no token"},
        {"'post_processor': null", AROUND("[{'Sequence': {'id': 'A'}}, {'SpecialToken': {'id': 's'}}]", "[4000000000]"),
         "has the id 4000000000, which no token"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 's'}}]", "[5000000000]"), "one id, for 's'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 's'}}]", "[]"), "one id, for 's'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 's'}}]", "[97, 98]"), "one id, for 's'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 's'}}]", "['97']"), "one id, for 's'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 's'}}]", "[-1]"), "one id, for 's'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 's'}}]", "[97.5]"), "one id, for 's'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 's'}}]", "{}"), "one id, for 's'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 't'}}]", "[97]"), "one id, for 't'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': {'id': 5}}]", "[97]"), "'id'"},
        {"'post_processor': null", AROUND("[{'SpecialToken': 's'}]", "[97]"), "'id'"},
        {"'post_processor': null", AROUND("'$A'", "[97]"), "'single' must be a list"},
        {"'post_processor': null", AROUND("[{'Sequence': 'A'}]", "[97]"), "'single' must be a list of"},
        {"'post_processor': null", AROUND("['s']", "[97]"), "'single' must be a list of"},
        {"'type': 'BPE'", "'type': 'WordPiece'", "the kind 'WordPiece'"},
        {"'dropout': null", "'dropout': 0.1", "'dropout'"},
        {"'end_of_word_suffix': null", "'end_of_word_suffix': '</w>'", "'end_of_word_suffix'"},
        {"'continuing_subword_prefix': null", "'continuing_subword_prefix': '##'", "'continuing_subword_prefix'"},
        {"'model':", "'modell':", "'model'"},
    };
    char *text = written();
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char *made = edited(text, edits[i].from, edits[i].to);
        dither_error error;
        if (open_text(made, strlen(made), &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", edits[i].to);
        if (strstr(error.text, quoted(edits[i].words)) == NULL || strstr(error.where, "tokenizer.json") == NULL)
            fail_msg("%s: %s: %s", edits[i].to, error.where, error.text);
        free(made);
    }
    free(text);
}

static void expect_ids(const char *text, const char *input, const uint32_t *want, size_t count)
{
    temporary_write(temporary_path(temporary_folder, "tokenizer.json"), text, strlen(text));
    dither_tokenizer *tokenizer;
    dither_error error;
    uint32_t ids[64];
    if (dither_tokenizer_open(&tokenizer, temporary_folder, &error) != DITHER_OK)
        fail_msg("%s", error.text);
    assert_int_equal(dither_tokenizer_encode_special(tokenizer, input, strlen(input), ids, 64), count);
    assert_memory_equal(ids, want, count * sizeof *ids);
    dither_tokenizer_close(tokenizer);
}

/* What Hugging Face tokenizers does for the same files. */
static void steps_that_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *input;
        uint32_t ids[16];
        size_t count;
    } edits[] = {
        {"'a': 97", "'a': 97, 'ab': 256", "ab", {97, 98}, 2},
        {"'a': 97", "'a': 97, 'ab': 256", "a\xff", {97, 255}, 2},
        {"'normalizer': null", "'normalizer': {'type': 'Lowercase'}", "Ab", {97, 98}, 2},
        {"'normalizer': null", "'normalizer': {'type': 'Strip', 'strip_left': true, 'strip_right': false}",
         " \na ", {97, 32}, 2},
        {"'normalizer': null", "'normalizer': {'type': 'Prepend', 'prepend': 'xy'}", "a", {120, 121, 97}, 3},
        {"'normalizer': null", "'normalizer': {'type': 'Replace', 'pattern': {'Regex': 'b+'}, 'content': 'c'}",
         "abba", {97, 99, 97}, 3},
        {"'normalizer': null", "'normalizer': {'type': 'NFKD'}", "\xef\xac\x81", {102, 105}, 2},
        {"'add_prefix_space': false", "'add_prefix_space': true", "a", {32, 97}, 2},
        {"'add_prefix_space': false", "'add_prefix_space': true", " a", {32, 97}, 2},
        {"'truncation': null", "'truncation': {'max_length': 1}", "ab", {97, 98}, 2},
        {"'added_tokens': []", "'added_tokens': [{'id': 256, 'content': 'bc'}]", "abcd", {97, 256, 100}, 3},
        {"'added_tokens': []", "'added_tokens': [{'id': 256, 'content': 'bb', 'single_word': true}]", "abb bb bb.",
         {97, 98, 98, 32, 256, 32, 256, 46}, 8},
        {"'added_tokens': []", "'added_tokens': [{'id': 256, 'content': '<s>', 'special': true}, {'id': 257, "
          "'content': '<s>a'}]", "<s>a<s>", {257, 256}, 2},
        {"'unk_token': null", "'unk_token': 'a'", "b", {98}, 1},
    };
    char *text = written();
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char *made = edited(text, edits[i].from, edits[i].to);
        if (strstr(edits[i].to, "'ab': 256") != NULL) { /* so that it is no byte tokenizer any more */
            char *more = edited(made, "'normalizer': null", "'normalizer': {'type': 'NFC'}");
            free(made);
            made = more;
        }
        expect_ids(made, edits[i].input, edits[i].ids, edits[i].count);
        free(made);
    }
    free(text);
}

static void what_stands_beside(void **state)
{
    (void)state;
    char *text = written();
    char *made = edited(text, "'added_tokens': []", "'added_tokens': [{'id': 256, 'content': '<s>', 'special': "
      "true}, {'id': 257, 'content': '<|im_end|>', 'special': true}]");
    static const char config[] = "{'bos_token': {'content': '<s>'}, 'eos_token': '<|im_end|>', 'add_bos_token': "
      "true, 'pad_token': null, 'chat_template': [{'name': 'tool_use', 'template': 'no'}, {'name': 'default', "
        "'template': 'yes'}]}";
    const char *config_path = temporary_path(temporary_folder, "tokenizer_config.json");
    temporary_write(temporary_path(temporary_folder, "tokenizer.json"), made, strlen(made));
    temporary_write(config_path, quoted(config), sizeof config - 1);
    dither_tokenizer *tokenizer;
    /* a folder, and the file in it, are the same */
    for (int i = 0; i < 2; i++) {
        const char *path = i == 0 ? temporary_folder : temporary_path(temporary_folder, "tokenizer.json");
        assert_int_equal(dither_tokenizer_open(&tokenizer, path, NULL), DITHER_OK);
        const dither_tokenizer_marks *marks = dither_tokenizer_marks_get(tokenizer);
        assert_true(marks->bos == 256 && marks->eos == 257 && marks->eot == 257 && marks->add_bos && !marks->add_eos);
        assert_true(marks->pad == UINT32_MAX && marks->unk == UINT32_MAX);
        assert_string_equal(dither_tokenizer_chat_template(tokenizer), "yes");
        dither_tokenizer_close(tokenizer);
    }
    const char *jinja = temporary_path(temporary_folder, "chat_template.jinja");
    temporary_write(jinja, "{{ x }}", 7);
    assert_int_equal(dither_tokenizer_open(&tokenizer, temporary_folder, NULL), DITHER_OK);
    assert_string_equal(dither_tokenizer_chat_template(tokenizer), "{{ x }}");
    dither_tokenizer_close(tokenizer);
    temporary_write(jinja, "\xff", 1);
    assert_int_equal(dither_tokenizer_open(&tokenizer, temporary_folder, NULL), DITHER_E_FORMAT);
    assert_int_equal(unlink(jinja), 0);
    temporary_write(config_path, quoted("{'add_bos_token': 1}"), 20);
    assert_int_equal(dither_tokenizer_open(&tokenizer, temporary_folder, NULL), DITHER_E_FORMAT);
    assert_int_equal(unlink(config_path), 0);
    /* a template says what is added at the ends */
    char *added = edited(made, "'post_processor': null",
                         "'post_processor': {'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': "
                           "'<s>'}}, {'Sequence': {'id': 'A'}}], 'special_tokens': {'<s>': {'ids': [256]}}}");
    assert_int_equal(open_text(added, strlen(added), NULL), DITHER_OK);
    assert_int_equal(dither_tokenizer_open(&tokenizer, temporary_folder, NULL), DITHER_OK);
    assert_true(dither_tokenizer_marks_get(tokenizer)->add_bos && dither_tokenizer_marks_get(tokenizer)->bos == 256);
    dither_tokenizer_close(tokenizer);
    free(added);
    free(made);
    free(text);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    char *text = written();
    size_t size = strlen(text);
    for (size_t cut = 0; cut < size - 2; cut += 7)
        assert_int_equal(open_text(text, cut, NULL), DITHER_E_FORMAT);
    free(text);
    assert_int_equal(open_text("[]", 2, NULL), DITHER_E_FORMAT);
    assert_int_equal(unlink(temporary_path(temporary_folder, "tokenizer.json")), 0);
    dither_tokenizer *tokenizer;
    dither_error error;
    assert_int_equal(dither_tokenizer_open(&tokenizer, temporary_folder, &error), DITHER_E_IO);
    assert_null(tokenizer);
    assert_string_equal(error.where, temporary_folder);
    assert_non_null(strstr(error.text, "there is no tokenizer.json in it"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_bytes),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_known_is_refused_by_name),
        cmocka_unit_test(steps_that_are_known),
        cmocka_unit_test(what_stands_beside),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
