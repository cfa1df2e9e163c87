/* Ctrl-C: the first asks for an end in order, the second is one. */
#ifndef DITHER_CLI_STOP_H
#define DITHER_CLI_STOP_H

#include <signal.h>

/**
 * From now on SIGINT and SIGTERM say `text` on standard error and are noted; a second one quits at once.
 * @param text  lives as long as the program
 * @return the number of the signal that came; 0: none yet
 */
const volatile sig_atomic_t *dither_stop_catch(const char *text);

#endif
