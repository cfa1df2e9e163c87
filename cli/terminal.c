#include "terminal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "output.h"

enum { WIDTH_DEFAULT = 80, WIDTH_MAX = 240, LINE_BYTES = 4 * WIDTH_MAX, GAP = 2 };

/* Asked for each line: windows are resized. */
static int width_now(FILE *out)
{
    struct winsize size;
    if (!ioctl(fileno(out), TIOCGWINSZ, &size) && size.ws_col > 0)
        return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
    const char *columns = getenv("COLUMNS");
    const long given = columns ? strtol(columns, NULL, 10) : 0;
    return given > 0 && given <= WIDTH_MAX ? (int)given : WIDTH_DEFAULT;
}

/* What POSIX reads the character set from: the first of these that is set and not empty. */
static bool locale_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *locale = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && (!locale || !locale[0]); i++)
        locale = getenv(names[i]);
    return locale && (strcasestr(locale, "UTF-8") || strcasestr(locale, "utf8"));
}

void dither_terminal_init(dither_terminal *terminal, FILE *out)
{
    const char *kind = getenv("TERM");
    *terminal = (dither_terminal){.out = out, .last = -1};
    terminal->live = isatty(fileno(out)) && kind && strcmp(kind, "dumb") != 0;
    /* The fonts of the Linux console have a few of the blocks only. */
    terminal->blocks = terminal->live && strcmp(kind, "linux") != 0 && locale_is_utf8();
}

/* Characters, of which each takes a column here: bytes that begin one. */
static size_t columns_of(const char *text)
{
    size_t columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

size_t dither_terminal_room(const dither_terminal *terminal, const char *const *fields, size_t count)
{
    const size_t width = terminal->live ? (size_t)width_now(terminal->out) - 1 : WIDTH_MAX;
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        used += columns_of(fields[i]) + GAP;
    return used < width ? width - used : 0;
}

bool dither_terminal_due(dither_terminal *terminal, uint64_t done, uint64_t total)
{
    const double now = dither_output_clock();
    const double pause = terminal->live ? 0.1 : 10;
    const bool first = terminal->last < 0;
    const bool far = !terminal->live && (double)(done - terminal->marked) * 20 >= (double)total;
    if (!first && !far && done < total && now - terminal->last < pause)
        return false;
    terminal->last = now;
    terminal->marked = done;
    return true;
}

void dither_terminal_progress(dither_terminal *terminal, const char *const *fields, size_t count)
{
    const size_t width = terminal->live ? (size_t)width_now(terminal->out) - 1 : WIDTH_MAX;
    char line[LINE_BYTES + 1];
    size_t used = 0, columns = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t gap = i ? GAP : 0, length = strlen(fields[i]);
        columns += gap + columns_of(fields[i]);
        if (columns > width || used + gap + length > LINE_BYTES)
            break;
        memcpy(line + used, "  ", gap);
        memcpy(line + used + gap, fields[i], length);
        used += gap + length;
    }
    line[used] = 0;
    if (terminal->live)
        fprintf(terminal->out, "\r%s\033[K", line);
    else
        fprintf(terminal->out, "%s\n", line);
    terminal->drawn = terminal->live;
    fflush(terminal->out);
}

void dither_terminal_clear(dither_terminal *terminal)
{
    if (terminal->drawn)
        fputs("\r\033[K", terminal->out);
    terminal->drawn = false;
}

void dither_terminal_duration(double seconds, char *text)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 3e8) {
        (void)snprintf(text, 16, "?");
        return;
    }
    enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
    const unsigned whole = (unsigned)(seconds + 0.5);
    if (seconds > 0 && seconds < 9.95)
        (void)snprintf(text, 16, "%.1f s", seconds);
    else if (whole < MINUTE)
        (void)snprintf(text, 16, "%u s", whole);
    else if (whole < HOUR)
        (void)snprintf(text, 16, "%u:%02u min", whole / MINUTE, whole % MINUTE);
    else if (whole < DAY)
        (void)snprintf(text, 16, "%u:%02u:%02u h", whole / HOUR, whole / MINUTE % 60, whole % MINUTE);
    else
        (void)snprintf(text, 16, "%u d %u h", whole / DAY, whole / HOUR % 24);
}
