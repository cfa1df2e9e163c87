#include "nn/attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/bf16.h"
#include "kernel/expf.h"
#include "kernel/gemm_f32.h"
#include "kernel/lanes.h"
#include "nn/attention_packed.h"

enum {
    BLOCK = 64, /* queries and keys of a block: its scores are 16 KiB and stay in the first cache */
    STEP = 16   /* a masked row is worked on up to a multiple of it */
};

typedef struct attention_job {
    dither_attention shape;
    size_t width; /* of a row of qkv */
    float scale;
    const float *qkv, *dout;
    float *o, *dqkv;
    float *lse_out;
    const float *o_in, *lse_in;
    float *scratch;
    size_t thread_floats; /* scratch of one thread */
    size_t blocks;        /* of queries, in a sequence */
    float *cache_k, *cache_v;
    size_t position;
} attention_job;

/* A matrix inside another. */
typedef struct view {
    const float *at;
    size_t stride;
} view;

static attention_job job_of(const dither_attention *shape)
{
    assert(shape->kv_heads > 0 && shape->heads % shape->kv_heads == 0);
    return (attention_job){
        .shape = *shape,
        .width = (shape->heads + 2 * shape->kv_heads) * shape->head_dim,
        .scale = (float)(1.0 / sqrt((double)shape->head_dim)),
        .blocks = (shape->seq + BLOCK - 1) / BLOCK,
    };
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t aligned_floats(size_t n)
{
    return dither_align_up(n * sizeof(float)) / sizeof(float);
}

/* Scratch for `floats` a thread; the caller marks and rewinds. */
static void take_scratch(const dither_context *context, attention_job *job, size_t floats)
{
    job->thread_floats = floats;
    const size_t bytes = dither_multiply(floats, sizeof(float));
    job->scratch = dither_arena_take(context->scratch, (size_t)context->threads, bytes);
}

static void round_all(size_t n, float *restrict x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = dither_bf16_round(x[i]);
}

/* An operand of a product: the matrix itself, or its rounded copy in `copy`. */
static view operand(const dither_attention *shape, size_t rows, const float *x, size_t stride, float *copy)
{
    if (!shape->bf16)
        return (view){x, stride};
    const size_t cols = shape->head_dim;
    for (size_t i = 0; i < rows; i++) {
        const float *restrict from = x + i * stride;
        float *restrict to = copy + i * cols;
        for (size_t j = 0; j < cols; j++)
            to[j] = dither_bf16_round(from[j]);
    }
    return (view){copy, cols};
}

/* ---- forward: an online softmax ------------------------------------------------------------------------------ */

/* What one thread of the forward pass works on. */
typedef struct softmax_state {
    float *scores;    /* [BLOCK][BLOCK] */
    float *q, *k, *v; /* [BLOCK][head_dim], rounded copies */
    float *max, *sum; /* [BLOCK] */
} softmax_state;

static size_t forward_floats(size_t head_dim, bool bf16)
{
    return BLOCK * BLOCK + 2 * BLOCK + (bf16 ? 3 * aligned_floats(BLOCK * head_dim) : 0);
}

static softmax_state state_of(const attention_job *job, int thread)
{
    float *base = job->scratch + (size_t)thread * job->thread_floats;
    softmax_state state = {.scores = base, .max = base + BLOCK * BLOCK, .sum = base + BLOCK * BLOCK + BLOCK};
    if (job->shape.bf16) {
        const size_t copy = aligned_floats(BLOCK * job->shape.head_dim);
        state.q = state.sum + BLOCK;
        state.k = state.q + copy;
        state.v = state.k + copy;
    }
    return state;
}

static void state_begin(softmax_state *state, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        state->max[i] = -INFINITY;
        state->sum[i] = 0;
    }
}

static void exp_row(size_t n, float largest, float *restrict x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = dither_expf(x[i] - largest);
}

/*
 * One row of scores becomes exp(score - max) for the largest score so far; what was gathered for the former one, in sum
 * and o, shrinks by exp(former - max). Keys from `visible` on are masked.
 */
static void softmax_row(softmax_state *state, const dither_attention *shape, size_t row, size_t keys, size_t visible,
                        bool first, float *restrict o)
{
    float *scores = state->scores + row * BLOCK;
    const size_t worked = smaller(keys, (visible + STEP - 1) / STEP * STEP);
    for (size_t j = visible; j < worked; j++)
        scores[j] = -INFINITY;
    const float former = state->max[row], here = dither_lanes_max(worked, scores);
    const float largest = here > former ? here : former;
    exp_row(worked, largest, scores);
    memset(scores + worked, 0, (keys - worked) * sizeof(float));
    state->max[row] = largest;
    const float total = dither_lanes_total(worked, scores);
    if (shape->bf16)
        round_all(worked, scores);
    if (first) {
        state->sum[row] = total;
        return;
    }
    const float shrink = dither_expf(former - largest);
    state->sum[row] = state->sum[row] * shrink + total;
    if (shrink == 1.0f)
        return;
    for (size_t i = 0; i < shape->head_dim; i++)
        o[i] *= shrink;
}

/* Gather one block of keys into o. masked: row i sees keys 0..i of the block; else all. */
static void attend(const attention_job *job, softmax_state *state, size_t rows, view q, size_t keys, view k, view v,
                   bool masked, bool first, float *o, size_t o_stride)
{
    const size_t head_dim = job->shape.head_dim;
    dither_gemm_f32_block(DITHER_GEMM_NT, rows, keys, head_dim, job->scale, q.at, q.stride, k.at, k.stride, 0,
                          state->scores, BLOCK);
    for (size_t i = 0; i < rows; i++)
        softmax_row(state, &job->shape, i, keys, masked ? smaller(keys, i + 1) : keys, first, o + i * o_stride);
    dither_gemm_f32_block(DITHER_GEMM_NN, rows, head_dim, keys, 1, state->scores, BLOCK, v.at, v.stride, first ? 0 : 1,
                          o, o_stride);
}

static void normalize(const softmax_state *state, size_t rows, size_t head_dim, float *o, size_t o_stride)
{
    for (size_t i = 0; i < rows; i++) {
        float *restrict row = o + i * o_stride;
        const float factor = 1.0f / state->sum[i];
        for (size_t j = 0; j < head_dim; j++)
            row[j] *= factor;
    }
}

static void forward_piece(void *context, size_t index, int thread)
{
    const attention_job *job = context;
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, units = shape->batch * shape->heads;
    /* The last queries see the most keys: begin with them. */
    const size_t block = job->blocks - 1 - index / units, unit = index % units;
    const size_t head = unit % shape->heads, kv_head = head / (shape->heads / shape->kv_heads);
    const size_t begin = unit / shape->heads * shape->seq, query = block * BLOCK;
    const size_t rows = smaller(BLOCK, shape->seq - query), o_stride = shape->heads * dim;
    const float *k = job->qkv + begin * job->width + (shape->heads + kv_head) * dim, *v = k + shape->kv_heads * dim;
    float *o = job->o + (begin + query) * o_stride + head * dim;
    softmax_state state = state_of(job, thread);
    state_begin(&state, rows);
    const view q = operand(shape, rows, job->qkv + (begin + query) * job->width + head * dim, job->width, state.q);
    for (size_t key = 0; key <= query; key += BLOCK) {
        const size_t keys = smaller(BLOCK, shape->seq - key);
        attend(job, &state, rows, q, keys, operand(shape, keys, k + key * job->width, job->width, state.k),
               operand(shape, keys, v + key * job->width, job->width, state.v), key == query, key == 0, o, o_stride);
    }
    normalize(&state, rows, dim, o, o_stride);
    if (job->lse_out)
        for (size_t i = 0; i < rows; i++)
            job->lse_out[(begin + query + i) * shape->heads + head] = state.max[i] + logf(state.sum[i]);
}

static void forward_f32(const dither_context *context, const dither_attention *shape, const float *qkv, float *o,
                        float *lse)
{
    const size_t mark = dither_arena_mark(context->scratch);
    attention_job job = job_of(shape);
    take_scratch(context, &job, forward_floats(shape->head_dim, false));
    if (!context->dry) {
        job.qkv = qkv;
        job.o = o;
        job.lse_out = lse;
        dither_parallel_for(context->threads, shape->batch * shape->heads * job.blocks, forward_piece, &job);
    }
    dither_arena_rewind(context->scratch, mark);
}

void dither_attention_forward_kept(const dither_context *context, const dither_attention *shape,
                                   dither_attention_values qkv, float *o, uint16_t *kept, float *lse)
{
    assert(shape->bf16 || (qkv.bf16 == NULL && kept == NULL));
    if (shape->bf16)
        dither_packed_forward(context, shape, qkv, o, kept, lse);
    else
        forward_f32(context, shape, qkv.f32, o, lse);
}

void dither_attention_forward(const dither_context *context, const dither_attention *shape, const float *qkv, float *o,
                              float *lse)
{
    dither_attention_forward_kept(context, shape, (dither_attention_values){.f32 = qkv}, o, NULL, lse);
}

/* ---- one new token ------------------------------------------------------------------------------------------- */

/* The heads of one group are the rows of a block: they read the same keys. */
static void decode_piece(void *context, size_t index, int thread)
{
    const attention_job *job = context;
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, group = shape->heads / shape->kv_heads, stride = shape->kv_heads * dim;
    const float *k = job->cache_k + index * dim, *v = job->cache_v + index * dim;
    softmax_state state = state_of(job, thread);
    for (size_t head = index * group; head < (index + 1) * group; head += BLOCK) {
        const size_t rows = smaller(BLOCK, (index + 1) * group - head);
        float *o = job->o + head * dim;
        state_begin(&state, rows);
        const view q = operand(shape, rows, job->qkv + head * dim, dim, state.q);
        for (size_t key = 0; key <= job->position; key += BLOCK) {
            const size_t keys = smaller(BLOCK, job->position + 1 - key);
            attend(job, &state, rows, q, keys, operand(shape, keys, k + key * stride, stride, state.k),
                   operand(shape, keys, v + key * stride, stride, state.v), false, key == 0, o, dim);
        }
        normalize(&state, rows, dim, o, dim);
    }
}

void dither_attention_decode(const dither_context *context, const dither_attention *shape, size_t position,
                             const float *qkv, float *cache_k, float *cache_v, float *o)
{
    const size_t mark = dither_arena_mark(context->scratch);
    attention_job job = job_of(shape);
    take_scratch(context, &job, forward_floats(shape->head_dim, shape->bf16));
    if (!context->dry) {
        const size_t row = shape->kv_heads * shape->head_dim;
        const float *k = qkv + shape->heads * shape->head_dim;
        memcpy(cache_k + position * row, k, row * sizeof(float));
        memcpy(cache_v + position * row, k + row, row * sizeof(float));
        job.qkv = qkv;
        job.o = o;
        job.cache_k = cache_k;
        job.cache_v = cache_v;
        job.position = position;
        dither_parallel_for(context->threads, shape->kv_heads, decode_piece, &job);
    }
    dither_arena_rewind(context->scratch, mark);
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

/* What one thread of the backward pass works on. */
typedef struct gradient_state {
    float *p, *ds; /* [BLOCK][BLOCK] */
    float *d;      /* [group][seq] do.o */
} gradient_state;

static size_t backward_floats(const dither_attention *shape)
{
    return 2 * BLOCK * BLOCK + aligned_floats(shape->heads / shape->kv_heads * shape->seq);
}

static gradient_state gradient_state_of(const attention_job *job, int thread)
{
    float *base = job->scratch + (size_t)thread * job->thread_floats;
    return (gradient_state){.p = base, .ds = base + BLOCK * BLOCK, .d = base + 2 * BLOCK * BLOCK};
}

/* p = exp(s - lse),  ds = p (dp - d);  s comes in p, dp in ds */
static void gradient_row(size_t n, float lse, float d, float *restrict p, float *restrict ds)
{
    for (size_t j = 0; j < n; j++) {
        p[j] = dither_expf(p[j] - lse);
        ds[j] = p[j] * (ds[j] - d);
    }
}

/* A block of queries of one head against a block of keys. */
typedef struct gradient_block {
    size_t row, head; /* of the first query, in the whole batch */
    size_t rows, keys;
    const float *d; /* of the first query */
    view q, k, v, dout;
    bool masked;
    float *dq, *dk, *dv;
    bool first_keys, first_queries; /* dq, and dk and dv, are written, not added to */
} gradient_block;

static void gradient_products(const attention_job *job, const gradient_state *state, const gradient_block *block)
{
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, rows = block->rows, keys = block->keys;
    const view q = block->q, k = block->k, v = block->v, dout = block->dout;
    dither_gemm_f32_block(DITHER_GEMM_NT, rows, keys, dim, job->scale, q.at, q.stride, k.at, k.stride, 0, state->p,
                          BLOCK);
    dither_gemm_f32_block(DITHER_GEMM_NT, rows, keys, dim, 1, dout.at, dout.stride, v.at, v.stride, 0, state->ds,
                          BLOCK);
    for (size_t i = 0; i < rows; i++) {
        float *p = state->p + i * BLOCK, *ds = state->ds + i * BLOCK;
        const size_t visible = block->masked ? smaller(keys, i + 1) : keys;
        const size_t worked = smaller(keys, (visible + STEP - 1) / STEP * STEP);
        gradient_row(worked, job->lse_in[(block->row + i) * shape->heads + block->head], block->d[i], p, ds);
        memset(p + visible, 0, (keys - visible) * sizeof(float));
        memset(ds + visible, 0, (keys - visible) * sizeof(float));
    }
    const float onto_queries = block->first_keys ? 0 : 1, onto_keys = block->first_queries ? 0 : 1;
    dither_gemm_f32_block(DITHER_GEMM_TN, keys, dim, rows, 1, state->p, BLOCK, dout.at, dout.stride, onto_keys,
                          block->dv, job->width);
    dither_gemm_f32_block(DITHER_GEMM_TN, keys, dim, rows, job->scale, state->ds, BLOCK, q.at, q.stride, onto_keys,
                          block->dk, job->width);
    dither_gemm_f32_block(DITHER_GEMM_NN, rows, dim, keys, job->scale, state->ds, BLOCK, k.at, k.stride, onto_queries,
                          block->dq, job->width);
}

/* d[t] = do[t].o[t] = sum over u of p[t][u] dp[t][u] */
static void row_sums(const attention_job *job, const gradient_state *state, size_t begin, size_t first_head)
{
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, stride = shape->heads * dim, group = shape->heads / shape->kv_heads;
    for (size_t g = 0; g < group; g++) {
        for (size_t t = 0; t < shape->seq; t++) {
            const size_t at = (begin + t) * stride + (first_head + g) * dim;
            state->d[g * shape->seq + t] = dither_lanes_dot(dim, job->dout + at, job->o_in + at);
        }
    }
}

/* All queries of one head of the group that see the block of keys from `key` on. */
static void backward_queries(const attention_job *job, const gradient_state *state, gradient_block *block, size_t begin,
                             size_t key, size_t head_in_group)
{
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim;
    for (size_t query = key; query < shape->seq; query += BLOCK) {
        block->row = begin + query;
        block->rows = smaller(BLOCK, shape->seq - query);
        block->d = state->d + head_in_group * shape->seq + query;
        const size_t q_at = block->row * job->width + block->head * dim;
        block->q = (view){job->qkv + q_at, job->width};
        block->dout = (view){job->dout + (block->row * shape->heads + block->head) * dim, shape->heads * dim};
        block->dq = job->dqkv + q_at;
        block->masked = query == key;
        block->first_keys = key == 0;
        block->first_queries = head_in_group == 0 && query == key;
        gradient_products(job, state, block);
    }
}

/* One key/value head of one sequence: nobody else adds to its dk and dv, nor to the dq of its group. */
static void backward_piece(void *context, size_t index, int thread)
{
    const attention_job *job = context;
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, group = shape->heads / shape->kv_heads;
    const size_t kv_head = index % shape->kv_heads, begin = index / shape->kv_heads * shape->seq;
    const size_t k_column = (shape->heads + kv_head) * dim, v_column = k_column + shape->kv_heads * dim;
    const gradient_state state = gradient_state_of(job, thread);
    row_sums(job, &state, begin, kv_head * group);
    for (size_t key = 0; key < shape->seq; key += BLOCK) {
        const size_t row = (begin + key) * job->width, keys = smaller(BLOCK, shape->seq - key);
        gradient_block block = {
            .keys = keys,
            .k = {job->qkv + row + k_column, job->width},
            .v = {job->qkv + row + v_column, job->width},
            .dk = job->dqkv + row + k_column,
            .dv = job->dqkv + row + v_column,
        };
        for (size_t g = 0; g < group; g++) {
            block.head = kv_head * group + g;
            backward_queries(job, &state, &block, begin, key, g);
        }
    }
}

static void backward_f32(const dither_context *context, const dither_attention *shape, const float *qkv, const float *o,
                         const float *lse, const float *dout, float *dqkv)
{
    const size_t mark = dither_arena_mark(context->scratch);
    attention_job job = job_of(shape);
    take_scratch(context, &job, backward_floats(shape));
    if (!context->dry) {
        job.qkv = qkv;
        job.o_in = o;
        job.lse_in = lse;
        job.dout = dout;
        job.dqkv = dqkv;
        dither_parallel_for(context->threads, shape->batch * shape->kv_heads, backward_piece, &job);
    }
    dither_arena_rewind(context->scratch, mark);
}

void dither_attention_backward_kept(const dither_context *context, const dither_attention *shape,
                                    dither_attention_values qkv, dither_attention_values o, const float *lse,
                                    const float *dout, float *dqkv)
{
    assert(shape->bf16 || (qkv.bf16 == NULL && o.bf16 == NULL));
    if (shape->bf16)
        dither_packed_backward(context, shape, qkv, o, lse, dout, dqkv);
    else
        backward_f32(context, shape, qkv.f32, o.f32, lse, dout, dqkv);
}

void dither_attention_backward(const dither_context *context, const dither_attention *shape, const float *qkv,
                               const float *o, const float *lse, const float *dout, float *dqkv)
{
    dither_attention_backward_kept(context, shape, (dither_attention_values){.f32 = qkv},
                                   (dither_attention_values){.f32 = o}, lse, dout, dqkv);
}
