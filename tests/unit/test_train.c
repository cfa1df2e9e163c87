/* A whole run: what a step allocates, what a run's bytes depend on, how it stops. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dither/train.h"
#include "file/safetensors.h"
#include "training.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_MALLOC 0
#endif
#endif
#ifndef COUNTS_MALLOC
#define COUNTS_MALLOC 1
#endif

static _Atomic unsigned long allocations;

#if COUNTS_MALLOC
/* Every allocation of the process passes here, those of the libraries too. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(memory, size);
}
#endif

static dither_train_options small_options(const char *name, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%s", temporary_folder, name);
    dither_train_options options = training_options("layers=2,heads=4,kv_heads=2,dim=32,ffn=48,ctx=24", out);
    options.batch = 3;
    options.accumulate = 2;
    options.steps = 12;
    options.warmup = 3;
    options.eval_every = 5;
    options.save_every = 4;
    return options;
}

static unsigned char *read_whole(const char *out, const char *name, size_t *size)
{
    char path[640];
    (void)snprintf(path, sizeof path, "%s/%s", out, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    (void)fclose(file);
    return bytes;
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
    size_t size_a, size_b;
    unsigned char *bytes_a = read_whole(a, name, &size_a), *bytes_b = read_whole(b, name, &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(bytes_a, bytes_b, size_a);
    free(bytes_a);
    free(bytes_b);
}

static dither_safetensors *open_weights(const char *out)
{
    char path[640];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", out);
    dither_safetensors *file = NULL;
    assert_int_equal(dither_safetensors_open(&file, path, NULL), DITHER_OK);
    return file;
}

/* ---- a step allocates nothing ----------------------------------------------------------------------------- */

typedef struct counting {
    unsigned long at_first, at_last;
    uint64_t first, last;
} counting;

static void count_at_steps(void *context, const dither_event *event)
{
    counting *c = context;
    if (event->kind != DITHER_EVENT_STEP)
        return;
    if (event->step == c->first)
        c->at_first = atomic_load(&allocations);
    if (event->step == c->last)
        c->at_last = atomic_load(&allocations);
}

static void step_allocates_nothing(void **state)
{
    (void)state;
    if (!COUNTS_MALLOC) {
        print_message("skipped: under this sanitizer malloc is the sanitizer's\n");
        skip();
    }
    static const char *const schemes[] = {"f32", "paper-int8", "int8", "mxfp4"};
    for (int i = 0; i < 4; i++) {
        char out[512], name[32];
        (void)snprintf(name, sizeof name, "malloc_%s", schemes[i]);
        dither_train_options options = small_options(name, out, sizeof out);
        options.scheme = schemes[i];
        options.eval_every = options.save_every = 0;
        options.tensorboard = true;
        options.noise_every = 3; /* nor does a probe */
        options.threads = 2;
        dither_error error = {0};
        counting c = {.first = 2, .last = 12};
        assert_int_equal(dither_train(&options, count_at_steps, &c, NULL, &error), DITHER_OK);
        assert_true(c.at_first > 0); /* the count counts */
        assert_int_equal(c.at_last - c.at_first, 0);
    }
}

/* Nor does one on records, also where another epoch begins and is packed. */
static void step_on_records_allocates_nothing(void **state)
{
    (void)state;
    if (!COUNTS_MALLOC)
        skip();
    char out[512], path[512];
    (void)snprintf(path, sizeof path, "%s/records.jsonl", temporary_folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 20; i++)
        (void)fprintf(file, "{\"text\": \"record %d\"}\n", i);
    assert_int_equal(fclose(file), 0);
    const char *const paths[] = {path};
    dither_train_options options = small_options("malloc_records", out, sizeof out);
    options.data = paths;
    options.eval_every = options.save_every = 0;
    dither_error error = {0};
    counting c = {.first = 2, .last = 12};
    assert_int_equal(dither_train(&options, count_at_steps, &c, NULL, &error), DITHER_OK);
    assert_true(c.at_first > 0);
    assert_int_equal(c.at_last - c.at_first, 0);
}

/* ---- same run, same bytes --------------------------------------------------------------------------------- */

static void threads_do_not_show(void **state)
{
    (void)state;
    static const char *const schemes[] = {"f32", "paper-int8", "int8", "mxfp4", "nvfp4"};
    for (int i = 0; i < 5; i++) {
        char one[512], other[512], name[32];
        (void)snprintf(name, sizeof name, "threads1_%s", schemes[i]);
        dither_train_options options = small_options(name, one, sizeof one);
        options.scheme = schemes[i];
        dither_error error = {0};
        assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
        for (int threads = 2; threads <= 3; threads++) {
            (void)snprintf(name, sizeof name, "threads%d_%s", threads, schemes[i]);
            options = small_options(name, other, sizeof other);
            options.scheme = schemes[i];
            options.threads = threads;
            assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
            assert_same_file(one, other, "model.safetensors");
            assert_same_file(one, other, "state/checkpoint.safetensors");
        }
    }
}

static void resuming_does_not_show(void **state)
{
    (void)state;
    static const char *const schemes[] = {"f32", "paper-int8", "mxfp4"};
    for (int i = 0; i < 3; i++) {
        char whole[512], parts[512], name[32];
        (void)snprintf(name, sizeof name, "whole_%s", schemes[i]);
        dither_train_options options = small_options(name, whole, sizeof whole);
        options.scheme = schemes[i];
        dither_error error = {0};
        assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
        (void)snprintf(name, sizeof name, "parts_%s", schemes[i]);
        options = small_options(name, parts, sizeof parts);
        options.scheme = schemes[i];
        options.resume = true;
        for (uint64_t stop = 5; stop <= 15; stop += 5) {
            options.stop_at = stop;
            assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
        }
        assert_same_file(whole, parts, "model.safetensors");
        assert_same_file(whole, parts, "state/checkpoint.safetensors");
        assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK); /* finished: nothing to do */
    }
}

static void seeds_and_schemes_show(void **state)
{
    (void)state;
    char a[512], b[512];
    dither_train_options options = small_options("seed1", a, sizeof a);
    dither_error error = {0};
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
    options = small_options("seed2", b, sizeof b);
    options.seed = 2;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
    size_t size_a, size_b;
    unsigned char *x = read_whole(a, "model.safetensors", &size_a), *y = read_whole(b, "model.safetensors", &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_not_equal(x, y, size_a);
    free(x);
    free(y);
}

/* ---- stopping --------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stop_flag;

static void ask_to_stop(void *context, const dither_event *event)
{
    (void)context;
    if (event->kind == DITHER_EVENT_STEP && event->step == 7)
        stop_flag = 1;
}

static void stop_flag_saves(void **state)
{
    (void)state;
    char stopped[512], whole[512];
    dither_train_options options = small_options("stopped", stopped, sizeof stopped);
    dither_error error = {0};
    stop_flag = 0;
    assert_int_equal(dither_train(&options, ask_to_stop, NULL, &stop_flag, &error), DITHER_E_STOPPED);
    assert_non_null(strstr(error.text, "step 7"));
    options.resume = true;
    stop_flag = 0;
    assert_int_equal(dither_train(&options, NULL, NULL, &stop_flag, &error), DITHER_OK);
    options = small_options("unstopped", whole, sizeof whole);
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
    assert_same_file(stopped, whole, "model.safetensors");
}

static void nan_stops_and_keeps_the_checkpoint(void **state)
{
    (void)state;
    char out[512];
    dither_train_options options = small_options("nan", out, sizeof out);
    options.scheme = "f32";
    options.optimizer = DITHER_OPTIMIZER_SGD;
    options.clip = 0;
    options.lr = options.min_lr = 1e5; /* diverges within a few steps */
    options.warmup = 0;
    options.save_every = 1;
    dither_error error = {0};
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_E_NUMERIC);
    assert_non_null(strstr(error.text, "step"));
    assert_non_null(strstr(error.text, "checkpoint"));
    dither_safetensors *file = open_weights(out);
    for (size_t i = 0; i < dither_safetensors_count(file); i++) {
        const dither_safetensor *tensor = dither_safetensors_at(file, i);
        for (uint64_t k = 0; k < tensor->bytes / sizeof(float); k++) {
            float value;
            dither_safetensor_f32(tensor, k, 1, &value);
            assert_true(isfinite(value)); /* what is kept is good */
        }
    }
    dither_safetensors_close(file);
}

static void refused_runs(void **state)
{
    (void)state;
    char out[512];
    dither_train_options options = small_options("refused", out, sizeof out);
    dither_error error = {0};
    options.stop_at = 2;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_E_USAGE); /* holds a run, no --resume */
    options.resume = true;
    options.lr = 2e-3;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_E_USAGE);
    assert_non_null(strstr(error.where, "--lr"));
    options = small_options("refused", out, sizeof out);
    options.resume = true;
    options.memory = 1 << 20;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_E_MEMORY);
}

/* ---- laws of the whole gradient --------------------------------------------------------------------------- */

/* One step's parameters with a batch of 4, and with two micro-batches of 2: equal but for the order of f32 sums. */
static void split_batch_is_whole_batch(void **state)
{
    (void)state;
    char whole[512], split[512];
    dither_train_options options = small_options("law_whole", whole, sizeof whole);
    options.scheme = "f32";
    options.steps = 1;
    options.warmup = 0;
    options.batch = 4;
    options.accumulate = 1;
    options.optimizer = DITHER_OPTIMIZER_SGD; /* linear in the gradient */
    options.momentum = 0;
    options.clip = 0;
    options.lr = options.min_lr = 1;
    dither_error error = {0};
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
    (void)snprintf(split, sizeof split, "%s/law_split", temporary_folder);
    options.out = split;
    options.batch = 2;
    options.accumulate = 2;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, &error), DITHER_OK);
    size_t size_a, size_b;
    unsigned char *x = read_whole(whole, "model.safetensors", &size_a),
                  *y = read_whole(split, "model.safetensors", &size_b);
    assert_int_equal(size_a, size_b);
    uint64_t header;
    memcpy(&header, x, sizeof header);
    for (size_t at = 8 + (size_t)header; at + 4 <= size_a; at += 4) {
        float u, v;
        memcpy(&u, x + at, 4);
        memcpy(&v, y + at, 4);
        /* lr is 1: the difference of weights is that of gradients, sums of 96 terms below 1 each: 96 * 2^-24. */
        assert_true(u - v < 1e-5f && v - u < 1e-5f);
    }
    free(x);
    free(y);
}

/* ---- what a step does to which parameter ------------------------------------------------------------------ */

static dither_train_options one_sgd_step(const char *name, char *out, size_t size)
{
    dither_train_options options = small_options(name, out, size);
    options.scheme = "f32";
    options.steps = 1;
    options.warmup = 0;
    options.optimizer = DITHER_OPTIMIZER_SGD;
    options.momentum = 0;
    options.clip = 0;
    options.weight_decay = 0;
    options.lr = options.min_lr = 1;
    return options;
}

static void norms_do_not_decay(void **state)
{
    (void)state;
    char plain[512], decayed[512];
    dither_train_options options = one_sgd_step("decay_none", plain, sizeof plain);
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, NULL), DITHER_OK);
    options = one_sgd_step("decay_half", decayed, sizeof decayed);
    options.weight_decay = 0.5;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, NULL), DITHER_OK);
    dither_safetensors *a = open_weights(plain), *b = open_weights(decayed);
    for (size_t i = 0; i < dither_safetensors_count(a); i++) {
        const dither_safetensor *x = dither_safetensors_at(a, i), *y = dither_safetensors_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(memcmp(x->data, y->data, x->bytes) == 0, strstr(x->name, "norm") != NULL);
    }
    dither_safetensors_close(a);
    dither_safetensors_close(b);
}

static void keep_norm(void *context, const dither_event *event)
{
    if (event->kind == DITHER_EVENT_STEP)
        *(double *)context = event->grad_norm;
}

/* lr is 1: clipped at c, the step from the initial weights has norm c. */
static void clipping_bounds_the_step(void **state)
{
    (void)state;
    char still[512], moved[512];
    dither_train_options options = one_sgd_step("clip_still", still, sizeof still);
    options.lr = options.min_lr = 1e-30; /* the initial weights, to the bit */
    double norm = 0;
    assert_int_equal(dither_train(&options, keep_norm, &norm, NULL, NULL), DITHER_OK);
    options = one_sgd_step("clip_moved", moved, sizeof moved);
    options.clip = norm / 8;
    assert_int_equal(dither_train(&options, keep_norm, &norm, NULL, NULL), DITHER_OK);
    dither_safetensors *a = open_weights(still), *b = open_weights(moved);
    double square = 0;
    for (size_t i = 0; i < dither_safetensors_count(a); i++) {
        const dither_safetensor *x = dither_safetensors_at(a, i), *y = dither_safetensors_find(b, x->name);
        for (uint64_t k = 0; k < x->bytes / sizeof(float); k++) {
            float u, v;
            dither_safetensor_f32(x, k, 1, &u);
            dither_safetensor_f32(y, k, 1, &v);
            square += ((double)u - (double)v) * ((double)u - (double)v);
        }
    }
    /* Each difference of weights near 1 is rounded by 2^-24: far below a thousandth of the norm. */
    assert_true(fabs(sqrt(square) - norm / 8) < 1e-3 * norm);
    dither_safetensors_close(a);
    dither_safetensors_close(b);
}

/* ---- resuming ---------------------------------------------------------------------------------------------- */

static size_t count_steps(const char *out, uint64_t step)
{
    size_t size, count = 0;
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "{\"event\": \"step\", \"step\": %llu,", (unsigned long long)step);
    unsigned char *text = read_whole(out, "log.jsonl", &size);
    for (size_t i = 0; i + strlen(wanted) <= size; i++)
        count += memcmp(text + i, wanted, strlen(wanted)) == 0;
    free(text);
    return count;
}

static void abandon(void *context, const dither_event *event)
{
    (void)context;
    if (event->kind == DITHER_EVENT_STEP && event->step == 7)
        _exit(0); /* as a kill does: nothing is saved after step 4 */
}

static void log_has_each_step_once(void **state)
{
    (void)state;
    char out[512];
    dither_train_options options = small_options("log", out, sizeof out);
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(dither_train(&options, abandon, NULL, NULL, NULL) == DITHER_OK ? 1 : 2);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    options.resume = true;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, NULL), DITHER_OK);
    for (uint64_t step = 1; step <= options.steps; step++)
        assert_int_equal(count_steps(out, step), 1);
}

static void remove_file(const char *out, const char *name)
{
    char path[640];
    (void)snprintf(path, sizeof path, "%s/%s", out, name);
    assert_int_equal(unlink(path), 0);
}

/* A run that began from a model needs it no more, and gives back what was deleted from its own folder. */
static void resuming_needs_the_state_alone(void **state)
{
    (void)state;
    char base[512], tuned[512], whole[512];
    dither_train_options options = small_options("base", base, sizeof base);
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, NULL), DITHER_OK);
    options = small_options("tuned_whole", whole, sizeof whole);
    options.new_model = NULL;
    options.model = base;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, NULL), DITHER_OK);
    options.out = tuned;
    (void)snprintf(tuned, sizeof tuned, "%s/tuned", temporary_folder);
    options.stop_at = 5;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, NULL), DITHER_OK);
    remove_file(base, "model.safetensors");
    remove_file(base, "config.json");
    remove_file(tuned, "config.json");
    remove_file(tuned, "tokenizer.json");
    remove_file(tuned, "model.safetensors");
    options.stop_at = 0;
    options.resume = true;
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, NULL), DITHER_OK);
    assert_same_file(whole, tuned, "model.safetensors");
    assert_same_file(whole, tuned, "tokenizer.json");
    assert_same_file(whole, tuned, "config.json");
}

static void rates(void **state)
{
    (void)state;
    dither_train_options o;
    dither_train_options_init(&o);
    o.steps = 110;
    o.warmup = 10;
    o.lr = 1;
    o.min_lr = 0.1;
    assert_true(dither_train_lr(&o, 5) == 0.5);
    assert_true(dither_train_lr(&o, 10) == 1);
    const double middle = dither_train_lr(&o, 60), last = dither_train_lr(&o, 110);
    assert_true(middle > 0.5499 && middle < 0.5501 && last > 0.0999 && last < 0.1001);
    o.schedule = DITHER_SCHEDULE_LINEAR;
    assert_true(dither_train_lr(&o, 60) > 0.5499 && dither_train_lr(&o, 60) < 0.5501);
    o.schedule = DITHER_SCHEDULE_CONSTANT;
    assert_true(dither_train_lr(&o, 110) == 1);
    o.schedule = DITHER_SCHEDULE_WSD;
    assert_true(dither_train_lr(&o, 89) == 1 && dither_train_lr(&o, 110) < 0.1001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step_allocates_nothing), cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(step_on_records_allocates_nothing),
        cmocka_unit_test(resuming_does_not_show), cmocka_unit_test(seeds_and_schemes_show),
        cmocka_unit_test(stop_flag_saves),        cmocka_unit_test(nan_stops_and_keeps_the_checkpoint),
        cmocka_unit_test(refused_runs),           cmocka_unit_test(split_batch_is_whole_batch),
        cmocka_unit_test(norms_do_not_decay),     cmocka_unit_test(clipping_bounds_the_step),
        cmocka_unit_test(log_has_each_step_once), cmocka_unit_test(resuming_needs_the_state_alone),
        cmocka_unit_test(rates),
    };
    return cmocka_run_group_tests(tests, training_setup, temporary_teardown);
}
