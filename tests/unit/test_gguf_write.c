/* What the writer of GGUF files writes is what the reader reads, and what another program writes of the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "file/gguf.h"
#include "temporary.h"

static dither_gguf *open_golden(void)
{
    dither_gguf *file;
    dither_error error;
    if (dither_gguf_open(&file, DITHER_TEST_DATA "/small.gguf", &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return file;
}

static void write_copy(const dither_gguf *from, const char *path)
{
    dither_gguf_writer *writer;
    dither_error error;
    assert_int_equal(dither_gguf_writer_open(&writer, path, &error), DITHER_OK);
    for (size_t i = 0; i < dither_gguf_metadata(from); i++)
        dither_gguf_writer_raw(writer, dither_gguf_metadata_at(from, i));
    for (size_t i = 0; i < dither_gguf_tensors(from); i++) {
        const dither_gguf_tensor *tensor = dither_gguf_tensor_at(from, i);
        dither_gguf_writer_tensor(writer, tensor->name, tensor->type, tensor->dims, tensor->shape);
    }
    for (size_t i = 0; i < dither_gguf_tensors(from); i++) {
        const dither_gguf_tensor *tensor = dither_gguf_tensor_at(from, i);
        for (size_t done = 0; done < tensor->bytes;) { /* in pieces */
            const size_t piece = tensor->bytes - done < 37 ? (size_t)tensor->bytes - done : 37;
            assert_int_equal(dither_gguf_writer_data(writer, tensor->data + done, piece, &error), DITHER_OK);
            done += piece;
        }
    }
    assert_int_equal(dither_gguf_writer_commit(writer, &error), DITHER_OK);
}

static void a_copy_is_the_same_file(void **state)
{
    (void)state;
    dither_gguf *file = open_golden();
    const char *path = temporary_path(temporary_folder, "copy.gguf");
    write_copy(file, path);
    dither_gguf_close(file);
    size_t size, copied;
    unsigned char *whole = temporary_read(DITHER_TEST_DATA "/small.gguf", &size), *copy = temporary_read(path, &copied);
    assert_int_equal(size, copied);
    assert_memory_equal(whole, copy, size);
    free(whole);
    free(copy);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "new.gguf");
    enum { COLS = 256, ROWS = 300 };
    static float x[ROWS * COLS];
    static unsigned char blocks[ROWS * COLS / 32 * 34];
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = (float)(i % 251) - 100;
    dither_gguf_writer *writer;
    dither_error error;
    assert_int_equal(dither_gguf_writer_open(&writer, path, &error), DITHER_OK);
    dither_gguf_writer_u32(writer, "u", 7);
    dither_gguf_writer_f32(writer, "f", 0.5f);
    dither_gguf_writer_bool(writer, "b", true);
    dither_gguf_writer_string(writer, "s", "text", 4);
    dither_gguf_writer_string(writer, "empty", NULL, 0);
    const float scores[] = {1, 2, 3};
    dither_gguf_writer_numbers(writer, "scores", DITHER_GGUF_F32, 3, scores);
    dither_gguf_writer_strings(writer, "words", 2);
    dither_gguf_writer_item(writer, "one", 3);
    dither_gguf_writer_item(writer, "", 0);
    const dither_gguf_value alignment = {.key = "general.alignment", .key_length = 17, .type = DITHER_GGUF_U32,
                                         .at = (const unsigned char *)"\x40\0\0", .bytes = 4};
    dither_gguf_writer_raw(writer, &alignment); /* is left out */
    dither_gguf_writer_tensor(writer, "small", DITHER_BLOCK_F32, 1, (const uint64_t[]){3});
    dither_gguf_writer_tensor(writer, "large", DITHER_BLOCK_Q8_0, 2, (const uint64_t[]){COLS, ROWS});
    assert_int_equal(dither_gguf_writer_data(writer, x, 12, &error), DITHER_OK);
    const size_t row = dither_block_row_bytes(DITHER_BLOCK_Q8_0, COLS);
    for (size_t i = 0; i < ROWS; i++)
        dither_block_encode(DITHER_BLOCK_Q8_0, COLS, x + i * COLS, blocks + i * row, NULL, i);
    assert_int_equal(dither_gguf_writer_data(writer, blocks, ROWS * row, &error), DITHER_OK); /* more than the buffer */
    assert_int_equal(dither_gguf_writer_commit(writer, &error), DITHER_OK);

    dither_gguf *file;
    if (dither_gguf_open(&file, path, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    assert_true(dither_gguf_is(path));
    uint64_t u;
    double f;
    bool b;
    char *s;
    dither_gguf_array array;
    assert_int_equal(dither_gguf_u64(file, "u", 7, 7, &u, NULL, &error), DITHER_OK);
    assert_int_equal(dither_gguf_f64(file, "f", &f, NULL, &error), DITHER_OK);
    assert_int_equal(dither_gguf_bool(file, "b", &b, NULL, &error), DITHER_OK);
    assert_int_equal(dither_gguf_text(file, "s", &s, NULL, &error), DITHER_OK);
    assert_true(f == 0.5 && b && strcmp(s, "text") == 0);
    free(s);
    assert_int_equal(dither_gguf_text(file, "empty", &s, NULL, &error), DITHER_OK);
    assert_string_equal(s, "");
    free(s);
    assert_int_equal(dither_gguf_array_of(file, "scores", DITHER_GGUF_F32, &array, NULL, &error), DITHER_OK);
    assert_memory_equal(array.at, scores, sizeof scores);
    assert_int_equal(dither_gguf_array_of(file, "words", DITHER_GGUF_STRING, &array, NULL, &error), DITHER_OK);
    assert_int_equal(array.count, 2);
    assert_int_equal(dither_gguf_metadata(file), 7);
    assert_memory_equal(dither_gguf_find(file, "small")->data, x, 12);
    assert_memory_equal(dither_gguf_find(file, "large")->data, blocks, ROWS * row);
    dither_gguf_close(file);
}

static void what_cannot_be_opened_is_said(void **state)
{
    (void)state;
    dither_gguf *file;
    dither_gguf_writer *writer;
    dither_error error;
    assert_int_equal(dither_gguf_open(&file, temporary_path(temporary_folder, "none"), &error), DITHER_E_IO);
    assert_int_equal(dither_gguf_open(&file, temporary_folder, &error), DITHER_E_IO);
    assert_false(dither_gguf_is(temporary_folder));
    const char *path = temporary_path(temporary_folder, "no.txt");
    temporary_write(path, "GGU", 3);
    assert_false(dither_gguf_is(path));
    assert_int_equal(dither_gguf_writer_open(&writer, temporary_path(temporary_folder, "none/x"), &error),
                     DITHER_E_IO);
    path = temporary_path(temporary_folder, "given.up");
    assert_int_equal(dither_gguf_writer_open(&writer, path, &error), DITHER_OK);
    dither_gguf_writer_abandon(writer);
    dither_gguf_writer_abandon(NULL);
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_the_same_file),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_cannot_be_opened_is_said),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
