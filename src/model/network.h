/*
 * The transformer: its layout in memory, forward and backward. One block, whose switches are the config's:
 *
 *     x  = embedding[ids]                                              scaled; positions[position] added
 *     x += o(attention(rope(qkv(norm1(x)))))                           each layer; queries and keys normed before rope,
 *     x += down(activation(gate_up(norm2(x))))                         and what is added to x too
 *     loss = cross entropy(head(norm(x)))
 *
 * Query, key and value are one linear layer over stacked matrices, gate and up another: their input is quantized once.
 */
#ifndef DITHER_MODEL_NETWORK_H
#define DITHER_MODEL_NETWORK_H

#include "dither/model.h"
#include "model/plan.h"
#include "model/table.h"
#include "nn/attention.h"
#include "nn/batch_view.h"
#include "nn/head_norm.h"
#include "nn/kept.h"
#include "nn/loss.h"
#include "nn/norm.h"

typedef struct dither_layer {
    dither_norm norm1, norm2;
    dither_norm post1, post2;   /* of what attention and the feed-forward block add: under post_norms */
    dither_head_norm head_norm; /* under qk_norm */
    dither_linear qkv, o, gate_up, down;
    /* kept from forward to backward */
    dither_linear_saved qkv_in, o_in, gate_up_in, down_in; /* inputs of the linear layers, as dW reads them; not where
                                                     * the network recomputes */
    dither_kept x1, x2; /* the residual stream before each norm */
    dither_kept qkv_out, att_out, gate_up_out;
    dither_kept qk_out;        /* queries and keys before head_norm: under qk_norm */
    dither_kept o_out, down_out; /* what goes into post1 and post2: under post_norms */
    float *lse;
} dither_layer;

typedef struct dither_network {
    dither_model_config config;
    dither_scheme scheme;
    bool recompute; /* inputs of linear layers are computed again in backward: keeping them would take more memory */
    dither_linear_plan linears, head_linear; /* how the products of the layers and of the head are computed */
    bool train;
    size_t batch, seq; /* the largest that one call may bring */
    dither_parameter *table; /* owned */
    size_t table_count;
    dither_layer *layers; /* owned */
    size_t elements;      /* of the parameters' block, gaps included */
    float *parameters;    /* [elements], rows of the table at their offsets */
    const dither_stored *stored; /* [table_count] where a file has them: matrices stay there and have no offset; NULL:
                                  * everything is in the block */
    float *gradients;     /* the same; NULL unless training */
    float *rope[2]; /* the tables of turns in layers without and with a window; perhaps one */
    float *losses; /* [batch*seq] */
    dither_linear head;
    dither_norm norm;
    float *positions; /* [ctx][dim] under learned_positions */
    dither_plan plan;
} dither_network;

/**
 * Lay a network out in `arena`: on a dry arena this only counts. dither_network_free() in any case.
 * @param train  with gradients and what forward keeps for backward
 * @return DITHER_OK | DITHER_E_SHAPE | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_network_layout(dither_network *network, const dither_model_config *config,
                                                    const dither_scheme *scheme, bool train, size_t batch, size_t seq,
                                                    dither_arena *arena);
/**
 * The same for forward alone, with matrices that stay in a file: what is laid out are the vectors, and what `scheme`
 * makes of the matrices. `batch` and `seq` are 0 at first: dither_network_resize.
 * @param stored  [dither_table_count(config)], must outlive the network; the caller reads the vectors
 *                (dither_stored_load)
 */
DITHER_MUST_USE dither_status dither_network_layout_stored(dither_network *network, const dither_model_config *config,
                                                           const dither_scheme *scheme, const dither_stored *stored,
                                                           dither_arena *arena);

/** Another largest batch for a network without gradients. @param losses  [batch*seq] */
void dither_network_resize(dither_network *network, size_t batch, size_t seq, float *losses);

void dither_network_free(dither_network *network);

/**
 * Whether activations between the layers are f32: where act is; else bf16. The rule for what is kept and for
 * attention's products alike.
 */
bool dither_network_keeps_f32(const dither_scheme *scheme);

/**
 * Take a block laid out as network->parameters, with a row of the plan for each parameter.
 * @param prefix  of the rows' names
 * @return [network->elements], zeroed; NULL in a dry run
 */
float *dither_network_block(dither_network *network, dither_plan_kind kind, const char *prefix);

/** Bytes of scratch that any call below needs at this layout: a dry run of the calls themselves. Where matrices are
 * stored in a file, dither_network_refresh needs scratch of its own, for the largest of them in f32. */
size_t dither_network_scratch(dither_network *network, int threads);
size_t dither_network_refresh_scratch(dither_network *network, int threads);

/** Initial weights: normal, std 0.02, projections onto the residual stream / sqrt(2 layers), norms 1; addressed by
 * seed. */
void dither_network_init(dither_network *network, uint64_t seed);

/** Quantize all weights for this step. @return DITHER_OK | DITHER_E_NUMERIC (error names the layer) */
DITHER_MUST_USE dither_status dither_network_refresh(dither_network *network, const dither_context *context,
                                                     dither_error *error);

/**
 * Loss of a batch, and under DITHER_HEAD_TRAIN its gradients.
 * @param batch  at most as many tokens as were laid out; only its sizes are read in a dry run
 * @param scale  factor of every gradient: 1 / (trained tokens of the whole step)
 * @param loss   sum of the losses, nats
 * @return DITHER_OK | DITHER_E_NUMERIC (error names the place)
 * Gradients are added to network->gradients; where context->fresh they replace what is there.
 */
DITHER_MUST_USE dither_status dither_network_loss(dither_network *network, const dither_context *context,
                                                  dither_head_mode mode, const dither_batch_view *batch, float scale,
                                                  double *loss, dither_error *error);

/* What a sequence has seen so far: keys and values of every layer. */
typedef struct dither_cache {
    float *k, *v; /* [layers][ctx][kv_heads head_dim] */
    size_t ctx;   /* positions that there is room for, at most the model's */
} dither_cache;

/**
 * More tokens of a sequence, of which the cache holds `position`.
 * @param exact   f32 with the master weights, whatever the scheme
 * @param count   at least 1, at most what was laid out in one batch; position + count <= ctx
 * @param ids     [count]
 * @param logits  [vocab] of the last token, written; NULL: not wanted
 * @return DITHER_OK | DITHER_E_NUMERIC (error names the place)
 */
DITHER_MUST_USE dither_status dither_network_extend(dither_network *network, const dither_context *context, bool exact,
                                                    dither_cache *cache, size_t position, size_t count,
                                                    const uint32_t *ids, float *logits, dither_error *error);

#endif
