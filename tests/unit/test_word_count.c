#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "data/word_count.h"
#include "temporary.h"

static dither_pretokenizer *gpt2;

static int setup(void **state)
{
    (void)state;
    temporary_create(temporary_folder);
    return dither_pretokenizer_open(&gpt2, "gpt2", NULL) == DITHER_OK ? 0 : -1;
}

static int teardown(void **state)
{
    dither_pretokenizer_close(gpt2);
    return temporary_teardown(state);
}

static char *path_of(const char *name)
{
    return strdup(temporary_path(temporary_folder, name));
}

static void put(dither_files *files, const char *name, const char *bytes, size_t size)
{
    char *path = path_of(name);
    temporary_write(path, bytes, size);
    assert_int_equal(dither_files_add(files, path, NULL), DITHER_OK);
    free(path);
}

static dither_status count(dither_words *words, const dither_files *files, const char *const *special,
                           size_t special_count, size_t piece, int threads, uint64_t *bytes, dither_error *error)
{
    const dither_word_source source = {files, gpt2, special, special_count, piece, threads};
    return dither_words_count(words, &source, bytes, NULL, NULL, error);
}

static void expect_equal(const dither_words *a, const dither_words *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const size_t found = dither_words_find(b, dither_words_bytes(a, i), a->words[i].length);
        if (found == SIZE_MAX || b->words[found].count != a->words[i].count)
            fail_msg("\"%.*s\" is counted %llu and %llu times", (int)a->words[i].length,
                     (const char *)dither_words_bytes(a, i), (unsigned long long)a->words[i].count,
                     found == SIZE_MAX ? 0ull : (unsigned long long)b->words[found].count);
    }
    assert_int_equal(a->count, b->count);
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* ---- the oracle: GPT-2's rules for ASCII, written out, over whole texts ------------------------------------------ */

static int class_of(char c)
{
    const int letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z', digit = c >= '0' && c <= '9';
    return letter ? 'L' : digit ? 'N' : c == ' ' || (c >= '\t' && c <= '\r') ? 'S' : 'P';
}

static size_t word_end(const char *text, size_t length, size_t from)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (length - from >= strlen(endings[i]) && memcmp(text + from, endings[i], strlen(endings[i])) == 0)
            return from + strlen(endings[i]);
    size_t end = from + (text[from] == ' ' && from + 1 < length && class_of(text[from + 1]) != 'S');
    const int kind = class_of(text[end]);
    while (end < length && class_of(text[end]) == kind)
        end++;
    return kind == 'S' && end < length && end - from > 1 ? end - 1 : end; /* the last space belongs to what follows */
}

static void count_plainly(dither_words *words, const char *text, size_t length, const char *const *special,
                          size_t special_count)
{
    size_t from = 0;
    for (size_t at = 0; at <= length; at++) {
        size_t behind = at == length ? length + 1 : at;
        for (size_t i = 0; i < special_count && at < length; i++)
            if (length - at >= strlen(special[i]) && memcmp(text + at, special[i], strlen(special[i])) == 0 &&
                at + strlen(special[i]) > behind)
                behind = at + strlen(special[i]);
        if (behind == at)
            continue;
        for (size_t end; from < at; from = end) {
            end = from + word_end(text + from, at - from, 0);
            assert_int_equal(dither_words_add(words, text + from, end - from, 1), DITHER_OK);
        }
        from = behind;
        at = behind - 1;
    }
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static const char *const special[] = {"<|end|>", "one two words", "one two", "\nx"};

static size_t english(uint32_t *random, char *text, size_t size)
{
    static const char *const parts[] = {"one", " two", " words", " it's", "\n", "\n", "\nx", "\n\n  ", ".", ", ", " ",
                                        " 12", "345", "-", "<|end|>", "<|end", "we'll", " The", "\tq", " a b c d",
                                        " go on", "one two", "one two words"};
    size_t length = 0;
    for (size_t i = 0; length < size - 16; i++)
        length += (size_t)sprintf(text + length, "%s", parts[next(random) % (sizeof parts / sizeof *parts)]);
    return length;
}

/* Pieces of all sizes, of several files, by several threads, with special tokens that hold places to cut. */
static void pieces_do_not_show(void **state)
{
    (void)state;
    static char text[3][6000];
    uint32_t random = 1;
    for (int round = 0; round < 12; round++) {
        dither_files files = {0};
        dither_words plain = {0};
        uint64_t all = 0, bytes;
        const size_t specials = (size_t)round % 5;
        for (int f = 0; f < 3; f++) {
            const size_t length = english(&random, text[f], sizeof text[f] - (size_t)f * 2500);
            put(&files, (const char *[]){"a", "b", "c"}[f], text[f], length);
            count_plainly(&plain, text[f], length, special, specials);
            all += length;
        }
        static const size_t pieces[] = {32, 36, 40, 44, 48, 64, 100, 333, 1000, 5999, 1 << 20};
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            dither_words words = {0};
            const int threads = pieces[i] < 64 ? 15 : 1 + (int)i % 3 * 2; /* many: up to the end of what was read */
            assert_int_equal(count(&words, &files, special, specials, pieces[i], threads, &bytes, NULL), DITHER_OK);
            assert_int_equal(bytes, all);
            expect_equal(&plain, &words);
            dither_words_close(&words);
        }
        dither_words_close(&plain);
        dither_files_close(&files);
    }
}

/* Chinese paragraphs have no space and no single newline: cut where words most likely end. */
static void places_are_found_without_spaces(void **state)
{
    (void)state;
    static char text[20000];
    size_t length = 0;
    uint32_t random = 7, end = 1;
    while (length < sizeof text - 16) {
        const uint32_t kind = next(&random) % 12;
        if (kind == 0 && !end)
            length += (size_t)sprintf(text + length, "\xe3\x80\x82%s", next(&random) % 4 == 0 ? "\n\n" : "");
        else
            length += (size_t)sprintf(text + length, "\xe4\xb8%c", (char)(0x80 + next(&random) % 64));
        end = kind == 0;
    }
    dither_files files = {0};
    dither_words whole = {0}, words = {0};
    uint64_t bytes;
    put(&files, "chinese", text, length);
    assert_int_equal(count(&whole, &files, NULL, 0, 1 << 20, 1, &bytes, NULL), DITHER_OK);
    assert_int_equal(count(&words, &files, NULL, 0, 500, 2, &bytes, NULL), DITHER_OK);
    expect_equal(&whole, &words);
    dither_words_close(&whole);
    dither_words_close(&words);
    dither_files_close(&files);
}

/* A word without end is cut between characters, and all of it is counted. */
static void endless_words_are_cut(void **state)
{
    (void)state;
    static char text[30000];
    dither_files files = {0};
    dither_words words = {0};
    uint64_t bytes, sum = 0;
    for (size_t i = 0; i < sizeof text; i += 3)
        memcpy(text + i, "\xe4\xb8\xad", 3);
    put(&files, "endless", text, sizeof text);
    assert_int_equal(count(&words, &files, NULL, 0, 100, 2, &bytes, NULL), DITHER_OK);
    for (size_t i = 0; i < words.count; i++) {
        assert_int_equal(words.words[i].length % 3, 0);
        assert_true(words.words[i].length <= DITHER_WORD_PIECE_LONGEST * 100);
        sum += words.words[i].count * words.words[i].length;
    }
    assert_int_equal(sum, sizeof text);
    dither_words_close(&words);
    dither_files_close(&files);
}

static void the_mark_in_front_is_no_text(void **state)
{
    (void)state;
    dither_files files = {0};
    dither_words words = {0};
    uint64_t bytes;
    put(&files, "marked", "\xef\xbb\xbf" "ab", 5);
    put(&files, "empty", "", 0);
    put(&files, "mark", "\xef\xbb\xbf", 3);
    assert_int_equal(count(&words, &files, NULL, 0, 64, 1, &bytes, NULL), DITHER_OK);
    assert_int_equal(bytes, 2);
    assert_int_equal(words.count, 1);
    assert_int_equal(words.words[dither_words_find(&words, "ab", 2)].count, 1);
    dither_words_close(&words);
    dither_files_close(&files);
}

static void expect_failure(const dither_files *files, dither_status status, const char *where, const char *what)
{
    dither_words words = {0};
    dither_error error = {.status = DITHER_OK};
    uint64_t bytes;
    assert_int_equal(count(&words, files, NULL, 0, 64, 2, &bytes, &error), status);
    if (strstr(error.where, where) == NULL || strstr(error.text, what) == NULL)
        fail_msg("%s: %s", error.where, error.text);
    dither_words_close(&words);
}

static void errors_say_where(void **state)
{
    (void)state;
    dither_files bad = {0}, empty = {0}, gone = {0};
    char text[4000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "some text\n"[i % 10];
    text[3333] = (char)0xe4;
    text[3777] = (char)0xff;
    put(&bad, "bad", text, sizeof text);
    expect_failure(&bad, DITHER_E_FORMAT, "/bad:334", "not UTF-8 at byte 3333 (0xe4)");
    put(&empty, "empty1", "", 0);
    expect_failure(&empty, DITHER_E_FORMAT, "/empty1", "the file is empty");
    put(&gone, "gone", "x", 1);
    assert_int_equal(unlink(gone.paths[0]), 0);
    expect_failure(&gone, DITHER_E_IO, "/gone", "open");
    assert_int_equal(mkfifo(gone.paths[0], 0600), 0);
    expect_failure(&gone, DITHER_E_IO, "/gone", "regular file");
    dither_files_close(&bad);
    dither_files_close(&empty);
    dither_files_close(&gone);
}

static bool once(void *context, uint64_t done, uint64_t total)
{
    assert_int_equal(total, 2000);
    assert_true(done > 0 && done < total);
    return ++*(int *)context < 2;
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    dither_files files = {0};
    dither_words words = {0};
    char text[2000];
    int calls = 0;
    uint64_t bytes;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "some text\n"[i % 10];
    put(&files, "long", text, sizeof text);
    const dither_word_source source = {&files, gpt2, NULL, 0, 16, 1};
    assert_int_equal(dither_words_count(&words, &source, &bytes, once, &calls, NULL), DITHER_E_STOPPED);
    assert_int_equal(calls, 2);
    dither_words_close(&words);
    dither_files_close(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_show),
        cmocka_unit_test(places_are_found_without_spaces),
        cmocka_unit_test(endless_words_are_cut),
        cmocka_unit_test(the_mark_in_front_is_no_text),
        cmocka_unit_test(errors_say_where),
        cmocka_unit_test(it_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
