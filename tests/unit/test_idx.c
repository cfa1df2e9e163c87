/* IDX files: whole ones, packed or not, are read; everything else is refused with words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "data/idx.h"
#include "temporary.h"

enum { HEADER = 16, PIXELS = 3 * 2 * 4 };

static void fill(uint8_t bytes[HEADER + PIXELS])
{
    static const uint8_t header[HEADER] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 4};
    memcpy(bytes, header, HEADER);
    for (int i = 0; i < PIXELS; i++)
        bytes[HEADER + i] = (uint8_t)(11 * i);
}

static void pack(const char *path, const void *bytes, unsigned size)
{
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, size), size);
    assert_int_equal(gzclose(file), Z_OK);
}

static void assert_whole(dither_idx *idx)
{
    assert_int_equal(idx->dims, 3);
    assert_int_equal(idx->dim[0], 3);
    assert_int_equal(idx->dim[1], 2);
    assert_int_equal(idx->dim[2], 4);
    for (int i = 0; i < PIXELS; i++)
        assert_int_equal(idx->bytes[i], (uint8_t)(11 * i));
    dither_idx_close(idx);
}

static void whole_files_are_read(void **state)
{
    (void)state;
    uint8_t bytes[HEADER + PIXELS];
    dither_idx idx;
    dither_error error;
    fill(bytes);
    temporary_write(temporary_path(temporary_folder, "plain"), bytes, sizeof bytes);
    assert_int_equal(dither_idx_read(temporary_folder, "plain", 3, &idx, &error), DITHER_OK);
    assert_whole(&idx);
    pack(temporary_path(temporary_folder, "packed.gz"), bytes, sizeof bytes);
    assert_int_equal(dither_idx_read(temporary_folder, "packed", 3, &idx, &error), DITHER_OK);
    assert_whole(&idx);
    pack(temporary_path(temporary_folder, "both"), bytes, sizeof bytes); /* packed, without the ending */
    assert_int_equal(dither_idx_read(temporary_folder, "both", 3, &idx, &error), DITHER_OK);
    assert_whole(&idx);
}

static void assert_refused(const void *bytes, size_t size, size_t dims, const char *words)
{
    dither_idx idx;
    dither_error error;
    temporary_write(temporary_path(temporary_folder, "bad"), bytes, size);
    assert_int_not_equal(dither_idx_read(temporary_folder, "bad", dims, &idx, &error), DITHER_OK);
    assert_null(idx.bytes);
    assert_non_null(strstr(error.where, "bad"));
    if (!strstr(error.text, words))
        fail_msg("'%s' does not say '%s'", error.text, words);
}

static void others_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[HEADER + PIXELS + 1], changed[sizeof bytes];
    dither_idx idx;
    dither_error error;
    fill(bytes);
    bytes[sizeof bytes - 1] = 1;
    for (size_t size = 0; size < HEADER + PIXELS; size++)
        assert_refused(bytes, size, 3, size < 4 ? "no IDX file" : "cut short");
    assert_refused(bytes, sizeof bytes, 3, "more than the 24 bytes");
    assert_refused(bytes, HEADER + PIXELS, 1, "3 dimensions; 1 are right");
    memcpy(changed, bytes, sizeof bytes);
    changed[2] = 0x0d;
    assert_refused(changed, HEADER + PIXELS, 3, "type 0x0d");
    memcpy(changed, bytes, sizeof bytes);
    changed[0] = 'P';
    assert_refused(changed, HEADER + PIXELS, 3, "no IDX file");
    memcpy(changed, bytes, sizeof bytes);
    changed[7] = 0;
    assert_refused(changed, HEADER + PIXELS, 3, "dimension 1 is 0");
    memset(changed + 4, 0xff, 12); /* 2^96 bytes */
    assert_refused(changed, HEADER + PIXELS, 3, "more than 2 GiB");
    memcpy(changed, bytes, sizeof bytes);
    changed[4] = 0x0f; /* 2 GiB less a little: promised, not there */
    assert_refused(changed, HEADER + PIXELS, 3, "cut short");
    assert_int_equal(dither_idx_read(temporary_folder, "nowhere", 3, &idx, &error), DITHER_E_IO);
    assert_non_null(strstr(error.text, "neither nowhere nor nowhere.gz"));
    assert_int_equal(mkdir(temporary_path(temporary_folder, "folder"), 0777), 0);
    assert_int_equal(dither_idx_read(temporary_folder, "folder", 3, &idx, &error), DITHER_E_IO);
}

static void damaged_packings_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[HEADER + PIXELS];
    fill(bytes);
    pack(temporary_path(temporary_folder, "whole.gz"), bytes, sizeof bytes);
    size_t size;
    unsigned char *const packed = temporary_read(temporary_path(temporary_folder, "whole.gz"), &size);
    for (size_t cut = 2; cut < size; cut++) { /* of one byte alone nobody can say what it is */
        dither_idx idx;
        dither_error error;
        temporary_write(temporary_path(temporary_folder, "bad"), packed, cut);
        assert_int_not_equal(dither_idx_read(temporary_folder, "bad", 3, &idx, &error), DITHER_OK);
    }
    for (size_t i = size - 8; i < size; i++) { /* its checksum and length */
        dither_idx idx;
        dither_error error;
        packed[i] ^= 0x10;
        temporary_write(temporary_path(temporary_folder, "bad"), packed, size);
        assert_int_not_equal(dither_idx_read(temporary_folder, "bad", 3, &idx, &error), DITHER_OK);
        packed[i] ^= 0x10;
    }
    free(packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files_are_read),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(damaged_packings_are_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
