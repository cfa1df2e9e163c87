#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "data/samples.h"
#include "temporary.h"

enum { RECORDS = 150, SEQ = 64 };

static dither_tokenizer *tokenizer;
static char paths[3][256];

/* Texts of many lengths, each with a number of its own in front: "017 xxx". */
static void write_texts(const char *path, int first, int count, int longest)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    unsigned x = (unsigned)first + 1;
    for (int i = 0; i < count; i++) {
        x = x * 1103515245u + 12345u;
        fprintf(file, "{\"text\":\"%03d ", first + i);
        for (unsigned k = 0; k < (x >> 16) % (unsigned)longest; k++)
            fputc('a' + (int)((x + k * k) % 26), file);
        fprintf(file, "\"}\n");
    }
    fclose(file);
}

static int setup(void **state)
{
    if (temporary_setup(state) || dither_tokenizer_bytes(&tokenizer, NULL) != DITHER_OK)
        return -1;
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.jsonl", i);
        snprintf(paths[i], sizeof paths[i], "%s", temporary_path(temporary_folder, name));
    }
    write_texts(paths[0], 0, RECORDS, 50);
    write_texts(paths[1], 200, 40, 20);
    write_texts(paths[2], 300, 7, 150);
    return 0;
}

static int teardown(void **state)
{
    dither_tokenizer_close(tokenizer);
    return temporary_teardown(state);
}

static dither_records *opened(const char *const *from, size_t count)
{
    dither_records *records;
    dither_error error;
    if (dither_records_open(&records, from, count, &(dither_records_options){0}, tokenizer, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return records;
}

static dither_packer_options options_of(size_t seq)
{
    return (dither_packer_options){.seq = seq, .shuffled = true, .seed = 3};
}

typedef struct row {
    uint32_t ids[SEQ], targets[SEQ], positions[SEQ], first[SEQ];
} row;

static row row_of(dither_packer *packing, uint64_t n)
{
    row r;
    dither_packer_row(packing, n, r.ids, r.targets, r.positions, r.first);
    return r;
}

/* The record whose tokens begin at place t, by the number in front; checks them all. @return places it takes */
static size_t check_document(const dither_records *records, const row *r, size_t t, unsigned *seen)
{
    const unsigned number = (r->ids[t] - '0') * 100 + (r->ids[t + 1] - '0') * 10 + (r->ids[t + 2] - '0');
    for (size_t i = 0; i < dither_records_count(records); i++) {
        const dither_record record = dither_records_at(records, i);
        const uint32_t *c = record.tokens;
        if (((c[0] & 255) - '0') * 100 + ((c[1] & 255) - '0') * 10 + ((c[2] & 255) - '0') != number)
            continue;
        const size_t length = record.count - 1 < SEQ ? record.count - 1 : SEQ;
        assert_true(t + length <= SEQ);
        for (size_t k = 0; k < length; k++) {
            assert_int_equal(r->ids[t + k], c[k] & DITHER_RECORD_ID);
            assert_int_equal(r->targets[t + k], c[k + 1] & DITHER_RECORD_ID);
            assert_int_equal(r->positions[t + k], k);
            assert_int_equal(r->first[t + k], t);
        }
        seen[i]++;
        return length;
    }
    fail_msg("no record has the number %u", number);
    return 1;
}

/* Walks a row document by document. @return places without a record */
static size_t check_row(const dither_records *records, const row *r, unsigned *seen)
{
    size_t t = 0;
    while (t < SEQ && r->targets[t] != UINT32_MAX)
        t += check_document(records, r, t, seen);
    const size_t padding = SEQ - t;
    for (; t < SEQ; t++) {
        assert_int_equal(r->targets[t], UINT32_MAX);
        assert_int_equal(r->first[t], t);
        assert_int_equal(r->positions[t], 0);
        assert_true(r->ids[t] < 256);
    }
    return padding;
}

static void an_epoch_sees_every_record_once(void **state)
{
    (void)state;
    const char *const from[] = {paths[0]};
    dither_records *records = opened(from, 1);
    dither_packer packing;
    const dither_packer_options options = options_of(SEQ);
    assert_int_equal(dither_packer_open(&packing, records, &options, NULL), DITHER_OK);
    uint64_t n = 0;
    row before = {.ids = {0}};
    for (int epoch = 0; epoch < 5; epoch++) {
        unsigned seen[RECORDS] = {0};
        size_t padding = 0;
        const row front = row_of(&packing, n);
        assert_int_equal(packing.epoch, epoch);
        assert_int_equal(packing.begin, n);
        assert_true(epoch == 0 || memcmp(&front, &before, sizeof front) != 0); /* in another order */
        before = front;
        for (const uint64_t end = n + packing.sequences; n < end; n++) {
            const row r = row_of(&packing, n);
            padding += check_row(records, &r, seen);
        }
        for (size_t i = 0; i < RECORDS; i++)
            assert_int_equal(seen[i], 1);
        /* Records of up to 53 places into 64: a sequence for each would leave more than half empty. */
        assert_true(padding < packing.sequences * SEQ / 5);
    }
    dither_packer_close(&packing);
    dither_records_close(records);
}

static void a_sample_is_a_function_of_its_number(void **state)
{
    (void)state;
    const char *const from[] = {paths[0], paths[1]};
    dither_records *records = opened(from, 2);
    dither_packer all, other;
    dither_packer_options options = options_of(SEQ);
    assert_int_equal(dither_packer_open(&all, records, &options, NULL), DITHER_OK);
    assert_int_equal(dither_packer_open(&other, records, &options, NULL), DITHER_OK);
    enum { SAMPLES = 400 };
    static row rows[SAMPLES];
    for (size_t n = 0; n < SAMPLES; n++)
        rows[n] = row_of(&all, n);
    assert_true(all.epoch > 3);
    for (size_t k = 0; k < SAMPLES; k++) { /* forwards and backwards, in leaps */
        const size_t n = k * 151 % SAMPLES;
        const row r = row_of(&other, n);
        assert_memory_equal(&r, &rows[n], sizeof r);
        uint64_t trained = 0;
        for (size_t t = 0; t < SEQ; t++)
            trained += r.targets[t] != UINT32_MAX;
        assert_int_equal(dither_packer_trained(&other, n, 1), trained);
    }
    uint64_t sum = 0;
    for (size_t n = 100; n < 300; n++)
        sum += dither_packer_trained(&other, n, 1);
    assert_int_equal(dither_packer_trained(&all, 100, 200), sum);
    dither_packer_close(&other);
    options.seed = 4;
    assert_int_equal(dither_packer_open(&other, records, &options, NULL), DITHER_OK);
    const row r = row_of(&other, 0);
    assert_memory_not_equal(&r, &rows[0], sizeof r);
    dither_packer_close(&other);
    dither_packer_close(&all);
    dither_records_close(records);
}

static void weights_say_how_often_a_file_is_seen(void **state)
{
    (void)state;
    static const struct {
        const char *weight;
        double value;
    } weights[] = {{"2", 2}, {"0.5", 0.5}, {"0.3", 0.3}, {"1.25", 1.25}, {"1", 1}};
    enum { EPOCHS = 20, SMALL = 40 };
    for (size_t w = 0; w < sizeof weights / sizeof weights[0]; w++) {
        char weighted[300];
        snprintf(weighted, sizeof weighted, "%s:%s", paths[1], weights[w].weight);
        const char *const from[] = {paths[0], weighted};
        dither_records *records = opened(from, 2);
        dither_packer packing;
        const dither_packer_options options = options_of(SEQ);
        assert_int_equal(dither_packer_open(&packing, records, &options, NULL), DITHER_OK);
        unsigned seen[RECORDS + SMALL] = {0};
        for (uint64_t n = 0;; n++) {
            const row r = row_of(&packing, n);
            if (packing.epoch == EPOCHS)
                break;
            check_row(records, &r, seen);
        }
        for (size_t i = 0; i < RECORDS; i++)
            assert_int_equal(seen[i], EPOCHS);
        for (size_t i = RECORDS; i < RECORDS + SMALL; i++)
            assert_true(fabs(seen[i] - EPOCHS * weights[w].value) < 1);
        dither_packer_close(&packing);
        dither_records_close(records);
    }
}

static void long_records_are_cut_or_skipped_and_counted(void **state)
{
    (void)state;
    const char *const from[] = {paths[2]};
    dither_records *records = opened(from, 1);
    size_t longer = 0;
    for (size_t i = 0; i < 7; i++)
        longer += dither_records_at(records, i).count > SEQ + 1;
    assert_true(longer > 0 && longer < 7);
    for (int what = 0; what < 2; what++) {
        dither_packer packing;
        dither_packer_options options = options_of(SEQ);
        options.longer = (dither_long)what;
        assert_int_equal(dither_packer_open(&packing, records, &options, NULL), DITHER_OK);
        assert_int_equal(packing.packed.cut, what == DITHER_LONG_CUT ? longer : 0);
        assert_int_equal(packing.packed.skipped, what == DITHER_LONG_SKIP ? longer : 0);
        unsigned seen[7] = {0};
        size_t padding = 0, trained = 0;
        for (size_t n = 0; n < packing.sequences; n++) {
            const row r = row_of(&packing, n);
            padding += check_row(records, &r, seen);
            for (size_t t = 0; t < SEQ; t++)
                trained += r.targets[t] != UINT32_MAX;
        }
        for (size_t i = 0; i < 7; i++)
            assert_int_equal(seen[i], what == DITHER_LONG_CUT || dither_records_at(records, i).count <= SEQ + 1);
        assert_int_equal(packing.packed.padding, padding);
        assert_int_equal(packing.packed.trained, trained);
        assert_int_equal(packing.packed.sequences, packing.sequences);
        dither_packer_close(&packing);
    }
    dither_records_close(records);
}

static void what_is_held_out_is_the_rest(void **state)
{
    (void)state;
    const char *const from[] = {paths[0], paths[1]};
    dither_records *records = opened(from, 2);
    unsigned seen[RECORDS + 40] = {0};
    for (int share = DITHER_SHARE_TRAIN; share <= DITHER_SHARE_HELD_OUT; share++) {
        dither_packer packing;
        dither_packer_options options = options_of(SEQ);
        options.share = (dither_packer_share)share;
        options.held_out = 0.1;
        options.shuffled = share == DITHER_SHARE_TRAIN;
        assert_int_equal(dither_packer_open(&packing, records, &options, NULL), DITHER_OK);
        assert_int_equal(packing.count, share == DITHER_SHARE_TRAIN ? 171 : 19);
        unsigned now[RECORDS + 40] = {0};
        for (size_t n = 0; n < packing.sequences; n++) {
            const row r = row_of(&packing, n);
            check_row(records, &r, now);
        }
        for (size_t i = 0; i < RECORDS + 40; i++) {
            const bool held = (i >= 135 && i < 150) || i >= 186;
            assert_int_equal(now[i], held == (share == DITHER_SHARE_HELD_OUT));
            seen[i] += now[i];
        }
        dither_packer_close(&packing);
    }
    for (size_t i = 0; i < RECORDS + 40; i++)
        assert_int_equal(seen[i], 1);
    dither_records_close(records);
}

static void only_what_is_marked_is_a_target(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "chat.jsonl");
    static const char lines[] = "{\"question\":\"qq\",\"answer\":\"AA\"}\n{\"question\":\"r\",\"answer\":\"BBB\"}\n"
                                "{\"messages\":[{\"role\":\"user\",\"content\":\"nobody answers\"}]}\n";
    temporary_write(path, lines, sizeof lines - 1);
    dither_records *records;
    const dither_records_options how = {.chat_format = "zephyr"};
    assert_int_equal(dither_records_open(&records, &path, 1, &how, tokenizer, NULL), DITHER_OK);
    dither_packer packing;
    dither_packer_options options = options_of(SEQ);
    options.shuffled = false;
    assert_int_equal(dither_packer_open(&packing, records, &options, NULL), DITHER_OK);
    assert_int_equal(packing.packed.untrained, 1);
    assert_int_equal(packing.packed.trained, 2 + 3 + 2 * 4);
    assert_int_equal(packing.sequences, 2);
    const row r = row_of(&packing, 0);
    char targets[SEQ + 1] = "";
    for (size_t t = 0, used = 0; t < SEQ; t++)
        if (r.targets[t] != UINT32_MAX)
            targets[used++] = (char)r.targets[t];
    assert_string_equal(targets, "AA</s>");
    dither_packer_close(&packing);

    /* Cut before its answer, a record is left out; where that is all, it is an error. */
    options.seq = 8;
    dither_error error;
    assert_int_equal(dither_packer_open(&packing, records, &options, &error), DITHER_E_SHAPE);
    assert_non_null(strstr(error.text, "larger --seq"));
    dither_packer_close(&packing);
    dither_records_close(records);
}

static void batches_are_rows(void **state)
{
    (void)state;
    const char *const from[] = {paths[0]};
    dither_records *records = opened(from, 1);
    dither_packer packing;
    const dither_packer_options options = options_of(SEQ);
    assert_int_equal(dither_packer_open(&packing, records, &options, NULL), DITHER_OK);
    const dither_samples samples = {.seq = SEQ, .packing = &packing};
    static uint32_t ids[3 * SEQ], targets[3 * SEQ], positions[3 * SEQ], first[3 * SEQ];
    const dither_batch_buffers buffers = {.ids = ids, .targets = targets, .positions = positions, .first = first};
    const dither_batch_view view = dither_samples_fill(&samples, 5, 3, &buffers);
    assert_true(view.batch == 3 && view.seq == SEQ && view.positions == positions && view.first == first);
    for (size_t b = 0; b < 3; b++) {
        const row r = row_of(&packing, 5 + b);
        assert_memory_equal(r.ids, ids + b * SEQ, sizeof r.ids);
        assert_memory_equal(r.targets, targets + b * SEQ, sizeof r.targets);
        assert_memory_equal(r.positions, positions + b * SEQ, sizeof r.positions);
        assert_memory_equal(r.first, first + b * SEQ, sizeof r.first);
    }
    assert_int_equal(dither_samples_trained(&samples, 5, 3), dither_packer_trained(&packing, 5, 3));
    dither_packer_close(&packing);
    dither_records_close(records);
}

/* As a run does it, step by step across the ends of epochs, and at once where it is resumed. */
static void seeking_is_linear_and_does_not_show(void **state)
{
    (void)state;
    enum { STEP = 5, STEPS = 60 };
    const char *const from[] = {paths[2]};
    dither_records *records = opened(from, 1);
    dither_packer packing, resumed;
    const dither_packer_options options = options_of(SEQ);
    assert_int_equal(dither_packer_open(&packing, records, &options, NULL), DITHER_OK);
    for (uint64_t step = 0; step < STEPS; step++) {
        const uint64_t trained = dither_packer_trained(&packing, step * STEP, STEP);
        uint64_t counted = 0;
        for (uint64_t n = step * STEP; n < (step + 1) * STEP; n++) {
            const row r = row_of(&packing, n);
            for (size_t t = 0; t < SEQ; t++)
                counted += r.targets[t] != UINT32_MAX;
        }
        assert_int_equal(trained, counted);
    }
    assert_true(packing.epoch > 30);
    assert_true(packing.placings <= 3 * (packing.epoch + 1) + STEPS);

    assert_int_equal(dither_packer_open(&resumed, records, &options, NULL), DITHER_OK);
    const row here = row_of(&packing, STEP * STEPS - 1), there = row_of(&resumed, STEP * STEPS - 1);
    assert_memory_equal(&here, &there, sizeof here);
    assert_int_equal(resumed.epoch, packing.epoch);
    assert_int_equal(resumed.placings, packing.epoch + 1);
    const row first = row_of(&resumed, 0);
    dither_packer_close(&resumed);
    assert_int_equal(dither_packer_open(&resumed, records, &options, NULL), DITHER_OK);
    const row fresh = row_of(&resumed, 0);
    assert_memory_equal(&first, &fresh, sizeof first);
    dither_packer_close(&resumed);
    dither_packer_close(&packing);
    dither_records_close(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_sees_every_record_once),
        cmocka_unit_test(a_sample_is_a_function_of_its_number),
        cmocka_unit_test(weights_say_how_often_a_file_is_seen),
        cmocka_unit_test(long_records_are_cut_or_skipped_and_counted),
        cmocka_unit_test(what_is_held_out_is_the_rest),
        cmocka_unit_test(only_what_is_marked_is_a_target),
        cmocka_unit_test(batches_are_rows),
        cmocka_unit_test(seeking_is_linear_and_does_not_show),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
