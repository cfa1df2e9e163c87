/*
 * GGUF: what the Python package gguf wrote (tools/golden_gguf.py) is read; files built here byte by byte are refused
 * with the byte and the reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "file/gguf.h"
#include "temporary.h"

/* ---- files byte by byte ------------------------------------------------------------------------------------ */

typedef struct image {
    unsigned char bytes[4096];
    size_t size;
} image;

static void put(image *to, const void *bytes, size_t size)
{
    assert_true(size <= sizeof to->bytes - to->size);
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static void put_u32(image *to, uint32_t value)
{
    put(to, &value, sizeof value);
}

static void put_u64(image *to, uint64_t value)
{
    put(to, &value, sizeof value);
}

static void put_text(image *to, const char *text)
{
    put_u64(to, strlen(text));
    put(to, text, strlen(text));
}

static void put_head(image *to, uint32_t version, uint64_t tensors, uint64_t values)
{
    to->size = 0;
    put(to, "GGUF", 4);
    put_u32(to, version);
    put_u64(to, tensors);
    put_u64(to, values);
}

static void put_key(image *to, const char *key, uint32_t type)
{
    put_text(to, key);
    put_u32(to, type);
}

static void put_tensor(image *to, const char *name, uint32_t type, uint64_t cols, uint64_t rows, uint64_t offset)
{
    put_text(to, name);
    put_u32(to, 2);
    put_u64(to, cols);
    put_u64(to, rows);
    put_u32(to, type);
    put_u64(to, offset);
}

/* Zeros to the next multiple of `alignment`, then `data` more. */
static void put_data(image *to, size_t alignment, size_t data)
{
    static const unsigned char zeros[1024];
    put(to, zeros, (alignment - to->size % alignment) % alignment);
    put(to, zeros, data);
}

/* Parses a copy on the heap that is no longer than the image, so that a sanitizer sees every byte too far. */
static dither_status parse(const image *from, dither_gguf **file, unsigned char **copy, dither_error *error)
{
    *copy = malloc(from->size > 0 ? from->size : 1);
    assert_non_null(*copy);
    memcpy(*copy, from->bytes, from->size);
    const dither_status status = dither_gguf_parse(file, *copy, from->size, "f.gguf", error);
    if (status != DITHER_OK) {
        free(*copy);
        assert_null(*file);
        assert_int_equal(error->status, status);
    }
    return status;
}

static void refuse(const image *from, const char *where, const char *words)
{
    dither_gguf *file;
    unsigned char *copy;
    dither_error error;
    if (parse(from, &file, &copy, &error) != DITHER_E_FORMAT)
        fail_msg("accepted; the error should be: %s", words);
    if (strcmp(error.where, where) != 0 || strstr(error.text, words) == NULL)
        fail_msg("'%s: %s' is not '%s: ... %s'", error.where, error.text, where, words);
}

static void accept(const image *from, size_t tensors, size_t values)
{
    dither_gguf *file;
    unsigned char *copy;
    dither_error error;
    if (parse(from, &file, &copy, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    assert_int_equal(dither_gguf_tensors(file), tensors);
    assert_int_equal(dither_gguf_metadata(file), values);
    dither_gguf_close(file);
    free(copy);
}

/* ---- what another program wrote ------------------------------------------------------------------------------ */

static dither_gguf *open_golden(void)
{
    dither_gguf *file;
    dither_error error;
    if (dither_gguf_open(&file, DITHER_TEST_DATA "/small.gguf", &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return file;
}

static void numbers_of_every_type_are_read(void **state)
{
    (void)state;
    dither_gguf *file = open_golden();
    uint64_t u;
    double f;
    bool truth, found;
    static const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"test.u8", 200},         {"test.i8", -100},         {"test.u16", 60000}, {"test.i16", -30000},
        {"test.u32", 4000000000}, {"test.i32", -2000000000}, {"test.u64", 0x1p64}, {"test.i64", -0x1p63},
        {"test.f32", (double)0.1f}, {"test.f64", 0.1},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        dither_error error;
        assert_int_equal(dither_gguf_f64(file, numbers[i].key, &f, NULL, &error), DITHER_OK);
        assert_true(f == numbers[i].value);
        const bool integer = numbers[i].value > 0 && i < 8;
        assert_int_equal(dither_gguf_u64(file, numbers[i].key, 0, UINT64_MAX, &u, NULL, &error),
                         integer ? DITHER_OK : DITHER_E_FORMAT);
        if (integer)
            assert_true((double)u == numbers[i].value);
        else
            assert_non_null(strstr(error.text, numbers[i].key));
    }
    dither_error error;
    assert_int_equal(dither_gguf_u64(file, "test.i64", 0, UINT64_MAX, &u, NULL, &error), DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "is -9223372036854775808; 0 to 18446744073709551615"));
    assert_int_equal(dither_gguf_u64(file, "test.u8", 0, 199, &u, NULL, &error), DITHER_E_FORMAT);
    assert_int_equal(dither_gguf_u64(file, "test.u8", 201, 300, &u, NULL, &error), DITHER_E_FORMAT);
    assert_int_equal(dither_gguf_u64(file, "test.u8", 200, 200, &u, NULL, &error), DITHER_OK);
    assert_int_equal(dither_gguf_bool(file, "test.yes", &truth, &found, &error), DITHER_OK);
    assert_true(truth && found);
    assert_int_equal(dither_gguf_bool(file, "test.no", &truth, NULL, &error), DITHER_OK);
    assert_false(truth);
    assert_int_equal(dither_gguf_bool(file, "test.u8", &truth, NULL, &error), DITHER_E_FORMAT);
    assert_int_equal(dither_gguf_f64(file, "test.yes", &f, NULL, &error), DITHER_E_FORMAT);

    u = 7;
    assert_int_equal(dither_gguf_u64(file, "test.nothing", 0, 9, &u, &found, &error), DITHER_OK);
    assert_true(!found && u == 7);
    assert_int_equal(dither_gguf_u64(file, "test.nothing", 0, 9, &u, NULL, &error), DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "no key test.nothing"));
    dither_gguf_close(file);
}

static void texts_and_arrays_are_read(void **state)
{
    (void)state;
    dither_gguf *file = open_golden();
    dither_error error;
    char *text;
    const char *bytes;
    size_t length;
    bool found;
    assert_int_equal(dither_gguf_text(file, "test.text", &text, NULL, &error), DITHER_OK);
    assert_string_equal(text, "Größe 寸 😀");
    free(text);
    assert_int_equal(dither_gguf_text(file, "test.nothing", &text, &found, &error), DITHER_OK);
    assert_true(text == NULL && !found);
    assert_int_equal(dither_gguf_string(file, "general.architecture", &bytes, &length, NULL, &error), DITHER_OK);
    assert_int_equal(length, 5);
    assert_memory_equal(bytes, "llama", 5);
    assert_int_equal(dither_gguf_string(file, "test.u8", &bytes, &length, NULL, &error), DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "test.u8 must be a string, not uint8"));

    dither_gguf_array array;
    assert_int_equal(dither_gguf_array_of(file, "test.numbers", DITHER_GGUF_I32, &array, NULL, &error), DITHER_OK);
    assert_int_equal(array.count, 3);
    static const int32_t numbers[3] = {1, -2, 3};
    assert_memory_equal(array.at, numbers, sizeof numbers);
    assert_ptr_equal(array.end, array.at + sizeof numbers);
    assert_int_equal(dither_gguf_array_of(file, "test.numbers", DITHER_GGUF_F32, &array, NULL, &error),
                     DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "an array of float32, not of int32"));
    assert_int_equal(dither_gguf_array_of(file, "test.words", DITHER_GGUF_STRING, &array, NULL, &error), DITHER_OK);
    const unsigned char *cursor = array.at;
    static const size_t lengths[] = {1, 0, 4, 300};
    for (size_t i = 0; i < 4; i++) {
        assert_true(dither_gguf_next_string(&array, &cursor, &bytes, &length));
        assert_int_equal(length, lengths[i]);
    }
    assert_int_equal(bytes[299], 'x');
    assert_false(dither_gguf_next_string(&array, &cursor, &bytes, &length));
    assert_int_equal(dither_gguf_array_of(file, "test.nested", DITHER_GGUF_ARRAY, &array, NULL, &error), DITHER_OK);
    assert_int_equal(array.count, 2);
    dither_gguf_close(file);
}

static void tensors_are_found(void **state)
{
    (void)state;
    dither_gguf *file = open_golden();
    assert_int_equal(dither_gguf_version(file), 3);
    assert_int_equal(dither_gguf_tensors(file), 3);
    const dither_gguf_tensor *a = dither_gguf_find(file, "a.weight"), *b = dither_gguf_find(file, "b.weight"),
                             *c = dither_gguf_find(file, "c");
    assert_ptr_equal(a, dither_gguf_tensor_at(file, 0));
    assert_null(dither_gguf_find(file, "d"));
    assert_true(a->type == DITHER_BLOCK_F32 && a->dims == 2 && a->shape[0] == 64 && a->shape[1] == 3);
    assert_true(b->type == DITHER_BLOCK_Q4_1 && b->bytes == 6 * 20 && c->dims == 1 && c->shape[0] == 3);
    float values[192], quantized[192], halves[3];
    dither_block_decode(a->type, 192, a->data, values);
    dither_block_decode(b->type, 192, b->data, quantized);
    dither_block_decode(c->type, 3, c->data, halves);
    for (size_t i = 0; i < 192; i++) {
        assert_true(values[i] == (float)i / 8 - 12);
        assert_true(fabsf(values[i] - quantized[i]) <= 31.0f / 8 / 15 / 2 + 0.01f);
    }
    assert_true(halves[0] == 1.5f && halves[1] == -2.5f && halves[2] == 65504);
    dither_gguf_close(file);
}

/* ---- what is refused ------------------------------------------------------------------------------------------ */

static void bad_heads_are_refused(void **state)
{
    (void)state;
    image i = {.size = 0};
    refuse(&i, "f.gguf", "0 bytes; a GGUF file has 24");
    put_head(&i, 3, 0, 0);
    accept(&i, 0, 0);
    i.bytes[0] = 'X';
    refuse(&i, "f.gguf at byte 0", "not begin with GGUF");
    put_head(&i, 2, 0, 0);
    accept(&i, 0, 0);
    put_head(&i, 1, 0, 0);
    refuse(&i, "f.gguf at byte 4", "version 1; 2 and 3 can be read");
    put_head(&i, 4, 0, 0);
    refuse(&i, "f.gguf at byte 4", "version 4");
    put_head(&i, 3u << 24, 0, 0);
    refuse(&i, "f.gguf at byte 4", "big-endian");
    put_head(&i, 3, 1, 0);
    refuse(&i, "f.gguf at byte 8", "1 tensors cannot be in the 8 bytes");
    put_head(&i, 3, 0, 1);
    refuse(&i, "f.gguf at byte 16", "1 keys cannot be in the 0 bytes");
    put_head(&i, 3, UINT64_MAX, UINT64_MAX);
    refuse(&i, "f.gguf at byte 8", "18446744073709551615 tensors");
}

static void bad_values_are_refused(void **state)
{
    (void)state;
    image i;
    put_head(&i, 3, 0, 1);
    put_key(&i, "a", DITHER_GGUF_TYPES);
    put_u64(&i, 0);
    refuse(&i, "f.gguf at byte 33", "the value of a has type 13");
    put_head(&i, 3, 0, 1);
    put_key(&i, "", DITHER_GGUF_U32);
    put_u64(&i, 0);
    refuse(&i, "f.gguf at byte 24", "a key of 0 bytes");
    put_head(&i, 3, 0, 1);
    put_key(&i, "a\x1b[2J", DITHER_GGUF_U32);
    put_u64(&i, 0);
    refuse(&i, "f.gguf at byte 24", "printable");
    put_head(&i, 3, 0, 1);
    put_key(&i, "a\xff", DITHER_GGUF_U32);
    put_u64(&i, 0);
    refuse(&i, "f.gguf at byte 24", "UTF-8");
    put_head(&i, 3, 0, 1);
    put_u64(&i, UINT64_MAX);
    put_data(&i, 1, 100);
    refuse(&i, "f.gguf at byte 24", "1 to 65535");
    put_head(&i, 3, 0, 2);
    for (int k = 0; k < 2; k++) {
        put_key(&i, "twice", DITHER_GGUF_U32);
        put_u32(&i, 1);
    }
    refuse(&i, "f.gguf at byte 53", "the key twice is there twice");
    put_head(&i, 3, 0, 1);
    put_key(&i, "a", DITHER_GGUF_STRING);
    put_u64(&i, 5);
    put(&i, "four", 4);
    refuse(&i, "f.gguf at byte 45", "cut off inside a string: 1 bytes are missing");
    put_head(&i, 3, 0, 1);
    put_key(&i, "a", DITHER_GGUF_STRING);
    put_u64(&i, UINT64_MAX);
    refuse(&i, "f.gguf at byte 45", "cut off inside a string: 18446744073709551615");
}

static void put_array(image *to, uint32_t type, uint64_t count)
{
    put_u32(to, type);
    put_u64(to, count);
}

static void bad_arrays_are_refused(void **state)
{
    (void)state;
    image i;
    put_head(&i, 3, 0, 1);
    put_key(&i, "a", DITHER_GGUF_ARRAY);
    put_array(&i, 99, 0);
    refuse(&i, "f.gguf at byte 37", "type 99");
    static const uint32_t types[] = {DITHER_GGUF_U8, DITHER_GGUF_U32, DITHER_GGUF_STRING, DITHER_GGUF_ARRAY};
    for (size_t t = 0; t < 4; t++) {
        put_head(&i, 3, 0, 1);
        put_key(&i, "a", DITHER_GGUF_ARRAY);
        put_array(&i, types[t], UINT64_MAX / 2);
        put_u64(&i, 0);
        refuse(&i, "f.gguf at byte 41", "array elements cannot be in the 8 bytes");
    }
    put_head(&i, 3, 0, 1);
    put_key(&i, "a", DITHER_GGUF_ARRAY);
    put_array(&i, DITHER_GGUF_STRING, 2);
    put_text(&i, "one string");
    refuse(&i, "f.gguf at byte 67", "cut off inside a string: 8 bytes");
    for (int depth = 1; depth < 8; depth++) { /* arrays of one array each, the innermost of two bytes */
        put_head(&i, 3, 0, 1);
        put_key(&i, "a", DITHER_GGUF_ARRAY);
        for (int k = 1; k < depth; k++)
            put_array(&i, DITHER_GGUF_ARRAY, 1);
        put_array(&i, DITHER_GGUF_U8, 2);
        put(&i, "xy", 2);
        if (depth <= 4)
            accept(&i, 0, 1);
        else
            refuse(&i, "f.gguf at byte 73", "more than 4 deep");
    }
}

static void bad_tensors_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        uint64_t cols, rows, offset;
        const char *where, *words;
    } cases[] = {
        {0, 8, 2, 0, NULL, NULL},
        {0, 8, 2, 32, NULL, NULL},
        {0, 8, 2, 64, "f.gguf at byte 57", "tensor t would end at byte 224 of a file of 192"},
        {0, 8, 2, 8, "f.gguf at byte 57", "offset 8; it must be a multiple of 32"},
        {0, 8, 2, UINT64_MAX - 31, "f.gguf at byte 57", "would end"},
        {0, 8, 4, 0, "f.gguf at byte 57", "would end"},
        {0, 0, 2, 0, "f.gguf at byte 37", "size of 0"},
        {0, 8, 0, 0, "f.gguf at byte 45", "size of 0"},
        {0, UINT64_MAX, 1, 0, "f.gguf at byte 33", "more bytes than the file's"},
        {0, UINT64_C(1) << 32, UINT64_C(1) << 32, 0, "f.gguf at byte 33", "more bytes"},
        {2, 33, 1, 0, "f.gguf at byte 33", "rows of 33 values; blocks of q4_0 hold 32"},
        {12, 128, 1, 0, "f.gguf at byte 33", "blocks of q4_k hold 256"},
        {2, 32, 3, 0, NULL, NULL},
        {17, 256, 1, 0, "f.gguf at byte 53", "tensor t has type 17, IQ2_XS, which cannot be read"},
        {26, 8, 1, 0, "f.gguf at byte 53", "I32"},
        {77, 8, 1, 0, "f.gguf at byte 53", "type 77, an unknown one"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        image i;
        put_head(&i, 3, 1, 0);
        put_tensor(&i, "t", cases[k].type, cases[k].cols, cases[k].rows, cases[k].offset);
        put_data(&i, 32, 96);
        if (cases[k].where == NULL)
            accept(&i, 1, 0);
        else
            refuse(&i, cases[k].where, cases[k].words);
    }
    image i;
    for (uint32_t dims = 0; dims < 7; dims++) {
        put_head(&i, 3, 1, 0);
        put_text(&i, "t");
        put_u32(&i, dims);
        for (uint32_t d = 0; d < dims; d++)
            put_u64(&i, 1);
        put_u32(&i, 0);
        put_u64(&i, 0);
        put_data(&i, 32, 32);
        if (dims >= 1 && dims <= 4)
            accept(&i, 1, 0);
        else
            refuse(&i, "f.gguf at byte 33", "1 to 4 are possible");
    }
}

static void tensors_that_touch_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t first, second; /* offsets of tensors of 40 bytes */
        const char *words;      /* NULL: fine */
    } cases[] = {
        {0, 64, NULL}, {64, 0, NULL}, {0, 96, NULL}, {0, 32, "tensor b overlap those of tensor a"},
        {0, 0, "tensor b overlap those of tensor a"}, {32, 0, "tensor a overlap those of tensor b"},
    };
    image i;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        put_head(&i, 3, 2, 0);
        put_tensor(&i, "a", 0, 10, 1, cases[k].first);
        put_tensor(&i, "b", 0, 10, 1, cases[k].second);
        put_data(&i, 32, 160);
        if (cases[k].words == NULL)
            accept(&i, 2, 0);
        else
            refuse(&i, cases[k].first > 0 ? "f.gguf at byte 57" : "f.gguf at byte 98", cases[k].words);
    }
    put_head(&i, 3, 2, 0);
    put_tensor(&i, "a", 0, 8, 1, 0);
    put_tensor(&i, "a", 0, 8, 1, 32);
    put_data(&i, 32, 64);
    refuse(&i, "f.gguf", "tensor a is there twice");
    put_head(&i, 3, 2, 0);
    put_tensor(&i, "a", 0, 8, 1, 0);
    put_data(&i, 1, 60);
    refuse(&i, "f.gguf at byte 65", "a tensor's name of 0 bytes");
}

static void alignment_is_the_files(void **state)
{
    (void)state;
    for (uint32_t alignment = 0; alignment < 150; alignment++) {
        image i;
        put_head(&i, 3, 1, 1);
        put_key(&i, "general.alignment", DITHER_GGUF_U32);
        put_u32(&i, alignment);
        put_tensor(&i, "t", 0, 8, 1, 0);
        if (alignment == 0) {
            refuse(&i, "f.gguf at byte 53", "1 to 65536");
        } else if ((alignment & (alignment - 1)) != 0) {
            refuse(&i, "f.gguf", "a power of two");
        } else {
            put_data(&i, alignment, 32);
            accept(&i, 1, 1);
            i.size--;
            refuse(&i, "f.gguf at byte 90", "would end");
        }
    }
}

/* Whatever is cut off or changed is refused or harmless. */
static void cut_and_changed_files_are_harmless(void **state)
{
    (void)state;
    size_t size;
    unsigned char *whole = temporary_read(DITHER_TEST_DATA "/small.gguf", &size);
    image i;
    assert_true(size <= sizeof i.bytes);
    const size_t last = 32 - 6; /* the file ends with what the last tensor is padded with */
    for (i.size = 0; i.size < size - last; i.size++) {
        dither_gguf *file;
        unsigned char *copy;
        dither_error error;
        memcpy(i.bytes, whole, i.size);
        assert_int_equal(parse(&i, &file, &copy, &error), DITHER_E_FORMAT);
    }
    memcpy(i.bytes, whole, size);
    i.size = size;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        i.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        dither_gguf *file;
        unsigned char *copy;
        dither_error error;
        if (parse(&i, &file, &copy, &error) == DITHER_OK) {
            for (size_t t = 0; t < dither_gguf_tensors(file); t++) {
                const dither_gguf_tensor *tensor = dither_gguf_tensor_at(file, t);
                assert_true(tensor->data >= copy && tensor->data + tensor->bytes <= copy + size);
            }
            dither_gguf_close(file);
            free(copy);
        }
        i.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    free(whole);
}

static void only_text_is_text(void **state)
{
    (void)state;
    image i;
    put_head(&i, 3, 0, 3);
    put_key(&i, "zero", DITHER_GGUF_STRING);
    put_u64(&i, 3);
    put(&i, "a\0b", 3);
    put_key(&i, "wild", DITHER_GGUF_STRING);
    put_text(&i, "ab\xff");
    put_key(&i, "truth", DITHER_GGUF_BOOL);
    put(&i, "\x02", 1);
    dither_gguf *file;
    unsigned char *copy;
    dither_error error;
    char *text;
    bool truth;
    assert_int_equal(parse(&i, &file, &copy, &error), DITHER_OK);
    assert_int_equal(dither_gguf_text(file, "zero", &text, NULL, &error), DITHER_E_FORMAT);
    assert_string_equal(error.where, "f.gguf at byte 49");
    assert_null(text);
    assert_int_equal(dither_gguf_text(file, "wild", &text, NULL, &error), DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "UTF-8"));
    assert_int_equal(dither_gguf_bool(file, "truth", &truth, NULL, &error), DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "must be 0 or 1, not 2"));
    dither_gguf_close(file);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_type_are_read),
        cmocka_unit_test(texts_and_arrays_are_read),
        cmocka_unit_test(tensors_are_found),
        cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(bad_arrays_are_refused),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(tensors_that_touch_are_refused),
        cmocka_unit_test(alignment_is_the_files),
        cmocka_unit_test(cut_and_changed_files_are_harmless),
        cmocka_unit_test(only_text_is_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
