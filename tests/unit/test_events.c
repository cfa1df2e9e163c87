/* Events as JSON, whatever the locale and the bytes of a text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/text.h"
#include "comma_locale.h"
#include "dither/train.h"

static const dither_event step = {
    .kind = DITHER_EVENT_STEP, .step = 3, .loss = 1.5, .lr = 1.25e-10, .grad_norm = 7
};
static const char step_start[] =
    "{\"event\": \"step\", \"step\": 3, \"loss\": 1.5, \"lr\": 1.25e-10, \"grad_norm\": 7, ";

static void test_numbers(void **state)
{
    (void)state;
    char text[DITHER_EVENT_JSON];
    const size_t length = dither_event_json(&step, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_memory_equal(text, step_start, strlen(step_start));
    dither_event lost = step;
    lost.loss = NAN;
    (void)dither_event_json(&lost, text, sizeof text);
    assert_non_null(strstr(text, "\"loss\": null,"));
}

static void test_decimal_comma(void **state)
{
    (void)state;
    if (!comma_locale_set())
        skip();
    char text[DITHER_EVENT_JSON];
    (void)dither_event_json(&step, text, sizeof text);
    (void)setlocale(LC_ALL, "C");
    assert_memory_equal(text, step_start, strlen(step_start));
}

/* The text of a notice, as a reader gets it back. The caller frees it. */
static char *read_back(const char *notice)
{
    char text[DITHER_EVENT_JSON];
    const dither_event event = {.kind = DITHER_EVENT_NOTICE, .text = notice};
    const size_t length = dither_event_json(&event, text, sizeof text);
    assert_true(length < sizeof text);
    assert_int_equal(length, strlen(text));
    assert_int_equal(dither_text_utf8((const unsigned char *)text, length), length);
    cJSON *object = cJSON_ParseWithOpts(text, NULL, true);
    assert_non_null(object);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "text");
    assert_true(cJSON_IsString(item));
    char *copy = strdup(item->valuestring);
    assert_non_null(copy);
    cJSON_Delete(object);
    return copy;
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"a \"b\" \\ c\n\t\x01/", "a \"b\" \\ c\n\t\x01/"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"gr\xfc\xdf", "gr\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = read_back(cases[i].in);
        assert_string_equal(text, cases[i].out);
        free(text);
    }
}

/* Each of these takes another number of bytes in JSON; the longest path there is fits whole. */
static void test_long_texts(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\"", "\x01", "\xc3\xbc", "\xf0\x9f\x98\x80", "\xff"};
    static char in[4 * DITHER_EVENT_JSON + 1];
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++) {
        const size_t size = strlen(characters[i]);
        for (size_t k = 0; k < DITHER_EVENT_JSON; k++)
            memcpy(in + k * size, characters[i], size + 1);
        char *text = read_back(in);
        assert_true(strlen(text) > 1000);
        free(text);
        in[4095] = '\0';
        text = read_back(in);
        if (i < 2)
            assert_string_equal(text, in);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_decimal_comma),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
