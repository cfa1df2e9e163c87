/* An opened model: a network without gradients whose matrices stay in the file, and the context it is called with. */
#ifndef DITHER_MODEL_OPENED_H
#define DITHER_MODEL_OPENED_H

#include "model/network.h"
#include "model/stored.h"

struct dither_model {
    dither_network network;
    dither_source *source;
    dither_stored *stored; /* [network.table_count] into source */
    dither_arena arena;    /* vectors, weight codes, tables: as long as the model is open */
    dither_arena work;     /* of the batches that it is called with; grown where they grow */
    dither_arena scratch;  /* a part of work */
    dither_context context;
    dither_watch watch;    /* that context points to where somebody watches */
    bool exact; /* f32 with the stored weights */
};

/* Tokens of one evaluation batch: wide enough for the products, small enough for any machine. */
enum { DITHER_MODEL_EVAL_TOKENS = 1024 };

/** Bytes that calls with `batch` rows of `seq` tokens work in; SIZE_MAX: no call can be so large. */
size_t dither_model_work_bytes(dither_model *model, size_t batch, size_t seq);

/**
 * Make room for calls with `batch` rows of `seq` tokens.
 * @return DITHER_OK | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_model_reserve(dither_model *model, size_t batch, size_t seq, dither_error *error);

#endif
