/*
 * What every layer is told about the run it is part of. A layer takes what scratch it needs and gives it back; in a dry
 * run it does only that, so the scratch arena's peak is the memory the real run will need.
 */
#ifndef DITHER_NN_CONTEXT_H
#define DITHER_NN_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/profile.h"
#include "dither/tensor.h"

/* Who looks at what is computed on the way. */
typedef struct dither_watch {
    void (*logits)(void *context, size_t tokens, size_t vocab, const float *logits); /* of a loss, in order */
    void *context;
} dither_watch;

typedef struct dither_context {
    dither_arena *scratch;
    dither_clips *clips;     /* what quantizers saturated; may be NULL */
    dither_clips *layers;    /* [layers + 1] of it each layer's, the output head's last; NULL, or clips is there too */
    dither_clips *roles;     /* [DITHER_ROLES] the same role by role, and what rounding adds; may be NULL */
    dither_profile *profile; /* where the time goes; NULL: off */
    const dither_watch *watch; /* NULL: nobody */
    uint64_t seed;
    uint32_t step;
    uint32_t microbatch;
    uint32_t redrawn; /* bits of the roles that draw as the next micro-batch: what they alone add to a gradient */
    int threads;
    bool fresh; /* gradients of matrices are written, not added to: the first micro-batch of a step */
    bool dry; /* lay out, compute nothing: every data pointer may be NULL */
} dither_context;

/** The address of `role` of `tensor` at this step and micro-batch. */
dither_draw dither_context_draw(const dither_context *context, uint32_t tensor, uint32_t role);

#endif
