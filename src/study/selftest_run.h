/*
 * The parts of the self-test. Which kernels it looks at is an argument, so that tests can hand it broken ones.
 */
#ifndef DITHER_STUDY_SELFTEST_RUN_H
#define DITHER_STUDY_SELFTEST_RUN_H

#include <stddef.h>

#include "dither/selftest.h"
#include "kernel/gemm_kernel.h"
#include "kernel/quantize_rows.h"

enum { DITHER_SELFTEST_KERNELS = 16 };

/* What is tested. */
typedef struct dither_selftest_subject {
    const dither_quantize_rows *rows[DITHER_SELFTEST_KERNELS]; /* NULL behind the last */
    const dither_gemm_kernel *gemm[DITHER_SELFTEST_KERNELS];
    void (*philox)(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);
    const char *const *formats; /* that are rounded to, NULL behind the last; NULL: all */
} dither_selftest_subject;

/* A run: where lines go, and how many statistics were looked at. */
typedef struct dither_selftest_run {
    const dither_selftest_subject *subject;
    dither_selftest_options options;
    dither_selftest_report report;
    void *context;
    unsigned failures;
    double tests;
} dither_selftest_run;

/* What a line comes from. Exact comparisons count what is wrong, statistics keep their largest score. */
typedef struct dither_selftest_tally {
    uint64_t wrong, compared;
    double score, tests; /* tests 0: everything is exact */
} dither_selftest_tally;

/** Everything that these features allow. */
dither_selftest_subject dither_selftest_subject_of(uint32_t features);

/** dither_selftest() of a subject. */
DITHER_MUST_USE dither_status dither_selftest_of(const dither_selftest_subject *subject,
                                                 const dither_selftest_options *options, dither_selftest_report report,
                                                 void *context, unsigned *failures, dither_error *error);

void dither_tally_equal(dither_selftest_tally *tally, bool equal);
void dither_tally_score(dither_selftest_tally *tally, double score);
void dither_tally_add(dither_selftest_tally *tally, const dither_selftest_tally *other);

/** Hand a line over; adds its statistics to those of the run. */
void dither_selftest_say(dither_selftest_run *run, const char *name, const char *compared,
                         const dither_selftest_tally *tally);

/* The parts, in the order of the report. @return DITHER_OK | DITHER_E_MEMORY */
void dither_selftest_philox(dither_selftest_run *run);
DITHER_MUST_USE dither_status dither_selftest_rounding(dither_selftest_run *run);
DITHER_MUST_USE dither_status dither_selftest_draws(dither_selftest_run *run);
DITHER_MUST_USE dither_status dither_selftest_copies(dither_selftest_run *run);
DITHER_MUST_USE dither_status dither_selftest_products(dither_selftest_run *run);
DITHER_MUST_USE dither_status dither_selftest_threads(dither_selftest_run *run);

#endif
