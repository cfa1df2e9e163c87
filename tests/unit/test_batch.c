#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/batch.h"
#include "temporary.h"

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* One epoch's starts, sorted, are phase, phase + seq, ...: each window once, all of them inside the stream. */
static void check_epoch(const dither_sampler *sampler, uint64_t epoch)
{
    uint64_t *starts = malloc(sampler->windows * sizeof *starts);
    assert_non_null(starts);
    for (uint64_t i = 0; i < sampler->windows; i++)
        starts[i] = dither_sampler_start(sampler, epoch * sampler->windows + i);
    qsort(starts, sampler->windows, sizeof *starts, compare);
    assert_true(starts[0] >= sampler->first);
    for (uint64_t i = 1; i < sampler->windows; i++)
        assert_true(starts[i] == starts[i - 1] + sampler->seq);
    assert_true(starts[sampler->windows - 1] + sampler->seq + 1 <= sampler->first + sampler->tokens);
    free(starts);
}

static void every_epoch_is_a_permutation(void **state)
{
    (void)state;
    for (uint64_t windows = 1; windows <= 300; windows++) {
        for (size_t seq = 1; seq <= 5; seq += 2) {
            dither_sampler sampler;
            const uint64_t tokens = (windows == 1 ? 1 : windows + 1) * seq + 1;
            assert_int_equal(dither_sampler_init(&sampler, 17, tokens, seq, windows), DITHER_OK);
            assert_int_equal(sampler.windows, windows);
            for (uint64_t epoch = 0; epoch < 3; epoch++)
                check_epoch(&sampler, epoch);
            check_epoch(&sampler, UINT64_C(1) << 32);
        }
    }
    static const uint64_t large[] = {1023, 1024, 1025, 4096, 4097, 65535, 65537, 100003};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        dither_sampler sampler;
        assert_int_equal(dither_sampler_init(&sampler, 0, (large[i] + 1) * 8 + 3, 8, 1), DITHER_OK);
        assert_int_equal(sampler.windows, large[i]);
        check_epoch(&sampler, i);
    }
}

/* Where the windows cannot be counted out, that they are inside and different is what can be seen. */
static void huge_streams_stay_inside(void **state)
{
    (void)state;
    for (unsigned bits = 30; bits <= 60; bits += 5) {
        dither_sampler sampler;
        const uint64_t tokens = UINT64_C(1) << bits;
        assert_int_equal(dither_sampler_init(&sampler, 5, tokens + 12345, 7, 99), DITHER_OK);
        uint64_t starts[500];
        for (uint64_t i = 0; i < 500; i++) {
            starts[i] = dither_sampler_start(&sampler, i);
            assert_true(starts[i] >= 5 && starts[i] + 8 <= 5 + sampler.tokens);
            assert_true(starts[i] % 7 == starts[0] % 7);
        }
        qsort(starts, 500, sizeof *starts, compare);
        for (size_t i = 1; i < 500; i++)
            assert_true(starts[i] != starts[i - 1]);
    }
}

static void streams_shorter_than_a_window_are_refused(void **state)
{
    (void)state;
    dither_sampler sampler;
    for (uint64_t tokens = 0; tokens < 9; tokens++)
        assert_int_equal(dither_sampler_init(&sampler, 0, tokens, 8, 1), DITHER_E_SHAPE);
    assert_int_equal(dither_sampler_init(&sampler, 0, 9, 8, 1), DITHER_OK);
    assert_int_equal(sampler.windows, 1);
    assert_int_equal(dither_sampler_start(&sampler, 3), 0);
    assert_int_equal(dither_sampler_init(&sampler, 0, 9, 0, 1), DITHER_E_SHAPE);
    assert_int_equal(dither_sampler_init(&sampler, 0, UINT64_MAX, SIZE_MAX, 1), DITHER_E_SHAPE);
}

/* Every phase that leaves the windows inside comes up, the first and the last too. */
static void every_phase_is_drawn(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 4; extra++) {
        dither_sampler sampler;
        assert_int_equal(dither_sampler_init(&sampler, 100, 4 * 4 + 1 + extra, 4, 7), DITHER_OK);
        assert_int_equal(sampler.windows, 3);
        unsigned seen[8] = {0};
        for (uint64_t epoch = 0; epoch < 400; epoch++) {
            uint64_t least = UINT64_MAX;
            for (uint64_t i = 0; i < 3; i++) {
                uint64_t start = dither_sampler_start(&sampler, epoch * 3 + i);
                least = start < least ? start : least;
            }
            assert_in_range(least, 100, 104 + extra);
            seen[least - 100]++;
        }
        for (size_t phase = 0; phase <= 4 + extra; phase++)
            assert_in_range(seen[phase], 10, 200); /* of 400: the mean is 50 to 80 */
    }
}

/*
 * Sample i of an epoch shows window w equally often: 4,000 epochs of 6 windows, so that each of 36 counts has mean 667
 * and standard deviation 23.6; 7 of those to either side is a false alarm of 36 * 2.6e-12 < 1e-9. The seed is fixed.
 */
static void the_order_is_even(void **state)
{
    (void)state;
    enum { EPOCHS = 4000, WINDOWS = 6 };
    dither_sampler sampler;
    assert_int_equal(dither_sampler_init(&sampler, 0, (WINDOWS + 1) * 2 + 1, 2, 3), DITHER_OK);
    unsigned counts[WINDOWS][WINDOWS] = {{0}};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint64_t starts[WINDOWS], least = UINT64_MAX;
        for (uint64_t i = 0; i < WINDOWS; i++) {
            starts[i] = dither_sampler_start(&sampler, epoch * WINDOWS + i);
            least = starts[i] < least ? starts[i] : least;
        }
        for (size_t i = 0; i < WINDOWS; i++)
            counts[i][(starts[i] - least) / 2]++;
    }
    for (size_t i = 0; i < WINDOWS; i++)
        for (size_t w = 0; w < WINDOWS; w++)
            assert_in_range(counts[i][w], 667 - 165, 667 + 165);
}

static void seeds_and_epochs_differ(void **state)
{
    (void)state;
    dither_sampler a, b;
    assert_int_equal(dither_sampler_init(&a, 0, 10000, 8, 1), DITHER_OK);
    assert_int_equal(dither_sampler_init(&b, 0, 10000, 8, 2), DITHER_OK);
    unsigned same_seed = 0, same_epoch = 0, high_epoch = 0;
    const uint64_t far = a.windows << 32; /* epochs 2^32 apart share the low half of their number */
    for (uint64_t n = 0; n < 200; n++) {
        same_seed += dither_sampler_start(&a, n) == dither_sampler_start(&b, n);
        same_epoch += dither_sampler_start(&a, n) == dither_sampler_start(&a, n + a.windows);
        high_epoch += dither_sampler_start(&a, n) == dither_sampler_start(&a, n + far);
    }
    assert_in_range(same_seed, 0, 10);
    assert_in_range(same_epoch, 0, 10);
    assert_in_range(high_epoch, 0, 10);
}

static void batches_are_windows(void **state)
{
    (void)state;
    char folder[256], text[1000];
    temporary_create(folder);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(' ' + (i * 37 + i / 90) % 90);
    const char *path = temporary_path(folder, "a");
    temporary_write(path, text, sizeof text);
    dither_tokenizer *tokenizer;
    dither_corpus *corpus;
    assert_int_equal(dither_tokenizer_bytes(&tokenizer, NULL), DITHER_OK);
    assert_int_equal(dither_corpus_open(&corpus, &path, 1, tokenizer, NULL), DITHER_OK);
    enum { BATCH = 5, SEQ = 13 };
    dither_sampler sampler;
    assert_int_equal(dither_sampler_init(&sampler, 100, 700, SEQ, 4), DITHER_OK);
    uint32_t ids[BATCH * SEQ], targets[BATCH * SEQ], window[SEQ + 1];
    for (uint64_t n = 0; n < 200; n += 3) {
        dither_sampler_batch(&sampler, corpus, n, BATCH, ids, targets, window);
        for (size_t b = 0; b < BATCH; b++) {
            uint64_t start = dither_sampler_start(&sampler, n + b);
            assert_in_range(start, 100, 799 - SEQ);
            for (size_t i = 0; i < SEQ; i++) {
                assert_int_equal(ids[b * SEQ + i], text[start + i]);
                assert_int_equal(targets[b * SEQ + i], text[start + i + 1]);
            }
        }
    }
    dither_corpus_close(corpus);
    dither_tokenizer_close(tokenizer);
    temporary_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_is_a_permutation),
        cmocka_unit_test(huge_streams_stay_inside),
        cmocka_unit_test(streams_shorter_than_a_window_are_refused),
        cmocka_unit_test(every_phase_is_drawn),
        cmocka_unit_test(the_order_is_even),
        cmocka_unit_test(seeds_and_epochs_differ),
        cmocka_unit_test(batches_are_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
