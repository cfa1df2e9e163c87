/* What a file seems to be: every magic, text, JSON, and what is cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "file/kind.h"
#include "temporary.h"

static const char *kind_of(const void *bytes, size_t size)
{
    const char *path = temporary_path(temporary_folder, "file");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return dither_file_kind(path);
}

#define KIND(text) kind_of(text, sizeof(text) - 1)

static void kinds_by_their_first_bytes(void **state)
{
    (void)state;
    assert_string_equal(KIND("GGUF\3\0\0\0"), "a GGUF file");
    assert_string_equal(KIND("%PDF-1.7\n"), "a PDF document");
    assert_string_equal(KIND("\x1f\x8b\x08"), "gzip data; unpack it first");
    assert_string_equal(KIND("PK\3\4\0\0word/document.xml"), "a zip archive; unpack it first");
    assert_string_equal(KIND("PK\3\4\0\0[Content_Types].xml"), "a document of an office program");
    assert_non_null(strstr(KIND("PK\3\4\0\0archive/data.pkl"), "a PyTorch file"));
    assert_non_null(strstr(KIND("\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02"), "a SentencePiece model"));
    assert_non_null(strstr(KIND("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"));
    char tar[600] = "name";
    memcpy(tar + 257, "ustar", 5);
    assert_string_equal(kind_of(tar, sizeof tar), "a tar archive; unpack it first");
    assert_string_equal(KIND("\x8\0\0\0\0\0\0\0{}      "), "a safetensors file");
    assert_string_equal(KIND("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "binary data");
    assert_string_equal(KIND(""), "an empty file");
    assert_string_equal(dither_file_kind(temporary_folder), "a folder");
    assert_string_equal(dither_file_kind("/dev/null"), "a device, pipe or socket");
    assert_string_equal(dither_file_kind("/nowhere/at/all"), "a file that cannot be read");
}

static void texts(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "file");
    assert_string_equal(KIND("{\"a\": 1}"), "JSON");
    assert_true(dither_file_is_json(path));
    assert_string_equal(KIND("\xef\xbb\xbf \n[1]"), "JSON");
    assert_string_equal(KIND("<!DOCTYPE html>"), "a web page");
    assert_null(dither_file_known_kind(path));
    assert_string_equal(KIND("plain"), "UTF-8 text");
    assert_false(dither_file_is_json(path));
    assert_string_equal(KIND("caf\xe9"), "binary data");
    assert_null(dither_file_known_kind(path));
    assert_string_equal(KIND("GGUF"), "a GGUF file");
    assert_string_equal(dither_file_known_kind(path), "a GGUF file");
    assert_string_equal(KIND("GGU"), "UTF-8 text");
    /* A character of two bytes across the end of what is looked at. */
    char text[5000];
    memset(text, 'x', sizeof text);
    memcpy(text + 4095, "\xc3\xa9", 2);
    assert_string_equal(kind_of(text, sizeof text), "UTF-8 text");
    assert_string_equal(kind_of(text, 4095), "UTF-8 text");
    text[100] = 0;
    assert_string_equal(kind_of(text, sizeof text), "binary data");
}

static void endings(void **state)
{
    (void)state;
    assert_true(dither_name_ends("a.gguf", ".gguf"));
    assert_true(dither_name_ends("a.GGuf", ".gguf"));
    assert_false(dither_name_ends(".gguf", ".gguf"));
    assert_false(dither_name_ends("gguf", ".gguf"));
    assert_false(dither_name_ends("a.gguf.txt", ".gguf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_by_their_first_bytes),
        cmocka_unit_test(texts),
        cmocka_unit_test(endings),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
