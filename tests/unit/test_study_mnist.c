/* The repeated-batch study as a whole, on tiny pictures: files, threads, resuming, what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "dither/study.h"
#include "temporary.h"

enum { PICTURES = 20, SIDE = 5, SAMPLES = 16 };

static void write_data(const char *folder, uint32_t pictures, uint32_t labels, uint8_t classes)
{
    uint8_t images[16 + PICTURES * SIDE * SIDE] = {0, 0, 8, 3, 0, 0,    0, (uint8_t)pictures,
                                                   0, 0, 0, SIDE, 0, 0, 0, SIDE};
    uint8_t marks[8 + PICTURES] = {0, 0, 8, 1, 0, 0, 0, (uint8_t)labels};
    const dither_draw draw = {.seed = 9};
    for (size_t i = 0; i < pictures * SIDE * SIDE; i++) {
        const uint32_t value = dither_draw_u32(&draw, 0, i);
        images[16 + i] = value % 2 ? 0 : (uint8_t)(value >> 8);
    }
    for (size_t i = 0; i < labels; i++)
        marks[8 + i] = (uint8_t)(dither_draw_u32(&draw, 1, i) % classes);
    (void)mkdir(folder, 0777);
    temporary_write(temporary_path(folder, "train-images-idx3-ubyte"), images, 16 + pictures * SIDE * SIDE);
    temporary_write(temporary_path(folder, "train-labels-idx1-ubyte"), marks, 8 + labels);
}

static dither_study_mnist_options tiny(const char *data, const char *out)
{
    static const char *const nets[] = {"25-9-3", "25-6-5-3"};
    static const uint64_t batches[] = {16, 64};
    dither_study_mnist_options o;
    dither_study_mnist_init(&o);
    o.data = data;
    o.out = out;
    o.nets = nets;
    o.net_count = 2;
    o.batches = batches;
    o.batch_count = 2;
    o.samples = SAMPLES;
    o.steps = 12;
    o.seeds = 2;
    o.threads = 1;
    return o;
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
    size_t a_size, b_size;
    unsigned char *const a_bytes = temporary_read(temporary_path(a, name), &a_size);
    unsigned char *const b_bytes = temporary_read(temporary_path(b, name), &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a_bytes, b_bytes, a_size);
    free(a_bytes);
    free(b_bytes);
}

typedef struct watch {
    size_t events, done, kept;
    double fraction;
    sig_atomic_t stop;
    size_t stop_after; /* cells */
} watch;

static void see(void *context, const dither_study_event *event)
{
    watch *const w = context;
    assert_true(event->fraction >= 0 && event->fraction <= 1 + 1e-9 && event->done >= event->kept);
    w->events++;
    w->done = event->done;
    w->kept = event->kept;
    w->fraction = event->fraction;
    if (w->stop_after && event->done >= w->stop_after)
        w->stop = 1;
}

static void threads_and_stops_do_not_show(void **state)
{
    (void)state;
    char data[256], out[4][256];
    dither_error error;
    dither_claims claims;
    snprintf(data, sizeof data, "%s", temporary_path(temporary_folder, "data"));
    write_data(data, PICTURES, PICTURES, 3);
    for (int i = 0; i < 4; i++) {
        snprintf(out[i], sizeof out[i], "%.200s/out%d", temporary_folder, i);
        dither_study_mnist_options o = tiny(data, out[i]);
        watch w = {.stop_after = i == 3 ? 5 : 0};
        o.threads = i < 3 ? i + 1 : 2;
        if (i == 3) {
            assert_int_equal(dither_study_mnist(&o, see, &w, &w.stop, &claims, &error), DITHER_E_STOPPED);
            assert_true(access(temporary_path(out[i], "results.json"), F_OK) != 0);
            w = (watch){.events = 0};
        }
        assert_int_equal(dither_study_mnist(&o, see, &w, &w.stop, &claims, &error), DITHER_OK);
        assert_int_equal(w.done, 2 * 2 * (4 * 2 + 1));
        assert_true(fabs(w.fraction - 1) < 1e-9);
        assert_true(i < 3 ? w.kept == 0 : w.kept >= 5);
        assert_int_equal(claims.count, 10);
        if (i > 0) {
            assert_same_file(out[0], out[i], "results.csv");
            assert_same_file(out[0], out[i], "results.json");
        }
    }
    /* All of it is kept: nothing runs, and more seeds run beside what is there. */
    dither_study_mnist_options o = tiny(data, out[0]);
    watch w = {.events = 0};
    o.seeds = 3;
    assert_int_equal(dither_study_mnist(&o, see, &w, NULL, &claims, &error), DITHER_OK);
    assert_int_equal(w.kept, 36);
    assert_int_equal(w.done, 54);
}

/* Lines of results.csv: the table of the protocol, complete, and norms that are numbers. */
static void the_table_is_complete(void **state)
{
    (void)state;
    size_t size, lines = 0;
    unsigned char *const bytes = temporary_read(temporary_path(temporary_folder, "out1/results.csv"),
                                                &size);
    bytes[size] = '\0';
    char *line = strtok((char *)bytes, "\n");
    assert_string_equal(line, "net,layer,step_log2,batch,seed,grad_norm");
    while ((line = strtok(NULL, "\n")) != NULL) {
        char net[16];
        unsigned layer, batch, seed;
        int step;
        double norm;
        assert_int_equal(sscanf(line, "%15[^,],%u,%d,%u,%u,%lf", net, &layer, &step, &batch, &seed, &norm), 6);
        assert_true(layer >= 1 && layer <= 3 && step <= -1 && step >= -4 && (batch == 16 || batch == 64) && seed <= 2);
        assert_true(norm > 0 && norm < 100);
        lines++;
    }
    assert_int_equal(lines, (2 + 3) * 4 * 2 * 2);
    free(bytes);
}

static void assert_refused(dither_study_mnist_options *o, dither_status status, const char *words)
{
    dither_error error;
    dither_claims claims;
    assert_int_equal(dither_study_mnist(o, NULL, NULL, NULL, &claims, &error), status);
    if (!strstr(error.text, words))
        fail_msg("'%s' does not say '%s'", error.text, words);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    char data[256], other[256], out[256];
    snprintf(data, sizeof data, "%s", temporary_path(temporary_folder, "data"));
    snprintf(other, sizeof other, "%s", temporary_path(temporary_folder, "other"));
    snprintf(out, sizeof out, "%s", temporary_path(temporary_folder, "never"));
    static const char *const wide[] = {"784-100-10"}, *const few[] = {"25-9-2"}, *const twice[] = {"25-3", "25-03"};
    static const char *const words[] = {"25-x-3"};
    static const uint64_t odd[] = {24}, large[] = {16 * 256};

    dither_study_mnist_options o = tiny(data, out);
    o.nets = wide, o.net_count = 1;
    assert_refused(&o, DITHER_E_USAGE, "so 25 is right");
    o.nets = few;
    assert_refused(&o, DITHER_E_USAGE, "a net of 2 classes, 0 to 1; the label of picture");
    o.nets = twice, o.net_count = 2;
    assert_refused(&o, DITHER_E_USAGE, "25-3 is given twice");
    o.nets = words, o.net_count = 1;
    assert_refused(&o, DITHER_E_USAGE, "'25-x-3' is no net");
    o = tiny(data, out);
    o.batches = odd, o.batch_count = 1;
    assert_refused(&o, DITHER_E_USAGE, "24 is not 1 to 255 times the 16 samples");
    o.batches = large;
    assert_refused(&o, DITHER_E_USAGE, "4096 is not 1 to 255 times");
    o = tiny(data, out);
    o.samples = 32, o.batches = (const uint64_t[]){32}, o.batch_count = 1;
    assert_refused(&o, DITHER_E_FORMAT, "20 pictures in train-images-idx3-ubyte; the study takes 32");
    o = tiny(other, out);
    write_data(other, 18, 17, 3);
    assert_refused(&o, DITHER_E_FORMAT, "18 pictures in train-images-idx3-ubyte, but 17 labels");
    assert_int_equal(unlink(temporary_path(other, "train-labels-idx1-ubyte")), 0);
    assert_refused(&o, DITHER_E_IO, "neither train-labels-idx1-ubyte nor train-labels-idx1-ubyte.gz is there");
    assert_int_not_equal(access(out, F_OK), 0); /* nothing half-written */

    /* Runs of other options or data are not mixed. */
    write_data(other, 20, 20, 2);
    o = tiny(other, temporary_path(temporary_folder, "out1"));
    assert_refused(&o, DITHER_E_FORMAT, "kept by a study of other options or data");
    o = tiny(data, temporary_path(temporary_folder, "out1"));
    o.steps = 13;
    assert_refused(&o, DITHER_E_FORMAT, "kept by a study of other options or data");
}

static void a_damaged_cell_is_refused(void **state)
{
    (void)state;
    char data[256], out[256], cell[512];
    size_t size;
    snprintf(data, sizeof data, "%s", temporary_path(temporary_folder, "data"));
    snprintf(out, sizeof out, "%s", temporary_path(temporary_folder, "out2"));
    snprintf(cell, sizeof cell, "%s/cells/25-9-3_step-2_batch64_seed1.json", out);
    unsigned char *const bytes = temporary_read(cell, &size);
    dither_study_mnist_options o = tiny(data, out);
    temporary_write(cell, bytes, size / 2);
    assert_refused(&o, DITHER_E_FORMAT, "");
    temporary_write(cell, bytes, 0);
    assert_refused(&o, DITHER_E_FORMAT, "");
    unsigned char *const list = (unsigned char *)strchr((char *)bytes, '[');
    assert_non_null(list);
    list[1] = '"', list[2] = '"';
    temporary_write(cell, bytes, size);
    assert_refused(&o, DITHER_E_FORMAT, "");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_stops_do_not_show),
        cmocka_unit_test(the_table_is_complete),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(a_damaged_cell_is_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
