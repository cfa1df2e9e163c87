/* The `dither train` line that advice ends in. */
#ifndef DITHER_CLI_ADVICE_COMMAND_H
#define DITHER_CLI_ADVICE_COMMAND_H

#include "dither/advice.h"

/**
 * @param out  folder of the run; NULL: the first of trained, trained-2, ... that is not there
 * @return the line, free() it; NULL: no memory
 */
char *dither_advice_command(const dither_advice_options *options, const dither_advice *advice, const char *out);

#endif
