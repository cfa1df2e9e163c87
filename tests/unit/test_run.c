/* A run that is killed at any of its writes: what is in its folder then, and that it goes on to the same model. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dither/advice.h"
#include "dither/bench.h"
#include "dither/generate.h"
#include "dither/noise.h"
#include "dither/study.h"
#include "dither/tokenizer.h"
#include "dither/train.h"
#include "train/disk.h"
#include "training.h"

/* A file is there from its rename on: every one of the process passes here. */
static int renames, kill_at = -1;

int rename(const char *from, const char *to)
{
    if (renames++ == kill_at)
        _exit(77);
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static dither_train_options options_of(const char *out)
{
    dither_train_options options = training_options("layers=1,heads=2,dim=16,ffn=24,ctx=16", out);
    options.batch = 2;
    options.steps = 3;
    options.save_every = 2;
    options.resume = true;
    return options;
}

static int exists(const char *out, const char *name)
{
    char path[640];
    (void)snprintf(path, sizeof path, "%.500s/%s", out, name);
    return access(path, F_OK) == 0;
}

static unsigned char *model_of(const char *out, size_t *size)
{
    char path[640];
    (void)snprintf(path, sizeof path, "%.500s/model.safetensors", out);
    return temporary_read(path, size);
}

static void expect_loadable(const char *out)
{
    dither_model *model = NULL;
    dither_tokenizer *tokenizer = NULL;
    dither_error error = {.text = ""};
    if (dither_model_open(&model, out, NULL, 1, &error) || dither_tokenizer_open(&tokenizer, out, &error))
        fail_msg("%s: %s", error.where, error.text);
    dither_tokenizer_close(tokenizer);
    dither_model_close(model);
}

/* Begins a run in `out` in another process. @return whether it was killed at that rename */
static int killed(const dither_train_options *options, int at)
{
    int status;
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        renames = 0;
        kill_at = at;
        _exit(dither_train(options, NULL, NULL, NULL, NULL) == DITHER_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == 77;
}

/* Where there is a checkpoint, there is a model; without one, the same command begins anew. */
static void killed_at_any_write_it_goes_on(void **state)
{
    (void)state;
    char whole[512], other[512];
    size_t size, other_size;
    (void)snprintf(whole, sizeof whole, "%.256s/whole", temporary_folder);
    (void)snprintf(other, sizeof other, "%.256s/other", temporary_folder);
    dither_train_options options = options_of(whole);
    assert_int_equal(dither_train(&options, NULL, NULL, NULL, NULL), DITHER_OK);
    unsigned char *model = model_of(whole, &size);
    int at = 0, without = 0;
    options.out = other;
    for (; killed(&options, at); at++) {
        if (exists(other, "state/checkpoint.safetensors"))
            expect_loadable(other);
        else
            without++;
        dither_error error = {.text = ""};
        if (dither_train(&options, NULL, NULL, NULL, &error))
            fail_msg("killed at write %d: %s: %s", at, error.where, error.text);
        unsigned char *again = model_of(other, &other_size);
        assert_int_equal(size, other_size);
        assert_memory_equal(model, again, size);
        free(again);
        assert_false(exists(other, "state/begun"));
        expect_loadable(other);
        temporary_remove(other);
    }
    assert_int_equal(without, 6);     /* the mark, config.json, two files of the tokenizer, the weights, the state */
    assert_int_equal(at, 6 + 2 * 2); /* weights and state at steps 2 and 3 */
    free(model);
}

/* Begun anew with another shape, nothing of the first start stays. */
static void another_start_makes_its_own_files(void **state)
{
    (void)state;
    char whole[512], other[512];
    size_t size, other_size;
    (void)snprintf(whole, sizeof whole, "%.256s/whole2", temporary_folder);
    (void)snprintf(other, sizeof other, "%.256s/other2", temporary_folder);
    dither_train_options first = options_of(other), second = options_of(whole);
    first.new_model = "layers=2,heads=2,dim=32,ctx=32";
    second.resume = false;
    int at = 0;
    while (killed(&first, at) && !exists(other, "model.safetensors")) {
        temporary_remove(other);
        at++;
    }
    assert_true(exists(other, "config.json") && !exists(other, "state/checkpoint.safetensors"));
    assert_int_equal(dither_train(&second, NULL, NULL, NULL, NULL), DITHER_OK);
    second.out = other;
    assert_int_equal(dither_train(&second, NULL, NULL, NULL, NULL), DITHER_OK);
    expect_loadable(other);
    unsigned char *model = model_of(whole, &size), *again = model_of(other, &other_size);
    assert_int_equal(size, other_size);
    assert_memory_equal(model, again, size);
    free(again);
    free(model);
}

static volatile sig_atomic_t stop;

static void stop_at_the_start(void *context, const dither_event *event)
{
    (void)context;
    if (event->kind == DITHER_EVENT_START)
        stop = 1;
}

/* Stopped before its first step: its own files go, the event file too; a folder that was there stays. */
static void stopped_early_it_leaves_what_was_there(void **state)
{
    (void)state;
    char out[512], inner[600];
    (void)snprintf(out, sizeof out, "%.256s/early", temporary_folder);
    (void)snprintf(inner, sizeof inner, "%s/state", out);
    dither_train_options options = options_of(out);
    options.tensorboard = true;
    stop = 0;
    assert_int_equal(dither_train(&options, stop_at_the_start, NULL, &stop, NULL), DITHER_E_STOPPED);
    assert_int_not_equal(access(out, F_OK), 0);
    assert_int_equal(mkdir(out, 0777), 0);
    stop = 0;
    assert_int_equal(dither_train(&options, stop_at_the_start, NULL, &stop, NULL), DITHER_E_STOPPED);
    assert_int_not_equal(access(inner, F_OK), 0);
    assert_int_equal(mkdir(inner, 0777), 0);
    stop = 0;
    assert_int_equal(dither_train(&options, stop_at_the_start, NULL, &stop, NULL), DITHER_E_STOPPED);
    assert_int_equal(rmdir(inner), 0); /* there, and empty */
    assert_int_equal(rmdir(out), 0);
}

/* Calls that fail before they hold anything close nothing of the caller's. */
static void standard_input_stays_open(void **state)
{
    (void)state;
    struct stat before, after;
    if (fstat(STDIN_FILENO, &before)) {
        assert_int_equal(open("/dev/null", O_RDONLY), STDIN_FILENO);
        assert_int_equal(fstat(STDIN_FILENO, &before), 0);
    }
    dither_noise *noise;
    dither_noise_options noise_options;
    dither_noise_options_init(&noise_options);
    assert_int_equal(dither_noise_measure(&noise_options, &noise, NULL, NULL, NULL, NULL), DITHER_E_USAGE);
    assert_int_equal(fstat(STDIN_FILENO, &after), 0);
    noise_options.model = "/none";
    noise_options.data = training_texts;
    noise_options.data_count = 1;
    assert_int_not_equal(dither_noise_measure(&noise_options, &noise, NULL, NULL, NULL, NULL), DITHER_OK);
    assert_int_equal(fstat(STDIN_FILENO, &after), 0);
    dither_advice *advice;
    dither_advice_options advice_options;
    dither_advice_options_init(&advice_options);
    advice_options.hours = -1;
    assert_int_equal(dither_advice_make(&advice_options, &advice, NULL, NULL, NULL, NULL), DITHER_E_USAGE);
    assert_int_equal(fstat(STDIN_FILENO, &after), 0);
    dither_claims claims;
    dither_study_scaling_options scaling;
    dither_study_scaling_init(&scaling);
    assert_int_equal(dither_study_scaling(&scaling, NULL, NULL, NULL, &claims, NULL), DITHER_E_USAGE);
    assert_int_equal(fstat(STDIN_FILENO, &after), 0);
    dither_bench_step_result result;
    const dither_bench_step_request request = {
        .new_model = "layers=1,heads=2,dim=16,ctx=16,vocab=32", .scheme = "f32", .batch = 1, .seq = 8, .steps = 1,
        .threads = 1};
    assert_int_equal(dither_bench_step(&request, &result, NULL), DITHER_OK);
    assert_int_equal(fstat(STDIN_FILENO, &after), 0);
    assert_true(before.st_dev == after.st_dev && before.st_ino == after.st_ino);
}

/* The room on the disk of a folder nobody may look into is not known; that is no reason to look for ever. */
static void a_closed_working_folder_ends_the_search(void **state)
{
    (void)state;
    char closed[512];
    int status;
    (void)snprintf(closed, sizeof closed, "%.256s/closed", temporary_folder);
    assert_int_equal(mkdir(closed, 0777), 0);
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dither_run run;
        dither_run_init(&run);
        run.options.out = "out";
        if (chdir(closed) || chmod(".", 0) || (geteuid() == 0 && setuid(65534)))
            _exit(2);
        (void)alarm(20);
        _exit(dither_run_check_disk(&run, NULL) == DITHER_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_any_write_it_goes_on),
        cmocka_unit_test(another_start_makes_its_own_files),
        cmocka_unit_test(stopped_early_it_leaves_what_was_there),
        cmocka_unit_test(standard_input_stays_open),
        cmocka_unit_test(a_closed_working_folder_ends_the_search),
    };
    return cmocka_run_group_tests(tests, training_setup, temporary_teardown);
}
