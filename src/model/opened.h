/* An opened model: a network without gradients, its memory, and the context it is called with. */
#ifndef DITHER_MODEL_OPENED_H
#define DITHER_MODEL_OPENED_H

#include "model/network.h"

struct dither_model {
    dither_network network;
    dither_arena arena, scratch;
    dither_context context;
    bool exact; /* f32 with the stored weights */
};

/* Tokens of one evaluation batch: wide enough for the products, small enough for any machine. */
enum { DITHER_MODEL_EVAL_TOKENS = 1024 };

#endif
