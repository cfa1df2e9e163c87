/* One line that is written over and over on a terminal, or lines now and then where the output is a file or a pipe. */
#ifndef DITHER_CLI_TERMINAL_H
#define DITHER_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct dither_terminal {
    FILE *out;
    bool live;       /* a terminal that can write over its line */
    bool blocks;     /* it is live, and shows the block characters of UTF-8 */
    bool drawn;      /* a live line stands there */
    double last;     /* when the line was last written */
    uint64_t marked; /* how far things were then */
} dither_terminal;

void dither_terminal_init(dither_terminal *terminal, FILE *out);

/**
 * Whether now is the time for another line of progress: ten a second on a terminal; else one for every twentieth of the
 * whole, or after ten seconds.
 */
bool dither_terminal_due(dither_terminal *terminal, uint64_t done, uint64_t total);

/** Columns that are left on the line behind these fields and the gap behind each. */
size_t dither_terminal_room(const dither_terminal *terminal, const char *const *fields, size_t count);

/** Show progress: `fields` joined by two spaces, as many from the left as the terminal is wide. */
void dither_terminal_progress(dither_terminal *terminal, const char *const *fields, size_t count);

/** Take the live line away, so that other text can be printed. */
void dither_terminal_clear(dither_terminal *terminal);

/** Seconds as "0.4 s", "12 s", "1:23 min", "2:03:04 h" or "3 d 4 h", into text[16]; "?" where nobody knows. */
void dither_terminal_duration(double seconds, char *text);

#endif
