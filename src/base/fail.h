/* Filling a dither_error: one call, so that `return dither_fail(...)` is how every user-facing failure ends. */
#ifndef DITHER_BASE_FAIL_H
#define DITHER_BASE_FAIL_H

#include "dither/status.h"

/** Fill *error (may be NULL) with status, where and the printed text (both cut to fit), and return status. */
dither_status dither_fail(dither_error *error, dither_status status, const char *where, const char *format, ...)
    DITHER_PRINTF(4, 5);

#endif
