/**
 * What can go wrong, and how a caller is told.
 *
 * Every function that can fail returns a dither_status; results go through pointers. Functions that read a user's
 * input also fill a dither_error that says what was wrong, where, and what would be right. The library never prints,
 * never exits and never reads standard input.
 */
#ifndef DITHER_STATUS_H
#define DITHER_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DITHER_API __attribute__((visibility("default")))
#define DITHER_MUST_USE __attribute__((warn_unused_result))
#define DITHER_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define DITHER_API
#define DITHER_MUST_USE
#define DITHER_PRINTF(text, first)
#endif

typedef enum dither_status {
    DITHER_OK = 0,
    DITHER_E_USAGE,   /* an option or argument the caller gave is wrong */
    DITHER_E_SHAPE,   /* sizes that do not fit each other, or overflow */
    DITHER_E_NUMERIC, /* NaN or Inf where a number is needed */
    DITHER_E_FORMAT,  /* bytes of a file that are not what they should be */
    DITHER_E_IO,      /* the operating system refused a read or a write */
    DITHER_E_MEMORY,  /* more memory than there is or than was allowed */
    DITHER_E_BUSY,    /* somebody else holds what is asked for */
    DITHER_E_STOPPED  /* the caller asked to stop; work so far is saved */
} dither_status;

typedef struct dither_error {
    dither_status status;
    char where[256]; /* file, file:line, file at byte N, or option; may be empty */
    char text[512];  /* what was wrong and what would be right; one line, no full stop */
} dither_error;

/** Name of a status in plain words, for example "bad file". Never NULL. */
DITHER_API const char *dither_status_text(dither_status status);

#ifdef __cplusplus
}
#endif
#endif
