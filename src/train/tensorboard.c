#include "train/tensorboard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tensorboard_event.pb-c.h>

#include "base/fail.h"
#include "file/mapping.h"
#include "file/tfrecord.h"

enum { VALUES_MOST = 8, EVENT_MOST = 1024, FILES_MOST = 1000 };

/* The figures of one event. */
typedef struct figures {
    Tensorboard__Summary__Value value[VALUES_MOST];
    size_t count;
} figures;

static void add(figures *f, char *tag, double value)
{
    if (!isfinite(value) || f->count == VALUES_MOST)
        return;
    Tensorboard__Summary__Value *v = &f->value[f->count++];
    *v = (Tensorboard__Summary__Value)TENSORBOARD__SUMMARY__VALUE__INIT;
    v->tag = tag;
    v->has_simple_value = 1;
    v->simple_value = (float)value;
}

/* protobuf-c takes texts that it only reads as char *; arrays are. */
static void collect(const dither_event *event, figures *f)
{
    static char loss[] = "loss/train", held_out[] = "loss/held_out", bits[] = "loss/bits_per_byte",
                rate[] = "optimizer/learning_rate", norm[] = "optimizer/gradient_norm",
                speed[] = "machine/tokens_per_second", memory[] = "machine/peak_memory_bytes",
                clips[] = "quantizers/clip_rate";
    if (event->kind == DITHER_EVENT_STEP) {
        add(f, loss, event->loss);
        add(f, rate, event->lr);
        add(f, norm, event->grad_norm);
        add(f, speed, event->tokens_per_s);
        add(f, memory, (double)event->rss_bytes);
        add(f, clips, event->clip_rate);
    } else if (event->kind == DITHER_EVENT_EVAL || event->kind == DITHER_EVENT_END) {
        add(f, held_out, event->val_loss);
        add(f, bits, event->bits_per_byte);
    }
}

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static dither_status write_event(const dither_tensorboard *board, Tensorboard__Event *event, dither_error *error)
{
    unsigned char record[DITHER_TFRECORD_HEAD + EVENT_MOST + DITHER_TFRECORD_TAIL];
    event->has_wall_time = 1;
    event->wall_time = now();
    assert(tensorboard__event__get_packed_size(event) <= EVENT_MOST); /* eight short tags at most */
    const size_t size = tensorboard__event__pack(event, record + DITHER_TFRECORD_HEAD);
    const size_t length = dither_tfrecord_close(record, size);
    for (size_t done = 0; done < length;) {
        const ssize_t n = write(board->fd, record + done, length - done);
        if (n < 0 && errno != EINTR)
            return dither_fail_errno(error, board->path, "write", errno);
        done += n > 0 ? (size_t)n : 0;
    }
    return DITHER_OK;
}

/* A name that nobody has: TensorBoard reads the files of a folder in the order of their names. */
static dither_status create(dither_tensorboard *board, const char *out, dither_error *error)
{
    const long long second = (long long)time(NULL);
    for (int i = 0; i < FILES_MOST; i++) {
        const int length =
            snprintf(board->path, sizeof board->path, "%s/events.out.tfevents.%010lld.%03d", out, second, i);
        if (length < 0 || (size_t)length >= sizeof board->path)
            return dither_fail(error, DITHER_E_IO, out, "the path is too long");
        board->fd = open(board->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if (board->fd >= 0)
            return DITHER_OK;
        if (errno != EEXIST)
            break;
    }
    return dither_fail_errno(error, board->path, "create", errno);
}

dither_status dither_tensorboard_open(dither_tensorboard *board, const char *out, uint64_t step, dither_error *error)
{
    static char version[] = "brain.Event:2";
    board->fd = -1;
    dither_status status = create(board, out, error);
    Tensorboard__Event first = TENSORBOARD__EVENT__INIT;
    first.file_version = version;
    if (!status)
        status = write_event(board, &first, error);
    if (status || step == 0)
        return status;
    Tensorboard__SessionLog log = TENSORBOARD__SESSION_LOG__INIT;
    log.has_status = 1;
    log.status = TENSORBOARD__SESSION_LOG__STATUS__START;
    Tensorboard__Event resumed = TENSORBOARD__EVENT__INIT;
    resumed.has_step = 1;
    resumed.step = (int64_t)step + 1;
    resumed.session_log = &log;
    return write_event(board, &resumed, error);
}

dither_status dither_tensorboard_write(dither_tensorboard *board, const dither_event *event, dither_error *error)
{
    figures f = {.count = 0};
    collect(event, &f);
    if (f.count == 0)
        return DITHER_OK;
    Tensorboard__Summary__Value *values[VALUES_MOST];
    for (size_t i = 0; i < f.count; i++)
        values[i] = &f.value[i];
    Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;
    summary.n_value = f.count;
    summary.value = values;
    Tensorboard__Event message = TENSORBOARD__EVENT__INIT;
    message.has_step = 1;
    message.step = (int64_t)event->step;
    message.summary = &summary;
    return write_event(board, &message, error);
}

void dither_tensorboard_discard(dither_tensorboard *board)
{
    if (board->fd >= 0)
        (void)unlink(board->path);
    dither_tensorboard_close(board);
}

void dither_tensorboard_close(dither_tensorboard *board)
{
    if (board->fd >= 0)
        (void)close(board->fd);
    board->fd = -1;
}
