/* What the tensors of a model are in another file: names, types, shapes, and which parameters lie in each. */
#ifndef DITHER_MODEL_EXPORT_PLAN_H
#define DITHER_MODEL_EXPORT_PLAN_H

#include "model/stored.h"

enum { DITHER_EXPORT_PARTS = 3 }; /* query, key and value in one */

typedef struct dither_export_tensor {
    char name[DITHER_PARAMETER_NAME];
    dither_block_type type;
    bool vector, transposed;
    size_t rows, cols;               /* as they lie in the file; a vector's elements are its rows */
    size_t parts;
    size_t part[DITHER_EXPORT_PARTS]; /* numbers of parameters, in order; none: values are made */
    const float *made;               /* [rows] of a vector */
} dither_export_tensor;

typedef struct dither_export_plan {
    bool gguf;                /* the target; else a folder */
    bool as_stored;           /* matrices keep their types */
    dither_block_type type;   /* or have this one */
    dither_model_config config;
    size_t count;             /* of parameters */
    dither_parameter *table;  /* [count] */
    dither_stored *stored;    /* [count] */
    size_t tensors;
    dither_export_tensor *tensor;
    float *rope_factors;      /* of stretched positions, [head_dim / 2] */
    size_t odd;               /* matrices whose rows are no blocks: f16; */
    const char *first_odd;    /* the first of them */
    bool head_apart;          /* the head's matrix has another type than was asked for */
} dither_export_plan;

/**
 * Plan tensors; stored must be found already.
 * @return DITHER_OK | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_export_plan_make(dither_export_plan *plan, dither_error *error);
void dither_export_plan_free(dither_export_plan *plan);

uint64_t dither_export_tensor_bytes(const dither_export_tensor *tensor);
uint64_t dither_export_tensor_values(const dither_export_tensor *tensor);

/** Where parameter `index` lies in the target. */
const dither_parameter_place *dither_export_place(const dither_export_plan *plan, size_t index);

#endif
