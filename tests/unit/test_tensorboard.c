/*
 * Event files read back by a decoder of their own: TFRecord frames (test_tfrecord.c says that CRCs are right), and in
 * them protocol buffers field by field, as TensorBoard's messages number them.
 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "file/tfrecord.h"
#include "temporary.h"
#include "train/tensorboard.h"

enum { FILE_MOST = 1 << 16, FIGURES_MOST = 64 };

typedef struct message {
    const unsigned char *at, *end;
} message;

/* A field's number, and its value: a number of 32 or 64 bits, a varint, or bytes. */
typedef struct field {
    unsigned number, type;
    uint64_t bits;
    message bytes;
} field;

static uint64_t varint(message *m)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        assert_true(m->at < m->end && shift < 64);
        const unsigned char byte = *m->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
}

static bool next_field(message *m, field *f)
{
    if (m->at == m->end)
        return false;
    const uint64_t key = varint(m);
    *f = (field){.number = (unsigned)(key >> 3), .type = key & 7};
    if (f->type == 0) {
        f->bits = varint(m);
    } else if (f->type == 1 || f->type == 5) {
        const size_t size = f->type == 1 ? 8 : 4;
        assert_true((size_t)(m->end - m->at) >= size);
        memcpy(&f->bits, m->at, size);
        m->at += size;
    } else {
        assert_int_equal(f->type, 2);
        const uint64_t size = varint(m);
        assert_true((size_t)(m->end - m->at) >= size);
        f->bytes = (message){m->at, m->at + size};
        m->at += size;
    }
    return true;
}

/* All figures of a file, and what else it says. */
typedef struct contents {
    struct {
        char tag[64];
        float value;
        int64_t step;
    } figure[FIGURES_MOST];
    size_t figures, events;
    char version[32];
    int64_t session_start;
    double first_time, last_time;
} contents;

static void read_value(message m, int64_t step, contents *c)
{
    field f;
    assert_true(c->figures < FIGURES_MOST);
    c->figure[c->figures].step = step;
    while (next_field(&m, &f)) {
        if (f.number == 1) {
            assert_true(f.type == 2 && (size_t)(f.bytes.end - f.bytes.at) < sizeof c->figure[0].tag);
            memcpy(c->figure[c->figures].tag, f.bytes.at, (size_t)(f.bytes.end - f.bytes.at));
        } else {
            assert_true(f.number == 2 && f.type == 5);
            const uint32_t bits = (uint32_t)f.bits;
            memcpy(&c->figure[c->figures].value, &bits, sizeof bits);
        }
    }
    c->figures++;
}

static void read_event(message m, contents *c)
{
    field f;
    int64_t step = 0;
    message summary = {NULL, NULL}, session = {NULL, NULL};
    while (next_field(&m, &f)) {
        if (f.number == 1) {
            assert_int_equal(f.type, 1);
            memcpy(&c->last_time, &f.bits, sizeof c->last_time);
            if (c->events == 0)
                c->first_time = c->last_time;
        } else if (f.number == 2) {
            assert_int_equal(f.type, 0);
            step = (int64_t)f.bits;
        } else if (f.number == 3) {
            assert_true(c->events == 0 && f.type == 2 && (size_t)(f.bytes.end - f.bytes.at) < sizeof c->version);
            memcpy(c->version, f.bytes.at, (size_t)(f.bytes.end - f.bytes.at));
        } else if (f.number == 5) {
            summary = f.bytes;
        } else {
            assert_int_equal(f.number, 7);
            session = f.bytes;
        }
    }
    while (next_field(&summary, &f)) {
        assert_true(f.number == 1 && f.type == 2);
        read_value(f.bytes, step, c);
    }
    if (session.at != NULL) {
        assert_true(next_field(&session, &f) && f.number == 1 && f.type == 0 && f.bits == 1);
        c->session_start = step;
    }
    c->events++;
}

static void read_file(const char *path, contents *c)
{
    static unsigned char bytes[FILE_MOST], again[FILE_MOST];
    *c = (contents){.session_start = -1};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    assert_true(size > 0 && size < sizeof bytes);
    (void)fclose(file);
    for (size_t at = 0; at < size;) {
        uint64_t length;
        assert_true(size - at >= DITHER_TFRECORD_HEAD);
        memcpy(&length, bytes + at, sizeof length);
        assert_true(length < size - at);
        memcpy(again + DITHER_TFRECORD_HEAD, bytes + at + DITHER_TFRECORD_HEAD, length);
        const size_t whole = dither_tfrecord_close(again, length);
        assert_true(whole <= size - at);
        assert_memory_equal(again, bytes + at, whole);
        const unsigned char *data = bytes + at + DITHER_TFRECORD_HEAD;
        read_event((message){data, data + length}, c);
        at += whole;
    }
}

static float figure_of(const contents *c, const char *tag, int64_t step)
{
    size_t found = 0;
    float value = NAN;
    for (size_t i = 0; i < c->figures; i++)
        if (!strcmp(c->figure[i].tag, tag) && c->figure[i].step == step) {
            value = c->figure[i].value;
            found++;
        }
    if (found != 1)
        fail_msg("%s at step %d: %zu times", tag, (int)step, found);
    return value;
}

static void figures_of_a_run(void **state)
{
    (void)state;
    dither_tensorboard board;
    dither_error error;
    assert_int_equal(dither_tensorboard_open(&board, temporary_folder, 0, &error), DITHER_OK);
    assert_non_null(strstr(board.path, "/events.out.tfevents."));
    const uint64_t late = UINT64_C(5000000000);
    const dither_event events[] = {
        {.kind = DITHER_EVENT_START},
        {.kind = DITHER_EVENT_STEP, .step = 1, .loss = 5.5, .lr = 1e-3, .grad_norm = 2.25, .tokens_per_s = 1234,
         .clip_rate = 0, .rss_bytes = 1u << 30},
        {.kind = DITHER_EVENT_STEP, .step = 2, .loss = NAN, .lr = 2e-3, .grad_norm = INFINITY, .tokens_per_s = 1235,
         .clip_rate = 0.125, .rss_bytes = 1u << 30},
        {.kind = DITHER_EVENT_EVAL, .step = 2, .val_loss = 5.25, .bits_per_byte = 7.5},
        {.kind = DITHER_EVENT_CHECKPOINT, .step = 2, .path = "x"},
        {.kind = DITHER_EVENT_NOTICE, .step = 2, .text = "x"},
        {.kind = DITHER_EVENT_END, .step = late, .val_loss = 4, .bits_per_byte = NAN},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        assert_int_equal(dither_tensorboard_write(&board, &events[i], &error), DITHER_OK);
    dither_tensorboard_close(&board);
    assert_int_equal(board.fd, -1);
    static contents c;
    read_file(board.path, &c);
    assert_string_equal(c.version, "brain.Event:2");
    assert_int_equal(c.session_start, -1);
    assert_int_equal(c.events, 1 + 4);
    assert_true(c.first_time > 1.5e9 && c.last_time >= c.first_time && c.last_time < c.first_time + 60);
    assert_true(figure_of(&c, "loss/train", 1) == 5.5f);
    assert_true(figure_of(&c, "optimizer/learning_rate", 1) == 1e-3f);
    assert_true(figure_of(&c, "optimizer/gradient_norm", 1) == 2.25f);
    assert_true(figure_of(&c, "machine/tokens_per_second", 1) == 1234.0f);
    assert_true(figure_of(&c, "machine/peak_memory_bytes", 1) == 0x1p30f);
    assert_true(figure_of(&c, "quantizers/clip_rate", 1) == 0.0f);
    assert_true(figure_of(&c, "quantizers/clip_rate", 2) == 0.125f);
    assert_true(figure_of(&c, "loss/held_out", 2) == 5.25f);
    assert_true(figure_of(&c, "loss/bits_per_byte", 2) == 7.5f);
    assert_true(figure_of(&c, "loss/held_out", (int64_t)late) == 4.0f);
    assert_int_equal(c.figures, 6 + 4 + 2 + 1); /* what is no number is left out */
}

/* The same second or another: a new file, whose name comes later, and which says where it goes on. */
static void a_file_a_process(void **state)
{
    (void)state;
    dither_tensorboard first, second;
    dither_error error;
    static contents c;
    assert_int_equal(dither_tensorboard_open(&first, temporary_folder, 41, &error), DITHER_OK);
    assert_int_equal(dither_tensorboard_open(&second, temporary_folder, 0, &error), DITHER_OK);
    assert_true(strcmp(first.path, second.path) < 0);
    dither_tensorboard_close(&first);
    dither_tensorboard_close(&second);
    read_file(first.path, &c);
    assert_int_equal(c.session_start, 42);
    assert_string_equal(c.version, "brain.Event:2");
    read_file(second.path, &c);
    assert_int_equal(c.session_start, -1);
}

static void no_folder(void **state)
{
    (void)state;
    dither_tensorboard board;
    dither_error error = {.text = ""};
    assert_int_equal(dither_tensorboard_open(&board, "/nowhere/at/all", 0, &error), DITHER_E_IO);
    assert_non_null(strstr(error.where, "/nowhere/at/all/events.out.tfevents."));
    assert_int_equal(board.fd, -1);
    static char deep[5000];
    memset(deep, 'x', sizeof deep - 1);
    assert_int_equal(dither_tensorboard_open(&board, deep, 0, &error), DITHER_E_IO);
}

static void full_disk(void **state)
{
    (void)state;
    dither_tensorboard board = {.fd = open("/dev/full", O_WRONLY), .path = "full"};
    if (board.fd < 0)
        skip();
    dither_error error = {.text = ""};
    const dither_event event = {.kind = DITHER_EVENT_STEP, .step = 1, .loss = 1};
    assert_int_equal(dither_tensorboard_write(&board, &event, &error), DITHER_E_IO);
    assert_string_equal(error.where, "full");
    dither_tensorboard_close(&board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_of_a_run),
        cmocka_unit_test(a_file_a_process),
        cmocka_unit_test(no_folder),
        cmocka_unit_test(full_disk),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
