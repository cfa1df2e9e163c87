/* The tokens of one call of the network: rows of `seq` tokens, of which each may hold several documents. */
#ifndef DITHER_NN_BATCH_VIEW_H
#define DITHER_NN_BATCH_VIEW_H

#include <stddef.h>
#include <stdint.h>

typedef struct dither_batch_view {
    size_t batch, seq;         /* tokens = batch * seq, row after row */
    const uint32_t *ids;       /* [tokens] */
    const uint32_t *targets;   /* [tokens]; UINT32_MAX: not trained on */
    const uint32_t *positions; /* [tokens] in the token's own document, below the model's ctx; NULL: t mod seq */
    const uint32_t *first;     /* [tokens] where in its row the token's document begins, counted from the front of the
                                * row: at most t mod seq, never falling in a row; NULL: each row is one document */
} dither_batch_view;

#endif
