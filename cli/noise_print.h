/* What `dither noise` measured, as tables and as JSON. */
#ifndef DITHER_CLI_NOISE_PRINT_H
#define DITHER_CLI_NOISE_PRINT_H

#include "dither/noise.h"

/** Tables on stdout: the whole gradient by batch, the roles, the layers, what the theory does not cover. */
void dither_noise_print(const dither_noise *noise);

/** One JSON object on stdout, with everything. */
void dither_noise_print_json(const dither_noise *noise);

#endif
