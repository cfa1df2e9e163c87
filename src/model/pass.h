/*
 * One call's way through the network: what every part of it is handed, and what the parts share. Parts take scratch and
 * give it back; in a dry run they do only that.
 */
#ifndef DITHER_MODEL_PASS_H
#define DITHER_MODEL_PASS_H

#include "model/network.h"

typedef struct dither_pass {
    dither_network *net;
    const dither_context *context;
    dither_head_mode mode;
    const dither_batch_view *view;
    size_t tokens;
    size_t q, kv; /* widths of the queries, and of the keys or values */
    dither_cache *cache; /* of the sequence that the tokens go on; NULL: each row is a text of its own */
    size_t start;        /* position of the first token, and the number of its row for addressing draws */
    const uint32_t *positions; /* [tokens]; NULL: start + t mod seq */
    const uint32_t *first[2];  /* [tokens] what attention's `first` is, in layers without and with a window; NULL: 0 */
    dither_error *error;
} dither_pass;

/** Scratch of the pass itself is taken here: the caller rewinds to a mark from before. @param cache  may be NULL */
dither_pass dither_pass_begin(dither_network *net, const dither_context *context, dither_head_mode mode,
                              const dither_batch_view *view, dither_cache *cache, size_t start, dither_error *error);

/** Scratch for [tokens][cols]. */
float *dither_pass_take(const dither_pass *pass, size_t cols);

/** `place` where backward follows; where none does, nothing is kept. */
dither_kept dither_pass_kept(const dither_pass *pass, const dither_kept *place);

/** Keep [tokens][cols], where backward follows; and back into f32. */
void dither_pass_keep(const dither_pass *pass, const dither_kept *place, size_t cols, const float *x);
void dither_pass_restore(const dither_pass *pass, const dither_kept *place, size_t cols, float *x);

/** Where the gradient of weights lies; NULL: there are no gradients, or no such weights. */
float *dither_pass_gradient(const dither_pass *pass, const float *weights);

/** The residual stream takes what a block hands it (h; NULL: nothing), is kept, and goes into the next norm. */
void dither_pass_norm(const dither_pass *pass, const dither_norm *norm, float *x, const float *h, dither_kept place,
                      float *y);
/** @param dx  [tokens][dim], added to */
void dither_pass_norm_backward(const dither_pass *pass, const dither_norm *norm, dither_kept x, const float *dy,
                               float *dx);
/** What a norm handed on, again, in scratch; NULL where nobody wants it: its input was saved. */
float *dither_pass_norm_again(const dither_pass *pass, const dither_norm *norm, const dither_kept *place);

/**
 * Gemma's norm of what a block adds, where there is one.
 * @param h  [tokens][dim], replaced by its norm
 */
void dither_pass_post_norm(const dither_pass *pass, const dither_norm *norm, const dither_kept *place, float *h);
/** @return the gradient of what the block's last matrix gave: dy itself, or in scratch */
const float *dither_pass_post_norm_backward(const dither_pass *pass, const dither_norm *norm, const dither_kept *place,
                                            const float *dy);

/** @param saved  what backward reads of x; not written where backward computes it again, or does not follow */
DITHER_MUST_USE dither_status dither_pass_linear(const dither_pass *pass, const dither_linear *linear, const float *x,
                                                 float *y, dither_linear_saved *saved);
/** @param x  the layer's input where it was computed again; NULL: what dW reads of it was saved */
DITHER_MUST_USE dither_status dither_pass_linear_backward(const dither_pass *pass, const dither_linear *linear,
                                                          const dither_linear_saved *saved, const float *x,
                                                          const float *dy, float *dx);

/* ---- the two blocks of a layer ------------------------------------------------------------------------------- */

/** x += h_in of the block before (NULL: x is whole), then h = what this block adds. h_in may be h. */
DITHER_MUST_USE dither_status dither_attention_block(const dither_pass *pass, size_t layer, float *x, const float *h_in,
                                                     float *h);
DITHER_MUST_USE dither_status dither_mlp_block(const dither_pass *pass, size_t layer, float *x, float *h);

/** dx is the gradient of the residual stream behind the block on entry, and before it on return. */
DITHER_MUST_USE dither_status dither_attention_block_backward(const dither_pass *pass, size_t layer, float *dx);
DITHER_MUST_USE dither_status dither_mlp_block_backward(const dither_pass *pass, size_t layer, float *dx);

#endif
