/* dither_fail fills, cuts to fit, and returns what it was told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fail.h"

static void test_fills_and_returns(void **state)
{
    (void)state;
    dither_error error;
    memset(&error, 0xFF, sizeof error);
    assert_int_equal(dither_fail(&error, DITHER_E_FORMAT, "a.txt", "byte %d is %s", 7, "bad"), DITHER_E_FORMAT);
    assert_int_equal(error.status, DITHER_E_FORMAT);
    assert_string_equal(error.where, "a.txt");
    assert_string_equal(error.text, "byte 7 is bad");
    assert_int_equal(dither_fail(NULL, DITHER_E_IO, NULL, "%d", 1), DITHER_E_IO);
    assert_int_equal(dither_fail(&error, DITHER_E_IO, NULL, "gone"), DITHER_E_IO);
    assert_string_equal(error.where, "");
}

static void test_cuts_to_fit(void **state)
{
    (void)state;
    char where[1000], text[1000];
    memset(where, 'w', sizeof where);
    memset(text, 't', sizeof text);
    where[sizeof where - 1] = text[sizeof text - 1] = '\0';
    dither_error error;
    assert_int_equal(dither_fail(&error, DITHER_E_USAGE, where, "%s", text), DITHER_E_USAGE);
    assert_int_equal(strlen(error.where), sizeof error.where - 1);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
}

/* A caller may wrap the failure that the same dither_error already holds. */
static void test_wraps_itself(void **state)
{
    (void)state;
    dither_error error;
    assert_int_equal(dither_fail(&error, DITHER_E_IO, "inner", "no space"), DITHER_E_IO);
    assert_int_equal(dither_fail(&error, error.status, error.where, "saving: %s", error.text), DITHER_E_IO);
    assert_string_equal(error.where, "inner");
    assert_string_equal(error.text, "saving: no space");
}

static void test_every_status_has_its_own_words(void **state)
{
    (void)state;
    const char *unknown = dither_status_text((dither_status)9999);
    for (int a = DITHER_OK; a <= DITHER_E_STOPPED; a++) {
        const char *text = dither_status_text((dither_status)a);
        assert_string_not_equal(text, unknown);
        for (int b = DITHER_OK; b < a; b++)
            assert_string_not_equal(text, dither_status_text((dither_status)b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_and_returns),
        cmocka_unit_test(test_cuts_to_fit),
        cmocka_unit_test(test_wraps_itself),
        cmocka_unit_test(test_every_status_has_its_own_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
