/* The bytes of one tensor of another file, made row by row from where the parameters lie. */
#ifndef DITHER_MODEL_EXPORT_ROWS_H
#define DITHER_MODEL_EXPORT_ROWS_H

#include "model/export_plan.h"

typedef struct dither_export_sink {
    /** The next bytes; a status other than DITHER_OK ends it all. @param values  that they stand for */
    dither_status (*put)(void *context, const void *bytes, size_t size, uint64_t values, dither_error *error);
    void *context;
} dither_export_sink;

/**
 * Hand the bytes of plan->tensor[index] to a sink, in order. Rows of the type that is wanted are copied as they lie.
 * @param draw     NULL: rounded to nearest; else stochastically, by seed, tensor and place
 * @param threads  at least 1; the bytes do not depend on it
 * @return DITHER_OK | DITHER_E_NUMERIC (a value that the type cannot hold) | DITHER_E_MEMORY | what put returns
 */
DITHER_MUST_USE dither_status dither_export_rows(const dither_export_plan *plan, size_t index, const dither_draw *draw,
                                                 int threads, const dither_export_sink *sink, dither_error *error);

#endif
