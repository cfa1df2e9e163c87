/*
 * The memory plan: every parameter, gradient, optimizer state, code and kept activation of a run is a row, taken from
 * one arena. On a dry arena the same calls say what a run will take; `--dry-run` prints the rows.
 */
#ifndef DITHER_MODEL_PLAN_H
#define DITHER_MODEL_PLAN_H

#include "base/arena.h"
#include "dither/tensor.h"

typedef enum dither_plan_kind {
    DITHER_PLAN_PARAMETER,
    DITHER_PLAN_GRADIENT,
    DITHER_PLAN_OPTIMIZER,
    DITHER_PLAN_WEIGHT_CODES,
    DITHER_PLAN_ACTIVATION, /* kept from forward to backward */
    DITHER_PLAN_BATCH,
    DITHER_PLAN_WORKSPACE,
    DITHER_PLAN_KINDS
} dither_plan_kind;

typedef enum dither_lifetime {
    DITHER_LIFETIME_RUN,
    DITHER_LIFETIME_STEP,
    DITHER_LIFETIME_MICROBATCH,
    DITHER_LIFETIME_OPERATION
} dither_lifetime;

enum { DITHER_PLAN_NAME = 96 };

typedef struct dither_plan_row {
    dither_plan_kind kind;
    dither_lifetime lifetime;
    char name[DITHER_PLAN_NAME];
    char format[DITHER_QUANTIZER_TEXT]; /* how it is stored, as a quantizer */
    size_t rows, cols;
    size_t bytes;
} dither_plan_row;

typedef struct dither_plan {
    dither_arena *arena;
    dither_plan_row *rows; /* owned */
    size_t count, capacity;
    bool failed; /* a row could not be noted: no memory; whoever lays out looks at this at the end */
} dither_plan;

void dither_plan_init(dither_plan *plan, dither_arena *arena);
void dither_plan_free(dither_plan *plan);

/** Describe what is part of a larger block. */
void dither_plan_note(dither_plan *plan, dither_plan_kind kind, dither_lifetime lifetime, const char *name,
                      const char *format, size_t rows, size_t cols, size_t bytes);

/**
 * Take [rows][cols] of f32.
 * @return the memory, zeroed; NULL in a dry run
 */
float *dither_plan_f32(dither_plan *plan, dither_plan_kind kind, dither_lifetime lifetime, const char *name,
                       size_t rows, size_t cols);

/** The same for whole numbers. */
uint32_t *dither_plan_u32(dither_plan *plan, dither_plan_kind kind, dither_lifetime lifetime, const char *name,
                          size_t rows, size_t cols);

/** Take `bytes` for a matrix stored as `format` says. */
void *dither_plan_bytes(dither_plan *plan, dither_plan_kind kind, dither_lifetime lifetime, const char *name,
                        const char *format, size_t rows, size_t cols, size_t bytes);

const char *dither_plan_kind_name(dither_plan_kind kind);
const char *dither_lifetime_name(dither_lifetime lifetime);

#endif
