/* The table of formats, for those inside the library who need one row by its canonical name. */
#ifndef DITHER_QUANT_FORMAT_ROWS_H
#define DITHER_QUANT_FORMAT_ROWS_H

#include "dither/format.h"

/** The row of a canonical name that is known to be in the table. */
const dither_format *dither_format_row(const char *name);

#endif
