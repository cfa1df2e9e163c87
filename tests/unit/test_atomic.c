#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "file/atomic.h"
#include "temporary.h"

static void expect_file(const char *path, const char *text)
{
    size_t size;
    unsigned char *bytes = temporary_read(path, &size);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
    free(bytes);
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void the_old_file_stays_until_commit(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "a"), *temporary = temporary_path(temporary_folder, "a.tmp");
    assert_int_equal(dither_atomic_file(path, "old", 3, NULL), DITHER_OK);
    dither_atomic file;
    assert_int_equal(dither_atomic_open(&file, path, NULL), DITHER_OK);
    assert_int_equal(dither_atomic_write(&file, "ne", 2, NULL), DITHER_OK);
    expect_file(path, "old");
    assert_int_equal(dither_atomic_write(&file, "w", 1, NULL), DITHER_OK);
    assert_int_equal(dither_atomic_commit(&file, NULL), DITHER_OK);
    expect_file(path, "new");
    assert_false(exists(temporary));
    dither_atomic_abandon(&file);
    expect_file(path, "new");
}

static void abandoning_removes_the_new_file(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "b"), *temporary = temporary_path(temporary_folder, "b.tmp");
    dither_atomic file;
    assert_int_equal(dither_atomic_open(&file, path, NULL), DITHER_OK);
    assert_true(exists(temporary));
    dither_atomic_abandon(&file);
    dither_atomic_abandon(&file);
    assert_false(exists(temporary));
    assert_false(exists(path));
}

/* The limit on a file's size stands for a full disk: the write that crosses it is short, the next one fails. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "c"), *temporary = temporary_path(temporary_folder, "c.tmp");
    assert_int_equal(dither_atomic_file(path, "old", 3, NULL), DITHER_OK);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    static const char bytes[4096];
    dither_error error = {0};
    dither_status status = dither_atomic_file(path, bytes, sizeof bytes, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, DITHER_E_IO);
    assert_string_equal(error.where, path);
    assert_non_null(strstr(error.text, strerror(EFBIG)));
    assert_false(exists(temporary));
    expect_file(path, "old");
}

static void what_a_killed_run_left_is_replaced(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "d"), *temporary = temporary_path(temporary_folder, "d.tmp");
    const char *elsewhere = temporary_path(temporary_folder, "elsewhere");
    temporary_write(temporary, "half a fi", 9);
    assert_int_equal(dither_atomic_file(path, "whole", 5, NULL), DITHER_OK);
    expect_file(path, "whole");
    temporary_write(elsewhere, "mine", 4);
    assert_int_equal(symlink(elsewhere, temporary), 0);
    assert_int_equal(dither_atomic_file(path, "again", 5, NULL), DITHER_OK);
    expect_file(path, "again");
    expect_file(elsewhere, "mine");
}

static void bad_paths_are_refused(void **state)
{
    (void)state;
    dither_error error;
    char *path = malloc(8192);
    assert_non_null(path);
    memset(path, 'x', 8191);
    path[8191] = '\0';
    assert_int_equal(dither_atomic_file(path, "x", 1, &error), DITHER_E_IO);
    free(path);
    assert_int_equal(dither_atomic_file("", "x", 1, &error), DITHER_E_IO);
    assert_int_equal(dither_atomic_file(temporary_path(temporary_folder, "none/x"), "x", 1, &error), DITHER_E_IO);
    assert_non_null(strstr(error.where, "none/x"));
    /* a folder stands where the file should go */
    const char *taken = temporary_path(temporary_folder, "taken");
    assert_int_equal(dither_folder_create(taken, NULL), DITHER_OK);
    assert_int_equal(dither_atomic_file(taken, "x", 1, &error), DITHER_E_IO);
    assert_false(exists(temporary_path(temporary_folder, "taken.tmp")));
    assert_true(exists(taken));
}

static void folders_are_created_with_their_parents(void **state)
{
    (void)state;
    const char *deep = temporary_path(temporary_folder, "p/q//r/");
    assert_int_equal(dither_folder_create(deep, NULL), DITHER_OK);
    assert_int_equal(dither_folder_create(deep, NULL), DITHER_OK);
    struct stat status;
    assert_int_equal(stat(temporary_path(temporary_folder, "p/q/r"), &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    temporary_write(temporary_path(temporary_folder, "p/file"), "x", 1);
    dither_error error;
    assert_int_equal(dither_folder_create(temporary_path(temporary_folder, "p/file/s"), &error), DITHER_E_IO);
    assert_non_null(strstr(error.where, "p/file"));
    assert_int_equal(dither_folder_create("", &error), DITHER_E_IO);
    assert_int_equal(dither_folder_create("/", &error), DITHER_OK);
}

/* The exit status of a process that tries to lock the folder: what dither_folder_lock returned. */
static int status_in_another_process(bool hold)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd;
        dither_status status = dither_folder_lock(temporary_folder, &fd, NULL);
        if (hold)
            kill(getpid(), SIGKILL);
        _exit((int)status);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    return hold ? WTERMSIG(result) : WEXITSTATUS(result);
}

static void a_second_process_is_refused(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(dither_folder_lock(temporary_folder, &fd, NULL), DITHER_OK);
    assert_int_equal(status_in_another_process(false), DITHER_E_BUSY);
    int again;
    dither_error error;
    assert_int_equal(dither_folder_lock(temporary_folder, &again, &error), DITHER_E_BUSY);
    assert_int_equal(again, -1);
    assert_string_equal(error.where, temporary_folder);
    close(fd);
    assert_int_equal(status_in_another_process(false), DITHER_OK);
    assert_int_equal(status_in_another_process(true), SIGKILL);
    assert_int_equal(dither_folder_lock(temporary_folder, &fd, NULL), DITHER_OK); /* also free after a killed process */
    close(fd);
    assert_int_equal(dither_folder_lock(temporary_path(temporary_folder, "none"), &fd, NULL), DITHER_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_file_stays_until_commit),
        cmocka_unit_test(abandoning_removes_the_new_file),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(what_a_killed_run_left_is_replaced),
        cmocka_unit_test(bad_paths_are_refused),
        cmocka_unit_test(folders_are_created_with_their_parents),
        cmocka_unit_test(a_second_process_is_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
