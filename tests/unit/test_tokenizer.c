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

/* Each edit turns the file into some other tokenizer. */
static void other_tokenizers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } edits[] = {
        {"\"a\": 97", "\"a\": 98"},
        {"\"a\": 97", "\"a\": \"97\""},
        {"\"merges\": []", "\"merges\": [\"a b\"]"},
        {"\"merges\": []", "\"merges\": [[\"a\", \"b\"]]"},
        {"\"type\": \"BPE\"", "\"type\": \"WordPiece\""},
        {"\"type\": \"ByteLevel\"", "\"type\": \"Metaspace\""},
        {"\"dropout\": null", "\"dropout\": 0.1"},
        {"\"end_of_word_suffix\": null", "\"end_of_word_suffix\": \"</w>\""},
        {"\"model\":", "\"modell\":"},
    };
    char *text = written();
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const char *at = strstr(text, edits[i].from);
        if (at == NULL)
            fail_msg("not in the file: %s", edits[i].from);
        char *edited = malloc(strlen(text) + strlen(edits[i].to) + 1);
        assert_non_null(edited);
        size_t before = (size_t)(at - text);
        memcpy(edited, text, before);
        strcpy(edited + before, edits[i].to);
        strcat(edited, at + strlen(edits[i].from));
        dither_error error;
        if (open_text(edited, strlen(edited), &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", edits[i].to);
        assert_true(error.text[0] != '\0');
        free(edited);
    }
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
    assert_string_equal(error.where, temporary_path(temporary_folder, "tokenizer.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_bytes),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(other_tokenizers_are_refused),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
