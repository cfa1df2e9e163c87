/* What the files of every study have alike: results.csv, results.json and report.html in its folder. */
#ifndef DITHER_STUDY_RESULTS_H
#define DITHER_STUDY_RESULTS_H

#include <limits.h>

#include "dither/study.h"
#include "file/json_write.h"

typedef struct dither_results_paths {
    char csv[PATH_MAX], json[PATH_MAX], report[PATH_MAX];
} dither_results_paths;

/** @return DITHER_OK | DITHER_E_IO (a path is too long) */
DITHER_MUST_USE dither_status dither_results_find(const char *out, dither_results_paths *paths, dither_error *error);

/** A number, with as many digits as it has; where it is not finite, `none`. */
void dither_results_number(dither_json_writer *file, double value, const char *none);

/** "KEY": "TEXT" */
void dither_results_text(dither_json_writer *file, const char *key, const char *text);

/** , "KEY": [value, low, high] */
void dither_results_interval(dither_json_writer *file, const char *key, dither_interval interval);

/** , "claims": [...] on lines of its own. */
void dither_results_claims(dither_json_writer *file, const dither_claims *claims);

#endif
