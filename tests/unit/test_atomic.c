#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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

/* How many names in the folder begin so. */
static size_t count_names(const char *begin)
{
    DIR *list = opendir(temporary_folder);
    assert_non_null(list);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        count += strncmp(entry->d_name, begin, strlen(begin)) == 0;
    closedir(list);
    return count;
}

static void the_old_file_stays_until_commit(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "a");
    assert_int_equal(dither_atomic_file(path, "old", 3, NULL), DITHER_OK);
    dither_atomic file;
    assert_int_equal(dither_atomic_open(&file, path, NULL), DITHER_OK);
    assert_int_equal(dither_atomic_write(&file, "ne", 2, NULL), DITHER_OK);
    expect_file(path, "old");
    assert_int_equal(dither_atomic_write(&file, "w", 1, NULL), DITHER_OK);
    assert_int_equal(dither_atomic_commit(&file, NULL), DITHER_OK);
    expect_file(path, "new");
    assert_false(exists(file.temporary));
    dither_atomic_abandon(&file);
    expect_file(path, "new");
}

static void abandoning_removes_the_new_file(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "b");
    dither_atomic file;
    assert_int_equal(dither_atomic_open(&file, path, NULL), DITHER_OK);
    const char *temporary = file.temporary;
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
    const char *path = temporary_path(temporary_folder, "c");
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
    assert_int_equal(count_names("c."), 0);
    expect_file(path, "old");
}

static const char *own_name(const char *name, int number)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%s.%ld-%d.tmp", name, (long)getpid(), number);
    return temporary_path(temporary_folder, text);
}

/* Whoever has a file under a temporary name keeps it, be it a link to elsewhere. */
static void what_is_there_is_left_alone(void **state)
{
    (void)state;
    char path[512], elsewhere[512];
    (void)snprintf(path, sizeof path, "%.256s/d", temporary_folder);
    (void)snprintf(elsewhere, sizeof elsewhere, "%.256s/elsewhere", temporary_folder);
    temporary_write(temporary_path(temporary_folder, "d.tmp"), "mine", 4);
    temporary_write(own_name("d", 0), "a half", 6);
    temporary_write(elsewhere, "mine", 4);
    assert_int_equal(symlink(elsewhere, own_name("d", 1)), 0);
    assert_int_equal(dither_atomic_file(path, "whole", 5, NULL), DITHER_OK);
    expect_file(path, "whole");
    expect_file(temporary_path(temporary_folder, "d.tmp"), "mine");
    expect_file(own_name("d", 0), "a half");
    expect_file(elsewhere, "mine");
    assert_int_equal(count_names("d."), 3);

    /* In a folder of our own what killed processes left is swept, and nothing else. */
    static const char *const others[] = {"d.1-0.tmp.old", "d.1-x.tmp", "d.1.tmp", "d.-1.tmp", "d.1-.tmp", "dd.1-0.tmp",
                                         "d.1-0.tmpx", "d1-0.tmp"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        temporary_write(temporary_path(temporary_folder, others[i]), "mine", 4);
    temporary_write(temporary_path(temporary_folder, "d.123456-9.tmp"), "a half", 6);
    dither_atomic_sweep(path);
    assert_false(exists(own_name("d", 0)) || exists(own_name("d", 1)));
    assert_false(exists(temporary_path(temporary_folder, "d.123456-9.tmp")));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_file(temporary_path(temporary_folder, others[i]), "mine");
    expect_file(temporary_path(temporary_folder, "d.tmp"), "mine");
    expect_file(elsewhere, "mine");
    expect_file(path, "whole");
}

static void temporary_folders_are_new(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "deep/er/m");
    char first[512], second[512];
    assert_int_equal(dither_folder_temporary(path, first, sizeof first, NULL), DITHER_OK);
    assert_int_equal(dither_folder_temporary(path, second, sizeof second, NULL), DITHER_OK);
    assert_string_not_equal(first, second);
    assert_true(exists(first) && exists(second) && !exists(path));
    assert_int_equal(rmdir(first), 0);
    assert_int_equal(rmdir(second), 0);
    dither_error error;
    assert_int_equal(dither_folder_temporary(path, first, strlen(path) + 4, &error), DITHER_E_IO);
    assert_string_equal(first, "");
    assert_int_equal(dither_folder_temporary(temporary_path(temporary_folder, "elsewhere/m"), first, sizeof first,
                                             &error), DITHER_E_IO);
    assert_string_equal(first, "");
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
    assert_int_equal(count_names("taken."), 0);
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

static int removed_before_lock;

/* As by another process that locks the file and removes it in between. */
int flock(int fd, int operation)
{
    if (removed_before_lock > 0) {
        removed_before_lock--;
        assert_int_equal(unlink(temporary_path(temporary_folder, "lock")), 0);
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static void a_removed_lock_holds_nobody_off(void **state)
{
    (void)state;
    int fd, again;
    removed_before_lock = 1;
    assert_int_equal(dither_folder_lock(temporary_folder, &fd, NULL), DITHER_OK);
    assert_int_equal(dither_folder_lock(temporary_folder, &again, NULL), DITHER_E_BUSY); /* it is the one others find */
    close(fd);
    removed_before_lock = 1000;
    assert_int_equal(dither_folder_lock(temporary_folder, &fd, NULL), DITHER_E_BUSY);
    removed_before_lock = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_file_stays_until_commit),
        cmocka_unit_test(abandoning_removes_the_new_file),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(what_is_there_is_left_alone),
        cmocka_unit_test(temporary_folders_are_new),
        cmocka_unit_test(bad_paths_are_refused),
        cmocka_unit_test(folders_are_created_with_their_parents),
        cmocka_unit_test(a_second_process_is_refused),
        cmocka_unit_test(a_removed_lock_holds_nobody_off),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
