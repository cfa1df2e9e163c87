#include "study/cells.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "file/json.h"
#include "file/json_write.h"

enum { FILE_MAX = 1 << 16 };

struct dither_cells_run {
    const dither_cells *cells;
    size_t *order;   /* [count] of what is not done, the longest first */
    size_t count;
    atomic_size_t next;
    atomic_bool abandon;
    pthread_mutex_t lock; /* guards what follows, and calls of the listener */
    double *fraction;     /* [cells->count] */
    size_t kept;
    double begun, told, kept_cost, whole_cost;
    dither_study_listener listener;
    void *listener_context;
    const volatile sig_atomic_t *stop;
    dither_status status;
    dither_error *error;
};

static double seconds_on(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- a cell's file ------------------------------------------------------------------------------------------- */

/* @return false: the path is too long, and the error is set */
static bool path_of(const dither_cells *cells, const dither_cell *cell, char path[PATH_MAX], dither_error *error)
{
    if (snprintf(path, PATH_MAX, "%s/cells/%s.json", cells->folder, cell->name) < PATH_MAX)
        return true;
    (void)dither_fail(error, DITHER_E_IO, cells->folder, "the path is too long");
    return false;
}

static dither_status write_cell(const dither_cells *cells, const dither_cell *cell, dither_error *error)
{
    char path[PATH_MAX];
    dither_json_writer writer;
    if (!path_of(cells, cell, path, error))
        return DITHER_E_IO;
    dither_status status = dither_json_writer_open(&writer, path, error);
    if (status)
        return status;
    dither_json_writer_text(&writer, "{\"study\": ");
    dither_json_writer_string(&writer, cells->identity, strlen(cells->identity));
    dither_json_writer_text(&writer, ", \"values\": [");
    for (size_t i = 0; i < cell->values; i++) {
        dither_json_writer_text(&writer, i ? ", " : "");
        if (isfinite(cell->value[i]))
            dither_json_writer_f64(&writer, cell->value[i]);
        else
            dither_json_writer_text(&writer, "null");
    }
    dither_json_writer_text(&writer, "], \"seconds\": ");
    dither_json_writer_f64(&writer, cell->seconds);
    dither_json_writer_text(&writer, "}\n");
    return dither_json_writer_commit(&writer);
}

static dither_status take_values(const cJSON *root, dither_cell *cell, const char *path, dither_error *error)
{
    const cJSON *const list = cJSON_GetObjectItemCaseSensitive(root, "values");
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) != cell->values)
        return dither_fail(error, DITHER_E_FORMAT, path, "\"values\" is no list of %zu numbers; remove the file",
                           cell->values);
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsNull(item) && !(cJSON_IsNumber(item) && isfinite(item->valuedouble)))
            return dither_fail(error, DITHER_E_FORMAT, path, "\"values\" has no number at %zu; remove the file", i);
        cell->value[i++] = cJSON_IsNull(item) ? (double)NAN : item->valuedouble;
    }
    return dither_json_f64(root, "seconds", &cell->seconds, NULL, path, error);
}

/* A cell that an earlier call finished. */
static dither_status read_cell(const dither_cells *cells, dither_cell *cell, dither_error *error)
{
    char path[PATH_MAX];
    cJSON *root = NULL;
    const char *identity = NULL;
    if (!path_of(cells, cell, path, error))
        return DITHER_E_IO;
    if (access(path, F_OK) && errno == ENOENT)
        return DITHER_OK;
    dither_status status = dither_json_file(path, FILE_MAX, &root, error);
    if (!status)
        status = dither_json_text(root, "study", &identity, NULL, path, error);
    if (!status && strcmp(identity, cells->identity) != 0)
        status = dither_fail(error, DITHER_E_FORMAT, path,
                             "kept by a study of other options or data (%.100s); name another folder, or remove %.100s",
                             dither_json_printable(identity) ? identity : "?", "cells/");
    if (!status)
        status = take_values(root, cell, path, error);
    cell->done = !status;
    cJSON_Delete(root);
    return status;
}

/* ---- running ------------------------------------------------------------------------------------------------- */

/* @param always  also where something was told a moment ago; with the lock held */
static void tell(dither_cells_run *run, bool always)
{
    enum { A_SECOND = 10 };
    const double now = seconds_on(CLOCK_MONOTONIC);
    if (!run->listener || (!always && now - run->told < 1.0 / A_SECOND))
        return;
    run->told = now;
    dither_study_event event = {.cells = run->cells->count, .kept = run->kept, .seconds = now - run->begun, .left = -1};
    double done = 0;
    for (size_t i = 0; i < run->cells->count; i++) {
        event.done += run->fraction[i] >= 1;
        done += run->fraction[i] * run->cells->cell[i].cost;
    }
    event.fraction = run->whole_cost > 0 ? done / run->whole_cost : 1;
    if (done > run->kept_cost && event.seconds > 1)
        event.left = event.seconds * (run->whole_cost - done) / (done - run->kept_cost);
    run->listener(run->listener_context, &event);
}

bool dither_cells_tick(dither_cells_run *run, const dither_cell *cell, double fraction)
{
    if (atomic_load_explicit(&run->abandon, memory_order_relaxed) || (run->stop && *run->stop))
        return true;
    if (!pthread_mutex_trylock(&run->lock)) {
        run->fraction[cell - run->cells->cell] = fraction;
        tell(run, false);
        pthread_mutex_unlock(&run->lock);
    }
    return false;
}

static void finish_cell(dither_cells_run *run, dither_cell *cell, dither_status status, const dither_error *error)
{
    pthread_mutex_lock(&run->lock);
    if (!status) {
        cell->done = true;
        run->fraction[cell - run->cells->cell] = 1;
        tell(run, true);
    } else if (!run->status || run->status == DITHER_E_STOPPED) {
        run->status = status;
        if (run->error)
            *run->error = *error;
        atomic_store(&run->abandon, true);
    }
    pthread_mutex_unlock(&run->lock);
}

static void work(void *context, size_t index, int thread)
{
    (void)index, (void)thread;
    dither_cells_run *const run = context;
    const dither_cells *const cells = run->cells;
    for (size_t at; (at = atomic_fetch_add(&run->next, 1)) < run->count;) {
        dither_cell *const cell = &cells->cell[run->order[at]];
        dither_error error = {.status = DITHER_OK};
        if (dither_cells_tick(run, cell, 0)) {
            finish_cell(run, cell, DITHER_E_STOPPED, &error);
            return;
        }
        /* One cell at a time may have threads of its own. */
        const clockid_t clock = cells->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID;
        const double begun = seconds_on(clock);
        dither_status status = cells->run(cells->context, cell, run, &error);
        if (status == DITHER_E_NUMERIC) {
            for (size_t i = 0; i < cell->values; i++)
                cell->value[i] = (double)NAN;
            status = DITHER_OK;
        }
        cell->seconds = seconds_on(clock) - begun;
        if (!status)
            status = write_cell(cells, cell, &error);
        finish_cell(run, cell, status, &error);
        if (status)
            return;
    }
}

/* The longest first: the last to end are short. */
static void sort(const dither_cells *cells, size_t *order, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const size_t moved = order[i];
        size_t at = i;
        for (; at && cells->cell[order[at - 1]].cost < cells->cell[moved].cost; at--)
            order[at] = order[at - 1];
        order[at] = moved;
    }
}

static dither_status run_missing(dither_cells_run *run)
{
    const dither_cells *const cells = run->cells;
    for (size_t i = 0; i < cells->count; i++) {
        const dither_cell *const cell = &cells->cell[i];
        run->whole_cost += cell->cost;
        run->fraction[i] = cell->done;
        if (cell->done)
            run->kept_cost += cell->cost, run->kept++;
        else
            run->order[run->count++] = i;
    }
    sort(cells, run->order, run->count);
    pthread_mutex_lock(&run->lock);
    tell(run, true);
    pthread_mutex_unlock(&run->lock);
    const int threads = cells->threads > 0 ? cells->threads : dither_cores();
    dither_parallel_for(threads, (size_t)threads, work, run);
    return run->status;
}

dither_status dither_cells_complete(const dither_cells *cells, dither_study_listener listener, void *listener_context,
                                    const volatile sig_atomic_t *stop, dither_error *error)
{
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s/cells", cells->folder) >= (int)sizeof folder)
        return dither_fail(error, DITHER_E_IO, cells->folder, "the path is too long");
    dither_status status = dither_folder_create(folder, error);
    for (size_t i = 0; i < cells->count && !status; i++)
        status = read_cell(cells, &cells->cell[i], error);
    if (status)
        return status;
    dither_cells_run run = {
        .cells = cells,
        .order = calloc(cells->count, sizeof *run.order),
        .fraction = calloc(cells->count, sizeof *run.fraction),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .begun = seconds_on(CLOCK_MONOTONIC),
        .listener = listener,
        .listener_context = listener_context,
        .stop = stop,
        .error = error,
    };
    status = run.order && run.fraction ? run_missing(&run)
                                       : dither_fail(error, DITHER_E_MEMORY, cells->folder, "no memory for %zu cells",
                                                     cells->count);
    free(run.order);
    free(run.fraction);
    pthread_mutex_destroy(&run.lock);
    return status;
}
