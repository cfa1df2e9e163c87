#include "study/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/text.h"

extern char **environ;

/* ---- the script ---------------------------------------------------------------------------------------------- */

/* A text in single quotes, in which gnuplot reads nothing but a doubled quote. */
static void put_text(FILE *script, const char *text)
{
    fputc('\'', script);
    for (; *text; text++) {
        if (*text == '\'')
            fputc('\'', script);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, script);
    }
    fputc('\'', script);
}

static void put_number(FILE *script, double value)
{
    char text[32];
    dither_text_print_f64(value, 9, text, sizeof text);
    fprintf(script, " %s", text);
}

static bool is_drawn(const dither_series *series, size_t i)
{
    const bool bars = series->low && series->high;
    return isfinite(series->x[i]) && isfinite(series->y[i]) &&
           (!bars || (isfinite(series->low[i]) && isfinite(series->high[i])));
}

/* Series that share their x stand a little beside each other, so that no error bar hides another. */
static double beside(const dither_plot *plot, size_t s, double x)
{
    const double step = 0.05; /* octaves */
    return plot->log2_x ? x * exp2(step * ((double)s - (double)(plot->count - 1) / 2)) : x;
}

static void put_data(FILE *script, const dither_plot *plot)
{
    for (size_t s = 0; s < plot->count; s++) {
        const dither_series *const series = &plot->series[s];
        fprintf(script, "$series%zu << END\n", s);
        for (size_t i = 0; i < series->points; i++) {
            if (!is_drawn(series, i))
                continue;
            put_number(script, beside(plot, s, series->x[i]));
            put_number(script, series->y[i]);
            put_number(script, series->low ? series->low[i] : series->y[i]);
            put_number(script, series->high ? series->high[i] : series->y[i]);
            fputc('\n', script);
        }
        fputs("END\n", script);
    }
}

/* Colours that people who confuse some tell apart (Okabe and Ito 2008). */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"};

static void put_plot(FILE *script, const dither_plot *plot)
{
    enum { COLOURS = sizeof colours / sizeof colours[0], POINTS = 7 };
    static const int points[POINTS] = {7, 5, 9, 13, 11, 6, 4};
    const char *between = "plot ";
    for (size_t s = 0; s < plot->count; s++) { /* bars below every point */
        if (!plot->series[s].low || !plot->series[s].high)
            continue;
        fprintf(script, "%s$series%zu using 1:2:3:4 with yerrorbars lc rgb '%s' lw 1.5 pt %d ps 0.7 notitle", between,
                s, colours[s % COLOURS], points[s % POINTS]);
        between = ", ";
    }
    for (size_t s = 0; s < plot->count; s++) {
        fprintf(script, "%s$series%zu using 1:2 with linespoints lc rgb '%s' lw 2 pt %d ps 0.7 title ", between, s,
                colours[s % COLOURS], points[s % POINTS]);
        put_text(script, plot->series[s].label);
        between = ", ";
    }
    fputc('\n', script);
}

static void put_label(FILE *script, const char *what, const char *text)
{
    fprintf(script, "set %s ", what);
    put_text(script, text);
    fputs(" noenhanced\n", script);
}

/* A logarithmic axis has its marks where points are, and room at both sides. */
static void put_octaves(FILE *script, const dither_plot *plot)
{
    double low = INFINITY, high = -INFINITY;
    fputs("set logscale x 2\nset xtics (", script);
    for (size_t s = 0; s < plot->count; s++) {
        for (size_t i = 0; i < plot->series[s].points; i++) {
            const double x = plot->series[s].x[i];
            if (!is_drawn(&plot->series[s], i) || !(x > 0))
                continue;
            if (isfinite(high))
                fputc(',', script);
            put_number(script, x);
            low = fmin(low, x);
            high = fmax(high, x);
        }
    }
    fputs(")\n", script);
    if (!isfinite(high))
        return;
    fputs("set xrange [", script);
    put_number(script, low / 1.25);
    fputc(':', script);
    put_number(script, high * 1.25);
    fputs("]\n", script);
}

static void put_script(FILE *script, const dither_plot *plot, dither_plot_shape shape, const char *id)
{
    const bool wide = shape == DITHER_PLOT_WIDE;
    fprintf(script, "set terminal svg size %s dynamic font 'Helvetica,%d' name '%s'\nset encoding utf8\n",
            wide ? "1000,440" : "370,420", wide ? 15 : 13, id);
    put_label(script, "title", plot->title);
    put_label(script, "xlabel", plot->x_label);
    put_label(script, "ylabel", plot->y_label);
    fputs("set grid lc rgb '#d0d0d0' lw 1 dt solid\nset border 3\nset tics nomirror\nset bars 0.6\n", script);
    fputs(wide ? "set key outside right center Left reverse noenhanced samplen 2 spacing 1.3 width 1\n"
               : "set key outside below center Left reverse noenhanced samplen 2 spacing 1.2 maxcols 2\n", script);
    if (plot->log2_x)
        put_octaves(script, plot);
    if (plot->log10_y)
        fputs("set logscale y 10\n", script);
    fputs("set format x '%g'\nset format y '%g'\n", script);
    put_data(script, plot);
    put_plot(script, plot);
}

/* ---- the child ----------------------------------------------------------------------------------------------- */

static dither_status fail_errno(dither_error *error, const char *what)
{
    return dither_fail(error, DITHER_E_IO, "gnuplot", "%s: %s", what, strerror(errno));
}

/* @param in   its standard input  @param out  receives a descriptor to read its standard output from */
static dither_status start(int in, int *out, pid_t *child, dither_error *error)
{
    static const char *const words[] = {"gnuplot", "-d", "-", NULL};
    char *arguments[sizeof words / sizeof words[0]];
    int ends[2];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        memcpy(&arguments[i], &words[i], sizeof arguments[i]); /* posix_spawn() does not change them */
    if (pipe2(ends, O_CLOEXEC))
        return fail_errno(error, "no pipe");
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);
    if (!failed) {
        failed = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        failed = failed ? failed : posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        failed = failed ? failed
                        : posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        failed = failed ? failed : posix_spawnp(child, words[0], &actions, NULL, arguments, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    *out = ends[0];
    if (!failed)
        return DITHER_OK;
    close(ends[0]);
    return failed == ENOENT ? dither_fail(error, DITHER_E_IO, "gnuplot", "it is not installed")
                            : dither_fail(error, DITHER_E_IO, "gnuplot", "cannot be started: %s", strerror(failed));
}

/* Everything until the end, and a 0. @return NULL: no memory, or more than any plot has */
static char *read_all(int fd)
{
    enum { FIRST = 1 << 16, MOST = 1 << 24 };
    size_t room = FIRST, used = 0;
    char *text = malloc(room);
    while (text) {
        const ssize_t got = read(fd, text + used, room - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got;
        if (used + 1 < room)
            continue;
        char *const more = room < MOST ? realloc(text, 2 * room) : NULL;
        if (!more) {
            free(text);
            return NULL;
        }
        text = more;
        room *= 2;
    }
    if (text)
        text[used] = '\0';
    return text;
}

/* The script as a file without a name, to be read from its beginning. @return the descriptor, or -1 */
static int write_script(const dither_plot *plot, dither_plot_shape shape, const char *id)
{
    const int fd = memfd_create("script", MFD_CLOEXEC);
    const int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *const script = copy < 0 ? NULL : fdopen(copy, "w");
    if (!script) {
        if (copy >= 0)
            close(copy);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    put_script(script, plot, shape, id);
    const bool failed = ferror(script) != 0;
    if (fclose(script) || failed || lseek(fd, 0, SEEK_SET)) {
        close(fd);
        return -1;
    }
    return fd;
}

dither_status dither_plot_draw(const dither_plot *plot, dither_plot_shape shape, const char *id, char **svg,
                               dither_error *error)
{
    int out = -1, ended = 0;
    pid_t child = 0;
    *svg = NULL;
    const int in = write_script(plot, shape, id);
    if (in < 0)
        return fail_errno(error, "no file for its script");
    dither_status status = start(in, &out, &child, error);
    close(in);
    if (status)
        return status;
    char *const text = read_all(out);
    close(out);
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {
    }
    char *const begin = text ? strstr(text, "<svg") : NULL, *const end = begin ? strstr(begin, "</svg>") : NULL;
    if (!text)
        status = dither_fail(error, DITHER_E_MEMORY, "gnuplot", "no memory for what it draws");
    else if (!WIFEXITED(ended) || WEXITSTATUS(ended) || !end)
        status = dither_fail(error, DITHER_E_IO, "gnuplot", "it failed to draw '%.80s'", plot->title);
    if (!status) {
        const size_t length = (size_t)(end - begin) + sizeof "</svg>" - 1;
        memmove(text, begin, length);
        text[length] = '\0';
        *svg = text;
    } else {
        free(text);
    }
    return status;
}
