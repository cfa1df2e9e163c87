/*
 * As much of cmocka's interface (https://api.cmocka.org) as the tests here use, written anew, for machines that the
 * library itself is not installed for: test sources compile unchanged. One test program, one translation unit.
 */
#ifndef DITHER_CROSS_CMOCKA_H
#define DITHER_CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
    int (*setup)(void **state);
    int (*teardown)(void **state);
};

enum { CROSS_FAILED = 1, CROSS_SKIPPED };

static jmp_buf cross_end; /* of the running test */

__attribute__((format(printf, 1, 2))) static inline void print_message(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    fflush(stdout);
}

__attribute__((format(printf, 1, 2))) static inline void print_error(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
}

_Noreturn static inline void cross_fail(const char *file, int line)
{
    print_error("%s:%d: failed\n", file, line);
    longjmp(cross_end, CROSS_FAILED);
}

static inline void cross_check(int holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    print_error("%s\n", what);
    cross_fail(file, line);
}

static inline void cross_integers(uintmax_t a, uintmax_t b, int equal, const char *file, int line)
{
    if ((a == b) == (equal != 0))
        return;
    print_error("%#jx %s %#jx\n", a, equal ? "!=" : "==", b);
    cross_fail(file, line);
}

static inline void cross_range(uintmax_t value, uintmax_t low, uintmax_t high, const char *file, int line)
{
    if (value >= low && value <= high)
        return;
    print_error("%ju is not within %ju to %ju\n", value, low, high);
    cross_fail(file, line);
}

static inline void cross_texts(const char *a, const char *b, int equal, const char *file, int line)
{
    if ((strcmp(a, b) == 0) == (equal != 0))
        return;
    print_error("\"%s\" %s \"%s\"\n", a, equal ? "!=" : "==", b);
    cross_fail(file, line);
}

static inline void cross_memory(const void *a, const void *b, size_t size, int equal, const char *file, int line)
{
    const unsigned char *left = a, *right = b;
    size_t at = 0;
    while (at < size && left[at] == right[at])
        at++;
    if ((at == size) == (equal != 0))
        return;
    if (at < size)
        print_error("byte %zu of %zu: 0x%02x, not 0x%02x\n", at, size, left[at], right[at]);
    else
        print_error("%zu equal bytes\n", size);
    cross_fail(file, line);
}

static inline int cross_run_one(const struct CMUnitTest *test)
{
    void *state = NULL;
    print_message("[ RUN      ] %s\n", test->name);
    int end = setjmp(cross_end);
    if (end == 0) {
        if (test->setup != NULL && test->setup(&state) != 0)
            longjmp(cross_end, CROSS_FAILED);
        test->test(&state);
        if (test->teardown != NULL && test->teardown(&state) != 0)
            longjmp(cross_end, CROSS_FAILED);
    }
    print_message("[ %s ] %s\n", end == 0 ? "      OK" : end == CROSS_SKIPPED ? " SKIPPED" : "  FAILED", test->name);
    return end == CROSS_FAILED;
}

/* The number of tests that failed, as cmocka returns it. */
static inline int cross_run(const struct CMUnitTest *tests, size_t count, int (*setup)(void **),
                            int (*teardown)(void **))
{
    void *state = NULL;
    int failed = setup != NULL && setup(&state) != 0;
    for (size_t i = 0; i < count && !failed; i++)
        failed += cross_run_one(&tests[i]);
    if (teardown != NULL && teardown(&state) != 0)
        failed++;
    print_message("%d of %zu tests failed\n", failed, count);
    return failed;
}

#define CROSS_HERE __FILE__, __LINE__
#define CROSS_INTEGER(x) ((uintmax_t)(x))

#define assert_true(x) cross_check((x) ? 1 : 0, #x, CROSS_HERE)
#define assert_false(x) cross_check((x) ? 0 : 1, "not: " #x, CROSS_HERE)
#define assert_non_null(x) cross_check((x) != NULL, #x " is NULL", CROSS_HERE)
#define assert_null(x) cross_check((x) == NULL, #x " is not NULL", CROSS_HERE)
#define assert_ptr_equal(a, b) cross_check((const void *)(a) == (const void *)(b), #a " is not " #b, CROSS_HERE)
#define assert_int_equal(a, b) cross_integers(CROSS_INTEGER(a), CROSS_INTEGER(b), 1, CROSS_HERE)
#define assert_int_not_equal(a, b) cross_integers(CROSS_INTEGER(a), CROSS_INTEGER(b), 0, CROSS_HERE)
#define assert_in_range(x, low, high) \
    cross_range(CROSS_INTEGER(x), CROSS_INTEGER(low), CROSS_INTEGER(high), CROSS_HERE)
#define assert_string_equal(a, b) cross_texts(a, b, 1, CROSS_HERE)
#define assert_string_not_equal(a, b) cross_texts(a, b, 0, CROSS_HERE)
#define assert_memory_equal(a, b, size) cross_memory(a, b, size, 1, CROSS_HERE)
#define assert_memory_not_equal(a, b, size) cross_memory(a, b, size, 0, CROSS_HERE)
#define fail() cross_fail(CROSS_HERE)
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), cross_fail(CROSS_HERE))
#define skip() longjmp(cross_end, CROSS_SKIPPED)

#define cmocka_unit_test(function) {#function, function, NULL, NULL}
#define cmocka_unit_test_setup_teardown(function, before, after) {#function, function, before, after}
#define cmocka_run_group_tests(tests, setup, teardown) \
    cross_run(tests, sizeof(tests) / sizeof(tests)[0], setup, teardown)

#endif
