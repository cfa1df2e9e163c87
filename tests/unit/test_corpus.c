#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "dither/data.h"
#include "temporary.h"

static char folder[256];
static dither_tokenizer *tokenizer;

static int setup(void **state)
{
    (void)state;
    temporary_create(folder);
    return dither_tokenizer_bytes(&tokenizer, NULL) == DITHER_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    dither_tokenizer_close(tokenizer);
    temporary_remove(folder);
    return 0;
}

static const char *put(const char *name, const void *bytes, size_t size)
{
    const char *path = temporary_path(folder, name);
    temporary_write(path, bytes, size);
    return path;
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(temporary_path(folder, name), 0777), 0);
}

static dither_corpus *opened(const char *const *paths, size_t count)
{
    dither_corpus *corpus;
    dither_error error;
    if (dither_corpus_open(&corpus, paths, count, tokenizer, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return corpus;
}

static void expect_text(const dither_corpus *corpus, const char *text, size_t size)
{
    assert_int_equal(dither_corpus_tokens(corpus), size);
    assert_int_equal(dither_corpus_bytes(corpus), size);
    uint32_t *ids = malloc((size + 1) * sizeof *ids);
    assert_non_null(ids);
    for (size_t first = 0; first <= size; first++) {
        for (size_t count = 0; first + count <= size; count++) {
            ids[count] = 12345;
            dither_corpus_read(corpus, first, count, ids);
            for (size_t i = 0; i < count; i++)
                assert_int_equal(ids[i], (unsigned char)text[first + i]);
            assert_int_equal(ids[count], 12345);
            assert_int_equal(dither_corpus_text_bytes(corpus, first, count), count);
        }
    }
    free(ids);
}

static void files_are_one_stream(void **state)
{
    (void)state;
    const char *const paths[] = {put("b", "hello \xc3\xa9", 8), put("empty", "", 0), put("mark", "\xef\xbb\xbf", 3),
                                 put("a", "\xef\xbb\xbfx\0y", 6), put("c", "\xf0\x9f\x98\x80", 4)};
    dither_corpus *corpus = opened(paths, 5);
    expect_text(corpus, "hello \xc3\xa9x\0y\xf0\x9f\x98\x80", 15);
    dither_corpus_close(corpus);
}

static void folders_are_read_in_byte_order(void **state)
{
    (void)state;
    make_folder("t");
    make_folder("t/sub");
    make_folder("t/sub/deep");
    make_folder("t/.git");
    put("t/b.txt", "2", 1);
    put("t/B.txt", "1", 1);
    put("t/sub/deep/x", "5", 1);
    put("t/sub-1", "3", 1);
    put("t/sub/a", "4", 1);
    put("t/z", "7", 1);
    put("t/.hidden", "no", 2);
    put("t/.git/x", "no", 2);
    /* a circle of links, a link to a file, and what is no file at all */
    assert_int_equal(symlink(temporary_path(folder, "t"), temporary_path(folder, "t/sub/up")), 0);
    put("outside", "6", 1);
    assert_int_equal(symlink(temporary_path(folder, "outside"), temporary_path(folder, "t/y")), 0);
    assert_int_equal(mkfifo(temporary_path(folder, "t/pipe"), 0600), 0);
    const char *path = temporary_path(folder, "t");
    dither_corpus *corpus = opened(&path, 1);
    expect_text(corpus, "1234567", 7);
    dither_corpus_close(corpus);
    char slash[512];
    snprintf(slash, sizeof slash, "%s/", path);
    const char *with_slash = slash;
    corpus = opened(&with_slash, 1);
    expect_text(corpus, "1234567", 7);
    dither_corpus_close(corpus);
    /* a link that leads nowhere would silently be missing text */
    assert_int_equal(symlink("nowhere", temporary_path(folder, "t/broken")), 0);
    dither_error error;
    assert_int_equal(dither_corpus_open(&corpus, &path, 1, tokenizer, &error), DITHER_E_IO);
    assert_non_null(strstr(error.where, "t/broken"));
}

static void expect_refused(const char *path, dither_status status, const char *where, const char *words)
{
    dither_corpus *corpus;
    dither_error error = {0};
    assert_int_equal(dither_corpus_open(&corpus, &path, 1, tokenizer, &error), status);
    assert_null(corpus);
    if (strstr(error.where, where) == NULL || strstr(error.text, words) == NULL)
        fail_msg("%s: %s", error.where, error.text);
}

static void bad_input_is_refused_with_its_place(void **state)
{
    (void)state;
    expect_refused(temporary_path(folder, "none"), DITHER_E_IO, "none", "check the path");
    expect_refused(put("void", "", 0), DITHER_E_FORMAT, "void", "empty");
    expect_refused(put("latin", "one\ntwo\ncaf\xe9\n", 13), DITHER_E_FORMAT, "latin:3", "byte 11 (0xe9)");
    expect_refused(put("latin", "one\ntwo\ncaf\xe9\n", 13), DITHER_E_FORMAT, "latin:3", "iconv -f LATIN1");
    expect_refused(put("wide", "\xff\xfeh\0i\0", 6), DITHER_E_FORMAT, "wide:1", "iconv -f UTF-16");
    expect_refused(put("cut", "ab\xe2\x82", 4), DITHER_E_FORMAT, "cut:1", "byte 2");
    expect_refused(put("one", "\x80", 1), DITHER_E_FORMAT, "one:1", "byte 0");
    make_folder("bare");
    make_folder("bare/bare");
    expect_refused(temporary_path(folder, "bare"), DITHER_E_FORMAT, "bare", "no files");
    put("bare/bare/e", "", 0);
    expect_refused(temporary_path(folder, "bare"), DITHER_E_FORMAT, "bare/bare/e", "empty");
    const char *pipe = temporary_path(folder, "pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    expect_refused(pipe, DITHER_E_IO, "pipe", "regular file");
    expect_refused("/dev/null", DITHER_E_IO, "/dev/null", "regular file");
    dither_corpus *corpus;
    assert_int_equal(dither_corpus_open(&corpus, NULL, 0, tokenizer, NULL), DITHER_E_FORMAT);
}

static void large_files_are_read_alike(void **state)
{
    (void)state;
    enum { SIZE = 300001 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)(' ' + i * i % 90);
    const char *const paths[] = {put("large1", text, 200000), put("large2", text + 200000, SIZE - 200000)};
    dither_corpus *corpus = opened(paths, 2);
    uint32_t ids[1000];
    dither_corpus_read(corpus, 199500, 1000, ids);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(ids[i], text[199500 + i]);
    dither_corpus_close(corpus);
    free(text);
}

static uint64_t hash_of(const char *text, size_t size, size_t cut1, size_t cut2)
{
    const char *const paths[] = {put("h1", text, cut1), put("h2", text + cut1, cut2 - cut1),
                                 put("h3", text + cut2, size - cut2)};
    dither_corpus *corpus = opened(paths, 3);
    uint64_t hash = dither_corpus_hash(corpus);
    dither_corpus_close(corpus);
    return hash;
}

static void the_hash_is_that_of_the_stream(void **state)
{
    (void)state;
    char text[41] = "The quick brown fox jumps over the dogs.";
    const uint64_t whole = hash_of(text, 40, 0, 0);
    for (size_t cut1 = 0; cut1 <= 40; cut1++)
        for (size_t cut2 = cut1; cut2 <= 40; cut2 += 3)
            assert_true(hash_of(text, 40, cut1, cut2) == whole);
    for (size_t i = 0; i < 40; i++) { /* every bit that leaves ASCII ASCII */
        for (unsigned bit = 0; bit < 7; bit++) {
            text[i] ^= (char)(1 << bit);
            assert_true(hash_of(text, 40, 0, 0) != whole);
            text[i] ^= (char)(1 << bit);
        }
    }
    /* zeros at the end count */
    static const char zeros[24];
    for (size_t size = 1; size < 24; size++)
        assert_true(hash_of(zeros, size, 0, 0) != hash_of(zeros, size + 1, 0, 0));
    assert_true(hash_of("ab", 2, 0, 0) != hash_of("ba", 2, 0, 0));
    /* runs that are resumed compare this number with one of an earlier version: it may never change */
    assert_true(hash_of("dither\n", 7, 0, 0) == UINT64_C(0x578f8b2bc8d1842e));
}

static dither_tokenizer *golden(const char *name)
{
    dither_tokenizer *made;
    char path[512];
    snprintf(path, sizeof path, DITHER_TEST_DATA "/%s", name);
    assert_int_equal(dither_tokenizer_open(&made, path, NULL), DITHER_OK);
    return made;
}

/* Files are encoded each by itself, however large, and their bytes are those of their tokens. */
static void other_tokens_are_kept(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer_digits.gguf", "tokenizer_pieces.gguf"};
    enum { SIZE = 300000 };
    char *text = malloc(SIZE);
    uint32_t *want = malloc(2 * SIZE * sizeof *want), *got = malloc(2 * SIZE * sizeof *got);
    assert_true(text != NULL && want != NULL && got != NULL);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = "the waves came in slowly, 14 "[(i * i / 7 + i) % 29];
    const char *const paths[] = {put("k1", text, SIZE), put("k2", "two", 3), put("k3", " three ", 7)};
    for (size_t k = 0; k < 2; k++) {
        dither_tokenizer *other = golden(names[k]);
        dither_corpus *corpus;
        assert_int_equal(dither_corpus_open(&corpus, paths, 3, other, NULL), DITHER_OK);
        size_t count = dither_tokenizer_encode(other, text, SIZE, want, 2 * SIZE);
        const size_t first = count;
        count += dither_tokenizer_encode(other, "two", 3, want + count, 2 * SIZE - count);
        const size_t second = count;
        count += dither_tokenizer_encode(other, " three ", 7, want + count, 2 * SIZE - count);
        assert_int_equal(dither_corpus_tokens(corpus), count);
        assert_int_equal(dither_corpus_bytes(corpus), SIZE + 10);
        assert_int_equal(dither_corpus_vocab(corpus), dither_tokenizer_id_bound(other));
        dither_corpus_read(corpus, 0, count, got);
        assert_memory_equal(got, want, count * sizeof *got);
        got[3] = 12345;
        dither_corpus_read(corpus, first - 1, 3, got);
        assert_memory_equal(got, want + first - 1, 3 * sizeof *got);
        assert_int_equal(got[3], 12345);
        /* every part of the stream has its bytes, whatever was put in front of a file */
        assert_int_equal(dither_corpus_text_bytes(corpus, 0, count), SIZE + 10);
        assert_int_equal(dither_corpus_text_bytes(corpus, 0, first), SIZE);
        assert_int_equal(dither_corpus_text_bytes(corpus, first, second - first), 3);
        assert_int_equal(dither_corpus_text_bytes(corpus, second, count - second), 7);
        assert_int_equal(dither_corpus_text_bytes(corpus, first, 0), 0);
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i += 1000)
            sum += dither_corpus_text_bytes(corpus, i, count - i < 1000 ? count - i : 1000);
        assert_int_equal(sum, SIZE + 10);
        dither_corpus_close(corpus);
        dither_tokenizer_close(other);
    }
    free(text);
    free(want);
    free(got);
}

static uint64_t hash_of_tokens(const char *name, const char *text)
{
    dither_tokenizer *other = golden(name);
    const char *path = put("hashed", text, strlen(text));
    dither_corpus *corpus;
    assert_int_equal(dither_corpus_open(&corpus, &path, 1, other, NULL), DITHER_OK);
    const uint64_t hash = dither_corpus_hash(corpus);
    dither_corpus_close(corpus);
    dither_tokenizer_close(other);
    return hash;
}

/* What a run is resumed on must be what it was begun with: tokens, whatever text and tokenizer they came from. */
static void the_hash_is_of_the_tokens(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer_digits.gguf", "tokenizer_words.json", "tokenizer_pieces.gguf"};
    uint64_t hashes[3];
    for (size_t i = 0; i < 3; i++) {
        hashes[i] = hash_of_tokens(names[i], "dither\n");
        assert_true(hashes[i] == hash_of_tokens(names[i], "dither\n"));
        assert_true(hashes[i] != hash_of_tokens(names[i], "dithes\n"));
        assert_true(hashes[i] != hash_of_tokens(names[i], "dither\n\n"));
        for (size_t k = 0; k < i; k++)
            assert_true(hashes[i] != hashes[k]);
    }
    assert_true(hash_of_tokens("tokenizer_pieces.gguf", "a b") == hash_of_tokens("tokenizer_pieces.json", "a b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_one_stream),
        cmocka_unit_test(folders_are_read_in_byte_order),
        cmocka_unit_test(bad_input_is_refused_with_its_place),
        cmocka_unit_test(large_files_are_read_alike),
        cmocka_unit_test(the_hash_is_that_of_the_stream),
        cmocka_unit_test(other_tokens_are_kept),
        cmocka_unit_test(the_hash_is_of_the_tokens),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
