/**
 * Whether this machine computes what the library promises: the quantizers' draws, and the products of whole numbers.
 */
#ifndef DITHER_SELFTEST_H
#define DITHER_SELFTEST_H

#include <stdbool.h>
#include <stdint.h>

#include "dither/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dither_selftest_options {
    uint64_t seed; /* of every draw and every number */
    int threads;   /* 0: all cores, at most 1,024; no line depends on it */
} dither_selftest_options;

/* One line of the report. The texts live until the callback returns. */
typedef struct dither_selftest_line {
    const char *name;      /* "rounding avx2 sr8" */
    const char *compared;  /* what was compared with what, and how much of it */
    const char *statistic; /* what came out */
    double deviation;      /* the largest of its statistics, in sigmas of a normal law of the same bound; 0: exact */
    double limit;          /* what deviation may be; 0 where everything compared is exact */
    uint64_t wrong;        /* results that must be equal and are not */
    bool ok;               /* wrong == 0 and deviation <= limit */
} dither_selftest_line;

/** Takes a line as soon as it is known. */
typedef void (*dither_selftest_report)(void *context, const dither_selftest_line *line);

/**
 * Test what this process would compute with: every kernel that dither_cpu_active() allows.
 *
 * @param report    called on the calling thread, in the same order every time
 * @param failures  how many lines are not ok
 * @return DITHER_OK, whatever the failures | DITHER_E_USAGE (threads) | DITHER_E_MEMORY
 *
 * Numerics: a machine without a fault fails with a probability below 1e-9 over seeds; docs/numerics.md derives it.
 * Cost:     some 8 seconds of one core of 2020, shared by the threads; 6 MB, and half a MB a thread.
 */
DITHER_API DITHER_MUST_USE dither_status dither_selftest(const dither_selftest_options *options,
                                                         dither_selftest_report report, void *context,
                                                         unsigned *failures, dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
