#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message is one line, whatever a file or a path put into it. */
static void keep_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

dither_status dither_fail(dither_error *error, dither_status status, const char *where, const char *format, ...)
{
    if (error == NULL)
        return status;
    dither_error filled = {.status = status};
    if (where != NULL) {
        size_t length = strnlen(where, sizeof filled.where - 1);
        memcpy(filled.where, where, length);
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(filled.text, sizeof filled.text, format, arguments);
    va_end(arguments);
    keep_one_line(filled.where);
    keep_one_line(filled.text);
    /* Last, so that the arguments may come from *error itself: a caller that adds what it knows to a deeper failure. */
    *error = filled;
    return status;
}

const char *dither_status_text(dither_status status)
{
    switch (status) {
    case DITHER_OK: return "ok";
    case DITHER_E_USAGE: return "wrong usage";
    case DITHER_E_SHAPE: return "sizes do not fit";
    case DITHER_E_NUMERIC: return "not a number";
    case DITHER_E_FORMAT: return "bad file";
    case DITHER_E_IO: return "input or output failed";
    case DITHER_E_MEMORY: return "not enough memory";
    case DITHER_E_BUSY: return "in use";
    case DITHER_E_STOPPED: return "stopped";
    }
    return "unknown status";
}
