#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file/json.h"
#include "temporary.h"

static dither_status parse(const char *text, size_t size, dither_error *error)
{
    cJSON *value;
    dither_status status = dither_json_parse(text, size, "f.json", &value, error);
    assert_true((status == DITHER_OK) == (value != NULL));
    cJSON_Delete(value);
    return status;
}

static void good_values_parse(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}", "[]", "null", "1", " {\"a\": [1, 2, {\"b\": \"\\\"\\\\u0000\"}]}\n\t ", "\"\\u00e9\"",
        "{\"a\":1,\"b\":1}",
        "\"\\ud83d\\ude00\"",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(parse(good[i], strlen(good[i]), NULL), DITHER_OK);
}

static void bad_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "{", "{\"a\"", "{\"a\":", "{\"a\":1,", "{\"a\":1,}", "[1,]", "{} {}", "{}x", "nul", "\"",
        "\"\\u0000\"",
        "\"a\\\\\\u0000\"", "\"\\ud800\"", "\"\xff\"", "\"\xc0\x80\"", "\"\n\"", "\"\x01\"", "\x01",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"b\":0,\"\\u0061\":2}", "{1:2}", "'a'",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dither_error error;
        if (parse(bad[i], strlen(bad[i]), &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", bad[i]);
        assert_string_not_equal(error.text, "");
        assert_memory_equal(error.where, "f.json", 6);
    }
    assert_int_equal(parse("[1\0]", 4, NULL), DITHER_E_FORMAT);
    assert_int_equal(parse("{}\0", 3, NULL), DITHER_E_FORMAT);
}

static void errors_name_the_line(void **state)
{
    (void)state;
    dither_error error;
    static const char text[] = "{\n \"a\": 1,\n \"b\": what\n}\n";
    assert_int_equal(parse(text, strlen(text), &error), DITHER_E_FORMAT);
    assert_string_equal(error.where, "f.json:3");
    static const char follows[] = "{}\n\n\nmore";
    assert_int_equal(parse(follows, strlen(follows), &error), DITHER_E_FORMAT);
    assert_string_equal(error.where, "f.json:4");
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    char *text = malloc(DEPTH);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    assert_int_equal(parse(text, DEPTH, NULL), DITHER_E_FORMAT);
    free(text);
}

static void every_prefix_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": [1, -2.5e3, {\"b\": \"\\u00e9\\n\"}], \"c\": true, \"d\": null}";
    for (size_t size = 0; size < strlen(text); size++) {
        char *exact = malloc(size + 1); /* on the heap, where a sanitizer sees a byte read too far */
        assert_non_null(exact);
        char *end = exact + 1; /* of `size` bytes and no more behind them */
        memcpy(end, text, size);
        assert_int_equal(parse(end, size, NULL), DITHER_E_FORMAT);
        free(exact);
    }
    assert_int_equal(parse(text, strlen(text), NULL), DITHER_OK);
}

static void getters_check_types_and_ranges(void **state)
{
    (void)state;
    static const char text[] = "{\"i\": 7, \"big\": 9007199254740992, \"huge\": 9007199254740994, \"e\": 1e3, "
                               "\"zero\": -0,"
                               "\"neg\": -1, \"half\": 0.5, \"inf\": 1e999, \"t\": true, \"s\": \"x\", \"n\": null}";
    cJSON *root;
    assert_int_equal(dither_json_parse(text, strlen(text), "f", &root, NULL), DITHER_OK);
    uint64_t i = 0;
    bool found;
    const uint64_t all = UINT64_MAX;
    assert_int_equal(dither_json_u64(root, "i", 0, all, &i, NULL, "f", NULL), DITHER_OK);
    assert_int_equal(i, 7);
    assert_int_equal(dither_json_u64(root, "i", 8, all, &i, NULL, "f", NULL), DITHER_E_FORMAT);
    assert_int_equal(dither_json_u64(root, "i", 0, 6, &i, NULL, "f", NULL), DITHER_E_FORMAT);
    assert_int_equal(dither_json_u64(root, "big", 0, all, &i, NULL, "f", NULL), DITHER_OK);
    assert_true(i == UINT64_C(1) << 53);
    assert_int_equal(dither_json_u64(root, "e", 0, all, &i, NULL, "f", NULL), DITHER_OK);
    assert_int_equal(i, 1000);
    assert_int_equal(dither_json_u64(root, "zero", 0, all, &i, NULL, "f", NULL), DITHER_OK);
    assert_int_equal(i, 0);
    static const char *const not_integers[] = {"huge", "neg", "half", "inf", "t", "s"};
    for (size_t k = 0; k < sizeof not_integers / sizeof *not_integers; k++)
        assert_int_equal(dither_json_u64(root, not_integers[k], 0, all, &i, NULL, "f", NULL), DITHER_E_FORMAT);

    dither_error error;
    assert_int_equal(dither_json_u64(root, "absent", 0, all, &i, NULL, "f", &error), DITHER_E_FORMAT);
    assert_non_null(strstr(error.text, "absent"));
    i = 42;
    assert_int_equal(dither_json_u64(root, "absent", 0, all, &i, &found, "f", NULL), DITHER_OK);
    assert_false(found);
    assert_int_equal(dither_json_u64(root, "n", 0, all, &i, &found, "f", NULL), DITHER_OK);
    assert_false(found);
    assert_int_equal(i, 42);
    assert_int_equal(dither_json_u64(root, "i", 0, all, &i, &found, "f", NULL), DITHER_OK);
    assert_true(found);

    double x = 0;
    assert_int_equal(dither_json_f64(root, "half", &x, NULL, "f", NULL), DITHER_OK);
    assert_true(x == 0.5);
    assert_int_equal(dither_json_f64(root, "inf", &x, NULL, "f", NULL), DITHER_E_FORMAT);
    assert_int_equal(dither_json_f64(root, "s", &x, NULL, "f", NULL), DITHER_E_FORMAT);
    bool flag = false;
    assert_int_equal(dither_json_bool(root, "t", &flag, NULL, "f", NULL), DITHER_OK);
    assert_true(flag);
    assert_int_equal(dither_json_bool(root, "i", &flag, NULL, "f", NULL), DITHER_E_FORMAT);
    const char *s = NULL;
    assert_int_equal(dither_json_text(root, "s", &s, NULL, "f", NULL), DITHER_OK);
    assert_string_equal(s, "x");
    assert_int_equal(dither_json_text(root, "t", &s, NULL, "f", NULL), DITHER_E_FORMAT);
    assert_int_equal(dither_json_text(cJSON_GetObjectItem(root, "i"), "s", &s, NULL, "f", NULL), DITHER_E_FORMAT);
    cJSON_Delete(root);
}

static void files_are_bounded(void **state)
{
    (void)state;
    char folder[256];
    temporary_create(folder);
    const char *path = temporary_path(folder, "a.json");
    cJSON *value;
    dither_error error;
    assert_int_equal(dither_json_file(path, 100, &value, &error), DITHER_E_IO);
    assert_string_equal(error.where, path);
    temporary_write(path, "", 0);
    assert_int_equal(dither_json_file(path, 100, &value, NULL), DITHER_E_FORMAT);
    temporary_write(path, "{\"a\":1}", 7);
    assert_int_equal(dither_json_file(path, 6, &value, NULL), DITHER_E_FORMAT);
    assert_null(value);
    assert_int_equal(dither_json_file(path, 7, &value, NULL), DITHER_OK);
    cJSON_Delete(value);
    assert_int_equal(dither_json_file(folder, 100, &value, NULL), DITHER_E_IO);
    temporary_remove(folder);
}

static void control_characters_are_not_printable(void **state)
{
    (void)state;
    assert_true(dither_json_printable("model.layers.0 \xc3\xa9"));
    assert_true(dither_json_printable("\xe4\xba\x80")); /* bytes of C1 values inside another character */
    assert_false(dither_json_printable("a\x1b[2J"));
    assert_false(dither_json_printable("a\x7f"));
    assert_false(dither_json_printable("\xc2\x9b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_values_parse),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(getters_check_types_and_ranges),
        cmocka_unit_test(files_are_bounded),
        cmocka_unit_test(control_characters_are_not_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
