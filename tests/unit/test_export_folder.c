/* A model's folder in the place of another's: whole, whatever fails, and whenever it is killed. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/export_folder.h"
#include "temporary.h"

/* Every rename of the process passes here. */
static int renames, fail_at = -1, kill_at = -1;

int rename(const char *from, const char *to)
{
    const int number = renames++;
    if (number == kill_at)
        _exit(77);
    if (number == fail_at) {
        errno = EIO;
        return -1;
    }
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static const char *const old_names[] = {"config.json", "model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors", "model.safetensors.index.json",
                                        "tokenizer.json", "generation_config.json", NULL};
static const char *const new_names[] = {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja",
                                        NULL};
static const char *const others[] = {"notes.txt", "model-mine.safetensors", "config.json.tmp", NULL};

static void path_in(const char *folder, const char *name, char path[static 700])
{
    (void)snprintf(path, 700, "%.600s/%.64s", folder, name);
}

static void put(const char *folder, const char *const *names, const char *text)
{
    char path[700];
    for (; *names != NULL; names++) {
        path_in(folder, *names, path);
        temporary_write(path, text, strlen(text));
    }
}

/* Of the names of both models, exactly these are there, with this text. */
static bool has(const char *folder, const char *const *names, const char *text)
{
    const char *const *const lists[] = {old_names, new_names};
    for (size_t list = 0; list < 2; list++)
        for (const char *const *name = lists[list]; *name != NULL; name++) {
            char path[700];
            bool wanted = false;
            size_t size;
            for (const char *const *each = names; *each != NULL; each++)
                wanted |= strcmp(*each, *name) == 0;
            path_in(folder, *name, path);
            if ((access(path, F_OK) == 0) != wanted)
                return false;
            if (!wanted)
                continue;
            unsigned char *bytes = temporary_read(path, &size);
            const bool same = size == strlen(text) && memcmp(bytes, text, size) == 0;
            free(bytes);
            if (!same)
                return false;
        }
    return true;
}

static bool has_others(const char *folder)
{
    for (const char *const *name = others; *name != NULL; name++) {
        char path[700];
        size_t size;
        path_in(folder, *name, path);
        if (access(path, F_OK) != 0)
            return false;
        unsigned char *bytes = temporary_read(path, &size);
        const bool mine = size == 4 && memcmp(bytes, "mine", 4) == 0;
        free(bytes);
        if (!mine)
            return false;
    }
    return true;
}

/* A folder with the old model, and the new one ready beside it. */
static void prepare(char folder[static 600], char temporary[static 4096])
{
    (void)snprintf(folder, 600, "%s", temporary_path(temporary_folder, "m"));
    if (access(folder, F_OK) == 0)
        temporary_remove(folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    put(folder, old_names, "old");
    put(folder, others, "mine");
    assert_int_equal(dither_export_folder_open(folder, false, temporary, NULL), DITHER_E_USAGE);
    assert_string_equal(temporary, "");
    assert_int_equal(dither_export_folder_open(folder, true, temporary, NULL), DITHER_OK);
    put(temporary, new_names, "new");
}

static void a_failure_leaves_the_old_model(void **state)
{
    (void)state;
    char folder[600], temporary[4096];
    int failed = 0;
    for (;; failed++) {
        dither_error error;
        prepare(folder, temporary);
        renames = 0;
        fail_at = failed;
        const dither_status status = dither_export_folder_commit(folder, temporary, &error);
        fail_at = -1;
        if (status != DITHER_OK)
            dither_export_folder_abandon(temporary);
        assert_int_not_equal(access(temporary, F_OK), 0);
        assert_true(has_others(folder));
        if (status == DITHER_OK)
            break;
        assert_int_equal(status, DITHER_E_IO);
        if (!has(folder, old_names, "old"))
            fail_msg("not the old model after rename %d failed", failed);
    }
    assert_true(has(folder, new_names, "new"));
    assert_int_equal(failed, 6 + 4); /* each old file away, each new one in */
}

static void killed_midway_it_is_no_model(void **state)
{
    (void)state;
    char folder[600], temporary[4096], config[700];
    for (int k = 0; k < 10; k++) {
        int status;
        prepare(folder, temporary);
        (void)fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            renames = 0;
            kill_at = k;
            _exit(dither_export_folder_commit(folder, temporary, NULL) == DITHER_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 77);
        path_in(folder, "config.json", config);
        assert_true(k == 0 ? has(folder, old_names, "old") : access(config, F_OK) != 0);
        assert_true(has_others(folder));
        temporary_remove(temporary);
    }
}

static void a_folder_in_the_way_is_seen_before(void **state)
{
    (void)state;
    char folder[600], temporary[4096], path[700];
    dither_error error;
    prepare(folder, temporary);
    path_in(folder, "chat_template.jinja", path);
    assert_int_equal(mkdir(path, 0777), 0);
    renames = 0;
    assert_int_equal(dither_export_folder_commit(folder, temporary, &error), DITHER_E_USAGE);
    assert_non_null(strstr(error.where, "chat_template.jinja"));
    assert_int_equal(renames, 0);
    dither_export_folder_abandon(temporary);
    assert_int_equal(rmdir(path), 0);
    assert_true(has(folder, old_names, "old") && has_others(folder));
}

/* What somebody has put into the temporary folder is not ours to remove. */
static void only_its_own_files_are_abandoned(void **state)
{
    (void)state;
    char folder[600], temporary[4096], path[700];
    prepare(folder, temporary);
    put(temporary, (const char *const[]){"config.json.1234-0.tmp", "model-00001-of-00002.safetensors.77-3.tmp", NULL},
        "half");
    (void)snprintf(path, sizeof path, "%.600s/notes.txt", temporary);
    temporary_write(path, "mine", 4);
    dither_export_folder_abandon(temporary);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(temporary), 0); /* nothing else was in it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_leaves_the_old_model),
        cmocka_unit_test(killed_midway_it_is_no_model),
        cmocka_unit_test(a_folder_in_the_way_is_seen_before),
        cmocka_unit_test(only_its_own_files_are_abandoned),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
