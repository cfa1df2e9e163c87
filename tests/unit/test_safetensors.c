#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "file/safetensors.h"
#include "quant/bits.h"
#include "temporary.h"

/* Opens length + header + `data` zero bytes, on the heap and no longer than that. */
static dither_status parse(const char *header, size_t data, dither_safetensors **file, unsigned char **bytes,
                           dither_error *error)
{
    uint64_t length = strlen(header);
    size_t size = 8 + (size_t)length + data;
    *bytes = calloc(size, 1);
    assert_non_null(*bytes);
    memcpy(*bytes, &length, 8);
    memcpy(*bytes + 8, header, (size_t)length);
    return dither_safetensors_parse(file, *bytes, size, "f.safetensors", error);
}

static void good_headers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data, count;
    } cases[] = {
        {"{}", 0, 0},
        {"{}    ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, 1},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0, 1},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]},"
         "\"a\":{\"shape\":[1e0,3],\"data_offsets\":[0,3],\"dtype\":\"I8\"}}", 5, 2},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"e\":{\"dtype\":\"U8\",\"shape\":[0],"
         "\"data_offsets\":[0,0]},\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}", 2, 3},
        {"{\"a\":{\"dtype\":\"F7_NEW\",\"shape\":[5],\"data_offsets\":[0,4]}}", 4, 1},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,3],\"data_offsets\":[0,3]}}", 3, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dither_safetensors *file;
        unsigned char *bytes;
        dither_error error;
        if (parse(cases[i].header, cases[i].data, &file, &bytes, &error) != DITHER_OK)
            fail_msg("%s: %s", cases[i].header, error.text);
        assert_int_equal(dither_safetensors_count(file), cases[i].count);
        const unsigned char *next = bytes + 8 + strlen(cases[i].header);
        for (size_t k = 0; k < cases[i].count; k++) { /* in the order of their data */
            assert_ptr_equal(dither_safetensors_at(file, k)->data, next);
            next += dither_safetensors_at(file, k)->bytes;
        }
        dither_safetensors_close(file);
        free(bytes);
    }
}

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *words; /* the error has */
    } cases[] = {
        {"", 0, "begin with {"},
        {" {}", 0, "begin with {"},
        {"[]", 0, "begin with {"},
        {"{", 0, "JSON"},
        {"{}{}", 0, "follows"},
        {"{}", 1, "no tensor"},
        {"{\"a\":3}", 0, "nothing else"},
        {"{\"a\":{}}", 0, "nothing else"},
        {"{\"a\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("U8", "[1]", "[1,2]") "}", 2, "twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":1}}", 1, "nothing else"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape"},
        {"{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype"},
        {"{\"a\":" T("U8", "1", "[0,1]") "}", 1, "shape"},
        {"{\"a\":" T("U8", "[-1]", "[0,1]") "}", 1, "shape"},
        {"{\"a\":" T("U8", "[0.5]", "[0,1]") "}", 1, "shape"},
        {"{\"a\":" T("U8", "[1e300]", "[0,1]") "}", 1, "shape"},
        {"{\"a\":" T("U8", "[\"1\"]", "[0,1]") "}", 1, "shape"},
        {"{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "8"},
        {"{\"a\":" T("F32", "[4294967296,4294967296]", "[0,0]") "}", 0, "2^64"},
        {"{\"a\":" T("F32", "[4294967296,1073741824]", "[0,0]") "}", 0, "bytes"},
        {"{\"a\":" T("U8", "[1]", "[0]") "}", 1, "data_offsets"},
        {"{\"a\":" T("U8", "[1]", "[0,1,2]") "}", 1, "data_offsets"},
        {"{\"a\":" T("U8", "[1]", "[1,0]") "}", 1, "begin <= end"},
        {"{\"a\":" T("U8", "[1]", "[-1,0]") "}", 1, "data_offsets"},
        {"{\"a\":" T("U8", "[1]", "{\"x\":0,\"y\":1}") "}", 1, "data_offsets"},
        {"{\"a\":" T("F32", "[2]", "[0,7]") "}", 7, "span 7"},
        {"{\"a\":" T("F16", "[2]", "[0,8]") "}", 8, "span 8"},
        {"{\"a\":" T("U8", "[2]", "[1,3]") "}", 3, "hole"},
        {"{\"a\":" T("U8", "[2]", "[0,2]") ",\"b\":" T("U8", "[2]", "[1,3]") "}", 3, "overlap"},
        {"{\"a\":" T("U8", "[2]", "[0,2]") ",\"b\":" T("U8", "[2]", "[0,2]") "}", 2, "overlap"},
        {"{\"a\":" T("U8", "[2]", "[0,2]") ",\"b\":" T("U8", "[2]", "[3,5]") "}", 5, "hole"},
        {"{\"a\":" T("U8", "[9]", "[0,9]") "}", 4, "5 bytes are missing"},
        {"{\"a\":" T("U8", "[9007199254740992]", "[0,9007199254740992]") "}", 4, "missing"},
        {"{\"a\\u0000\":" T("U8", "[1]", "[0,1]") "}", 1, "character 0"},
        {"{\"a\\u001b[2J\":" T("U8", "[1]", "[0,1]") "}", 1, "control"},
        {"{\"a\":" T("U8\\u0007", "[1]", "[0,1]") "}", 1, "dtype"},
        {"{\"a\xff\":" T("U8", "[1]", "[0,1]") "}", 1, "UTF-8"},
        {"{\"__metadata__\":3}", 0, "metadata"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "strings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dither_safetensors *file;
        unsigned char *bytes;
        dither_error error;
        if (parse(cases[i].header, cases[i].data, &file, &bytes, &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", cases[i].header);
        assert_null(file);
        assert_memory_equal(error.where, "f.safetensors", strlen("f.safetensors"));
        if (strstr(error.text, cases[i].words) == NULL)
            fail_msg("%s: \"%s\" is not in: %s", cases[i].header, cases[i].words, error.text);
        free(bytes);
    }
}

static void hostile_lengths_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {3, 100, 100000000, 100000001, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX - 7,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char bytes[10] = "12345678{}";
        memcpy(bytes, &lengths[i], 8);
        dither_safetensors *file;
        assert_int_equal(dither_safetensors_parse(&file, bytes, sizeof bytes, "f", NULL), DITHER_E_FORMAT);
    }
}

static const float values[6] = {1.0f, -2.5f, 0x1.01p0f, 0x1.03p0f, 3.3895314e38f, 1e-40f};
static const unsigned char raw[3] = {7, 8, 255};

static const dither_safetensor_out three[] = {
    {.name = "model.\"quoted\"\\", .storage = DITHER_STORAGE_F32, .dims = 2, .shape = {2, 3}, .data = values},
    {.name = "half", .storage = DITHER_STORAGE_BF16, .dims = 1, .shape = {6}, .data = values},
    {.name = "raw \xc3\xa9", .storage = DITHER_STORAGE_U8, .dims = 1, .shape = {3}, .data = raw},
};
static const dither_metadata metadata[] = {{"format", "pt"}, {"note", "two\nlines \"quoted\""}};

static void write_three(const char *path)
{
    assert_int_equal(dither_safetensors_write(path, three, 3, metadata, 2, NULL), DITHER_OK);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "a.safetensors");
    write_three(path);
    dither_safetensors *file;
    assert_int_equal(dither_safetensors_open(&file, path, NULL), DITHER_OK);
    assert_int_equal(dither_safetensors_count(file), 3);
    assert_string_equal(dither_safetensors_metadata(file, "format"), "pt");
    assert_string_equal(dither_safetensors_metadata(file, "note"), metadata[1].value);
    assert_null(dither_safetensors_metadata(file, "none"));
    assert_null(dither_safetensors_find(file, "none"));
    for (size_t i = 0; i < 3; i++) {
        const dither_safetensor *tensor = dither_safetensors_at(file, i);
        assert_string_equal(tensor->name, three[i].name);
        assert_ptr_equal(dither_safetensors_find(file, three[i].name), tensor);
        assert_int_equal(tensor->storage, three[i].storage);
        assert_int_equal(tensor->dims, three[i].dims);
        assert_memory_equal(tensor->shape, three[i].shape, sizeof tensor->shape);
    }
    float out[6];
    dither_safetensor_f32(dither_safetensors_at(file, 0), 0, 6, out);
    assert_memory_equal(out, values, sizeof values);
    dither_safetensor_f32(dither_safetensors_at(file, 0), 2, 2, out);
    assert_memory_equal(out, values + 2, 2 * sizeof *out);
    dither_safetensor_f32(dither_safetensors_at(file, 0), 6, 0, out);
    /* bf16 has 8 bits: 1 + 2^-8 is a tie and goes to even, 1 + 3 2^-8 likewise, upwards */
    static const float nearest[6] = {1.0f, -2.5f, 1.0f, 0x1.04p0f, 0x1.fep127f, 0x1p-133f};
    dither_safetensor_f32(dither_safetensors_at(file, 1), 0, 6, out);
    assert_memory_equal(out, nearest, sizeof nearest);
    assert_memory_equal(dither_safetensors_at(file, 2)->data, raw, 3);
    dither_safetensors_close(file);
}

static void writing_is_deterministic_and_aligned(void **state)
{
    (void)state;
    const char *a = temporary_path(temporary_folder, "a.safetensors"),
               *b = temporary_path(temporary_folder, "b.safetensors");
    write_three(a);
    write_three(b);
    size_t size_a, size_b;
    unsigned char *bytes_a = temporary_read(a, &size_a), *bytes_b = temporary_read(b, &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(bytes_a, bytes_b, size_a);
    uint64_t length;
    memcpy(&length, bytes_a, 8);
    assert_int_equal(length % 8, 0);
    assert_int_equal(size_a, 8 + length + 24 + 12 + 3);
    free(bytes_a);
    free(bytes_b);
    assert_int_equal(dither_safetensors_write(a, NULL, 0, NULL, 0, NULL), DITHER_OK);
    bytes_a = temporary_read(a, &size_a);
    assert_int_equal(size_a, 16);
    assert_memory_equal(bytes_a + 8, "{}      ", 8);
    free(bytes_a);
}

static void large_tensors_cross_the_buffer(void **state)
{
    (void)state;
    enum { COUNT = 100003 };
    float *x = malloc(COUNT * sizeof *x), *y = malloc(COUNT * sizeof *y);
    assert_non_null(x);
    assert_non_null(y);
    for (size_t i = 0; i < COUNT; i++)
        x[i] = (float)(i % 251) - 125.0f; /* exact in bf16 */
    const dither_safetensor_out tensors[] = {
        {.name = "b", .storage = DITHER_STORAGE_BF16, .dims = 1, .shape = {COUNT}, .data = x},
        {.name = "f", .storage = DITHER_STORAGE_F32, .dims = 1, .shape = {COUNT}, .data = x},
        {.name = "e", .storage = DITHER_STORAGE_F32, .dims = 1, .shape = {0}, .data = NULL},
    };
    const char *path = temporary_path(temporary_folder, "large.safetensors");
    assert_int_equal(dither_safetensors_write(path, tensors, 3, NULL, 0, NULL), DITHER_OK);
    dither_safetensors *file;
    assert_int_equal(dither_safetensors_open(&file, path, NULL), DITHER_OK);
    for (size_t i = 0; i < 2; i++) {
        dither_safetensor_f32(dither_safetensors_at(file, i), 0, COUNT, y);
        assert_memory_equal(x, y, COUNT * sizeof *x);
    }
    dither_safetensors_close(file);
    free(x);
    free(y);
}

static void a_nan_stays_one_in_bf16(void **state)
{
    (void)state;
    const float x[4] = {dither_f32_from_bits(0x7f800001), dither_f32_from_bits(0xffffffff), INFINITY, 3.4028235e38f};
    const dither_safetensor_out tensor = {.name = "x", .storage = DITHER_STORAGE_BF16, .dims = 1, .shape = {4},
                                          .data = x};
    const char *path = temporary_path(temporary_folder, "nan.safetensors");
    assert_int_equal(dither_safetensors_write(path, &tensor, 1, NULL, 0, NULL), DITHER_OK);
    dither_safetensors *file;
    assert_int_equal(dither_safetensors_open(&file, path, NULL), DITHER_OK);
    float y[4];
    dither_safetensor_f32(dither_safetensors_at(file, 0), 0, 4, y);
    assert_true(isnan(y[0]) && isnan(y[1]) && isinf(y[2]) && isinf(y[3]));
    dither_safetensors_close(file);
}

/* value = (-1)^s 2^(e-15) (1 + m/1024), or 2^-24 m where e = 0: computed here with ldexp, for all codes. */
static void every_f16_code_has_its_value(void **state)
{
    (void)state;
    uint16_t *codes = malloc(65536 * sizeof *codes);
    float *out = malloc(65536 * sizeof *out);
    assert_non_null(codes);
    assert_non_null(out);
    for (size_t i = 0; i < 65536; i++)
        codes[i] = (uint16_t)i;
    const dither_safetensor tensor = {.storage = DITHER_STORAGE_F16, .data = (const unsigned char *)codes,
                                      .bytes = 65536 * 2};
    dither_safetensor_f32(&tensor, 0, 65536, out);
    for (int i = 0; i < 65536; i++) {
        int exponent = i >> 10 & 31, mantissa = i & 1023;
        float expected = exponent == 0 ? ldexpf((float)mantissa, -24) : ldexpf((float)(1024 + mantissa), exponent - 25);
        if (exponent == 31)
            expected = mantissa == 0 ? INFINITY : NAN;
        assert_int_equal(signbit(out[i]) != 0, i >> 15);
        assert_true(isnan(expected) ? isnan(out[i]) : fabsf(out[i]) == expected);
    }
    free(codes);
    free(out);
}

/* What a parser may say about bytes that somebody damaged: an error, or a file all of whose bytes can be touched. */
static void survive(const unsigned char *bytes, size_t size)
{
    unsigned char *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    dither_safetensors *file;
    dither_error error = {0};
    dither_status status = dither_safetensors_parse(&file, exact, size, "f", &error);
    assert_true(status == DITHER_OK || (status == DITHER_E_FORMAT && error.text[0] != '\0' && file == NULL));
    unsigned sum = 0;
    for (size_t i = 0; status == DITHER_OK && i < dither_safetensors_count(file); i++) {
        const dither_safetensor *tensor = dither_safetensors_at(file, i);
        for (uint64_t k = 0; k < tensor->bytes; k++)
            sum += tensor->data[k];
    }
    assert_true(sum < 1u << 20);
    dither_safetensors_close(file);
    free(exact);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "a.safetensors");
    write_three(path);
    size_t size;
    unsigned char *bytes = temporary_read(path, &size);
    const char *cut = temporary_path(temporary_folder, "cut.safetensors");
    for (size_t length = 0; length < size; length++) {
        temporary_write(cut, bytes, length);
        dither_safetensors *file;
        dither_error error;
        assert_int_equal(dither_safetensors_open(&file, cut, &error), DITHER_E_FORMAT);
        char missing[64];
        snprintf(missing, sizeof missing, "%zu bytes are missing", size - length);
        if (length + 39 >= size) /* cut inside the data */
            assert_non_null(strstr(error.text, missing));
        survive(bytes, length);
    }
    free(bytes);
}

static void damaged_headers_do_no_harm(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "a.safetensors");
    write_three(path);
    size_t size;
    unsigned char *bytes = temporary_read(path, &size);
    for (size_t i = 0; i < size - 39; i++) {
        const unsigned char before = bytes[i];
        for (unsigned change = 1; change < 256; change++) {
            bytes[i] = (unsigned char)(before ^ change);
            survive(bytes, size);
        }
        bytes[i] = before;
    }
    free(bytes);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "kept.safetensors");
    write_three(path);
    size_t size, again;
    unsigned char *before = temporary_read(path, &size);
    enum { COUNT = 50000 };
    float *x = calloc(COUNT, sizeof *x);
    assert_non_null(x);
    static const dither_storage storages[] = {DITHER_STORAGE_F32, DITHER_STORAGE_BF16};
    for (size_t i = 0; i < 2; i++) {
        const dither_safetensor_out tensor = {.name = "x", .storage = storages[i], .dims = 1, .shape = {COUNT},
                                              .data = x};
        struct rlimit usual, limit;
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
        limit = usual;
        limit.rlim_cur = 70000;
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        dither_error error;
        dither_status status = dither_safetensors_write(path, &tensor, 1, NULL, 0, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
        assert_int_equal(status, DITHER_E_IO);
        unsigned char *after = temporary_read(path, &again);
        assert_int_equal(size, again);
        assert_memory_equal(before, after, size);
        assert_int_equal(access(temporary_path(temporary_folder, "kept.safetensors.tmp"), F_OK), -1);
        free(after);
    }
    free(x);
    free(before);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    dither_safetensors *file;
    dither_error error;
    assert_int_equal(dither_safetensors_open(&file, temporary_path(temporary_folder, "none"), &error), DITHER_E_IO);
    assert_null(file);
    assert_int_equal(dither_safetensors_open(&file, temporary_folder, &error), DITHER_E_IO);
    assert_non_null(strstr(error.text, "folder"));
    assert_int_equal(dither_safetensors_open(&file, "/dev/zero", &error), DITHER_E_IO);
    const char *pipe = temporary_path(temporary_folder, "pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(dither_safetensors_open(&file, pipe, &error), DITHER_E_IO);
    const char *empty = temporary_path(temporary_folder, "empty");
    temporary_write(empty, "", 0);
    assert_int_equal(dither_safetensors_open(&file, empty, &error), DITHER_E_FORMAT);
    temporary_write(empty, "1234567", 7);
    assert_int_equal(dither_safetensors_open(&file, empty, &error), DITHER_E_FORMAT);
    dither_safetensors_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_headers_are_read),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(hostile_lengths_are_refused),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(writing_is_deterministic_and_aligned),
        cmocka_unit_test(large_tensors_cross_the_buffer),
        cmocka_unit_test(a_nan_stays_one_in_bf16),
        cmocka_unit_test(every_f16_code_has_its_value),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(damaged_headers_do_no_harm),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(what_is_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
